"""`tweeling up` with a journal that forgets each batch as soon as every store says that it is durable."""

from __future__ import annotations

import sys

from tweeling.__main__ import main
from tweeling.adapters.intake import Keep
from tweeling.adapters.journal import SqliteJournal
from tweeling.services.projection import Projector

SqliteJournal.__init__.__kwdefaults__ |= {"keep": Keep(trimmed_bytes=0)}  # type: ignore[union-attr]  # it has some
Projector.__init__.__kwdefaults__ |= {"stride": 1}  # type: ignore[union-attr]  # likewise

if __name__ == "__main__":
    sys.argv.insert(1, "up")
    main()
