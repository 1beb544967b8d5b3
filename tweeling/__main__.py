"""`python -m tweeling`, and the command `tweeling`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; on a gateway, where the hub's packages are not installed, say so."""
    try:
        from tweeling.cli.main import run
    except ModuleNotFoundError as exc:
        if exc.name and exc.name.startswith("tweeling"):
            raise
        sys.stderr.write(f"tweeling: {exc.name} is missing. The hub's commands need: pip install 'tweeling[all]'\n")
        sys.exit(2)
    sys.exit(run())


if __name__ == "__main__":
    main()
