import subprocess
import sys

import pytest

TWEELING = [sys.executable, "-m", "tweeling"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--nope"], "--nope"),
        (["demo", "--port", "99999999"], "--port"),
        (["demo", "--for", "90s"], "--for: goes with --headless"),
        (["demo", "--data", "/dev/null"], "/dev/null"),
        (["receipt"], "event"),
        (["frobnicate"], "frobnicate"),
        (["up", "/"], "is a folder, not a file"),
        (["status", "--data", "/nonexistent"], "no such file"),
    ],
)
def test_a_wrong_command_is_refused_in_a_sentence_with_exit_code_2(arguments: list[str], said: str) -> None:
    done = subprocess.run([*TWEELING, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["demo", "up", "status", "events", "receipt", "verify", "trust", "replay"])
def test_every_command_explains_itself(command: str) -> None:
    done = subprocess.run([*TWEELING, command, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert f" {command} " in done.stdout.splitlines()[0]
