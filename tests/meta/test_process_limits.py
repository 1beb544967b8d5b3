import subprocess
import sys


def test_no_library_raises_the_recursion_limit_of_a_hub() -> None:
    code = "import sys; before = sys.getrecursionlimit(); import tweeling.cli.up, tweeling.adapters.evm.ledger; "
    code += "import tweeling_dashboards; assert sys.getrecursionlimit() == before, sys.getrecursionlimit()"
    subprocess.run([sys.executable, "-c", code], check=True)
