from pathlib import Path

import pytest
from support_demo import children, headless, kill, summary
from support_servers import need


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder, so that history is loaded once."""
    return tmp_path_factory.mktemp("links") / "data"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("victim", "link", "kept"),
    [
        pytest.param("anvil", "chain", "kept as pending", marks=pytest.mark.slow),
        ("nats-server", "broker", "wait in the outboxes"),
        pytest.param("tweeling up", "ingest", "wait in the outboxes", marks=pytest.mark.slow),
    ],
)
def test_a_part_killed_in_mid_run_is_named_with_what_was_kept(folder: Path, victim: str, link: str, kept: str) -> None:
    need("anvil")
    process = headless(folder, 12)
    assert process.stderr is not None
    for line in process.stderr:
        if "Ctrl-C" in line:
            break
    [pid] = [pid for pid, command in children(process.pid).items() if victim in command]
    kill(pid)
    seen = summary(process)
    broken = {row["link"]: row for row in seen["links"] if not row["ok"]}  # type: ignore[attr-defined]  # a list of links
    assert seen["exit_code"] == 1
    assert "SIGKILL" in broken[link]["detail"]
    assert kept in broken[link]["kept"]


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_after_every_kill_the_next_run_catches_up(folder: Path) -> None:
    need("anvil")
    seen = summary(headless(folder, 12))
    assert seen["exit_code"] == 0, seen["links"]
    assert seen["readings_queued"] == 0
    assert seen["readings_in"] == seen["readings_stored"]
