"""An InfluxDB 2 server: line protocol in, Flux answered in columns, and what its errors mean for us."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.dialect import Dialect
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from pyarrow import csv

from tweeling.adapters.influx_rows import TYPES, Rows
from tweeling.adapters.lineprotocol import BODY_LIMIT, PASSING
from tweeling.domain.hosts import on_loopback
from tweeling.errors import RefusedError, TweelingError, UnavailableError

_OLD = re.compile("partial write: .*(beyond|outside) retention policy")  # InfluxDB 2.0 to 2.6, and since
_PLAIN = Dialect(header=True, annotations=[])


@dataclass(frozen=True, slots=True)
class Access:
    """Where an InfluxDB 2 is, and as whom to speak to it. Two buckets stand beside `bucket`."""

    url: str
    org: str
    bucket: str
    token: str = field(repr=False)
    token_from: str = "store.influxdb.token"  # noqa: S105 -- where a token comes from is none
    ca_file: Path | None = None
    timeout_s: float = 60.0

    @property
    def hourly(self) -> str:
        """The bucket of hourly values."""
        return f"{self.bucket}_hourly"

    @property
    def places(self) -> str:
        """The bucket of what was applied."""
        return f"{self.bucket}_places"


class InfluxServer:
    """InfluxDB 2 over HTTP; raises RefusedError or UnavailableError, neither of which holds the token."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._client = InfluxDBClient(
            access.url,
            access.token,
            org=access.org,
            timeout=round(access.timeout_s * 1000),
            enable_gzip=not on_loopback(access.url),  # packing costs more than loopback does
            ssl_ca_cert=str(access.ca_file) if access.ca_file else None,
        )
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)
        self._reader = self._client.query_api()

    @property
    def client(self) -> InfluxDBClient:
        """The library's client, for what is done once; use it in `translated`."""
        return self._client

    def write(self, bucket: str, lines: bytes) -> bool:
        """Write line protocol into the server's log on disk; False where some of it is older than the bucket keeps."""
        with self.translated():
            try:
                self._writer.write(bucket=bucket, record=lines, write_precision=WritePrecision.MS)  # type: ignore[arg-type]  # its constants are strings
            except ApiException as exc:
                if exc.status != 422 or _OLD.search(str(exc.body)) is None:
                    raise
                return False
        return True

    def ask(self, flux: str) -> Rows:
        """Answer a query, all of whose tables have the same columns, as it streams in."""
        strange: list[str] = []

        def skip(row: csv.InvalidRow) -> str:
            strange.append(row.text)
            return "skip"

        with self.translated():
            answer = self._reader.query_raw(flux, dialect=_PLAIN)
            answer.auto_close = False  # it would close under the parser's eyes
            try:
                body = io.BufferedReader(answer, 1 << 20)
                names = body.readline().decode().strip().split(",")
                if not body.peek(1):
                    return Rows()
                table = csv.read_csv(
                    body,
                    csv.ReadOptions(column_names=names),
                    csv.ParseOptions(invalid_row_handler=skip),
                    csv.ConvertOptions(column_types=TYPES, include_columns=[name for name in TYPES if name in names]),
                )
            except pa.ArrowInvalid as exc:
                raise UnavailableError(f"{self.access.url}: InfluxDB gave an answer that is not one: {exc}") from exc
            finally:
                answer.close()  # the connection, too, unless all was read
        if "error" in names:
            strange = [str(table.to_pylist())]
        if strange:  # it began to answer, and failed
            raise UnavailableError(f"{self.access.url}: InfluxDB said: {' '.join(strange)[:300]}")
        return Rows(table)

    def answers(self) -> None:
        """Return where the server answers at all."""
        with self.translated():
            self._client.api_client.call_api("/ping", "GET", response_type=None)

    def close(self) -> None:
        """Let go of sockets."""
        self._writer.close()
        self._client.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise what the library raises as errors of ours."""
        try:
            yield
        except ApiException as exc:
            raise self._translate(exc) from exc
        except urllib3.exceptions.HTTPError as exc:
            raise UnavailableError(f"{self.access.url}: InfluxDB does not answer: {type(exc).__name__}") from exc

    def _translate(self, exc: ApiException) -> TweelingError:
        body = exc.body.decode(errors="replace") if isinstance(exc.body, bytes) else str(exc.body)
        said = f"{self.access.url}: InfluxDB said {exc.status}: {body[:300]}"
        match exc.status:
            case 401 | 403:
                return RefusedError(
                    said,
                    field="store.influxdb.token_file",
                    remedy=f"Put a token that may read and write the buckets {self.access.bucket}, "
                    f"{self.access.hourly} and {self.access.places} into {self.access.token_from}",
                )
            case 404:
                return RefusedError(
                    said,
                    field="store.influxdb",
                    remedy="Mend org and bucket, or run `tweeling migrate`, which makes them",
                )
            case 0:
                return RefusedError(
                    f"{self.access.url}: {str(exc.reason)[:300]}",
                    field="store.ca_file",
                    remedy="Name the PEM file of the authority that signed this server's certificate",
                )
            case 413:
                return RefusedError(said, field="store.url", remedy=BODY_LIMIT)
            case status if status is not None and 400 <= status < 500 and status not in PASSING:
                return RefusedError(
                    said,
                    field="store.influxdb",
                    remedy="See that store.url is an InfluxDB 2 itself, and what its log says",
                )
            case _:
                return UnavailableError(said)
