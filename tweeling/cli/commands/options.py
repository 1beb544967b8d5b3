"""What several commands are told in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

out = Console(highlight=False, soft_wrap=True)

DATA = Path("tweeling-data")
TRUST = Path("~/.config/tweeling/trust")

DataFolder = Annotated[Path, typer.Option("--data", envvar="TWEELING_HOME", help="The installation's folder.")]
TrustStore = Annotated[
    Path, typer.Option("--trust-store", envvar="TWEELING_TRUST", help="The folder of pinned trust files.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
