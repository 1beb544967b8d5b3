import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from support_servers import free_port

from tweeling.cli.supervisor import Supervisor, claim, listening
from tweeling.errors import ConfigError, UnavailableError

_SERVE = "import http.server,sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), None).serve_forever()"
_WAIT = "import signal; signal.pause()"


def test_children_are_awaited_and_end_with_their_owner(tmp_path: Path) -> None:
    port = free_port()
    with Supervisor(tmp_path) as owner:
        child = owner.start("server", [sys.executable, "-c", _SERVE, str(port)], ready=lambda: listening(port))
        assert child.ended() is None
    assert child.ended() == "ended by SIGTERM"
    assert not listening(port)


def test_a_child_that_dies_before_it_is_ready_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as owner, pytest.raises(UnavailableError, match="no such luck"):
        owner.start("server", [sys.executable, "-c", "raise SystemExit('no such luck')"], ready=lambda: False)


def test_a_child_that_ignores_a_polite_end_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    with Supervisor(tmp_path) as owner:
        owner.start("deaf", [sys.executable, "-c", deaf], ready=lambda: "deaf" in (tmp_path / "deaf.log").read_text())
        assert owner.stop("deaf", within=0.2) == "ended by SIGKILL"


def test_children_die_even_when_their_owner_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tweeling.cli.supervisor import Supervisor\n"
        f"child = Supervisor(Path({str(tmp_path)!r})).start('child', [sys.executable, '-c', {_WAIT!r}])\n"
        f"print(child.pid, flush=True); {_WAIT}"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        gone = os.pidfd_open(child)
        owner.kill()
        owner.wait()
        with os.fdopen(gone) as handle:
            # A pidfd becomes readable when its process ends.
            assert select.select([handle], [], [], 10)[0]


def test_a_taken_port_says_by_whom(tmp_path: Path) -> None:
    port = free_port()
    with Supervisor(tmp_path) as owner:
        child = owner.start("server", [sys.executable, "-c", _SERVE, str(port)], ready=lambda: listening(port))
        with pytest.raises(ConfigError, match=rf"port {port} \(dashboard\) is taken by .*pid {child.pid}") as caught:
            claim(port, "dashboard", "--port")
    assert caught.value.field == "--port"


def test_a_free_port_is_no_trouble() -> None:
    claim(free_port(), "dashboard", "--port")
