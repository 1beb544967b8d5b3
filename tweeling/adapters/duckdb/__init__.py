"""A time-series store of one process: a live DuckDB file, and sealed Parquet files beside it that any process may read.

`store` answers; `live` is the file that takes points; `sealing` moves what is old into months; `pieces` names these;
`parquet` writes them; `reading` is the SQL that sees all of it as one.
"""

from tweeling.adapters.duckdb.sealing import Keeping
from tweeling.adapters.duckdb.store import DuckDBStore

__all__ = ["DuckDBStore", "Keeping"]
