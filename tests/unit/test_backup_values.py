from __future__ import annotations

import tomllib

import pytest

from tweeling.domain.backup import check_name, place
from tweeling.errors import InvariantError
from tweeling.services.backup import missed
from tweeling.services.relocation import relocate, rename_log

NAMES = ["tweeling.toml", "secrets/key", "elsewhere/etc/hub/key", "elsewhere/srv/data/journal.db"]


def moved(text: str) -> dict[str, object]:
    return tomllib.loads(relocate(text, before="/var/old", now="/var/new", names=NAMES))


def test_a_file_stands_in_an_archive_where_it_lay_or_under_its_whole_path() -> None:
    assert place("/var/old/secrets/key", "/var/old") == "secrets/key"
    assert place("/var/older/key", "/var/old") == "elsewhere/var/older/key"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/var/old/secrets/key", "secrets/key"),
        ("/var/old", "."),
        ("secrets/key", "secrets/key"),
        ("/etc/hub/key", "elsewhere/etc/hub/key"),
        ("../../etc/hub/key", "elsewhere/etc/hub/key"),
        ("/srv/data", "elsewhere/srv/data"),
        ("/etc/hub/absent", "/etc/hub/absent"),
        ("/var/older/key", "/var/older/key"),
        ("http://127.0.0.1:8428", "http://127.0.0.1:8428"),
        ("tweeling.local/demo", "tweeling.local/demo"),
        ("sqlite:////var/old/facts.db", "sqlite:////var/new/facts.db"),
        ("sqlite:////srv/data/journal.db", "sqlite:////var/new/elsewhere/srv/data/journal.db"),
    ],
)
@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_setting_that_names_something_of_the_archive_names_it_in_the_new_folder(
    before: str, after: str, quote: str
) -> None:
    text = f"# {before}\n[a.b]\nc = {quote}{before}{quote} # why\nd = [[{quote}{before}{quote}], 5]\n"
    assert moved(text) == {"a": {"b": {"c": after, "d": [[after], 5]}}}
    assert relocate(text, before="/var/old", now="/var/new", names=NAMES).startswith(f"# {before}\n[a.b]\nc = ")


@pytest.mark.parametrize("name", ["a", "a b/c.d", "elsewhere/etc/x", "..a/b"])
def test_a_path_in_a_folder_is_a_name(name: str) -> None:
    check_name(name)


def test_copies_belong_together_when_no_store_needs_what_the_journal_forgot() -> None:
    assert missed({"points": 7, "records": 9}, trimmed=7, last=9) == ""
    assert "copy of the points and records lacks" in missed({"points": 6, "records": 5}, trimmed=7, last=9)
    with pytest.raises(InvariantError, match="the points are at batch 10, the journal ends at 9"):
        missed({"points": 10}, trimmed=7, last=9)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[http]\nport = 1\n",
        "[custody] # the log\n[http]\n",
        "# [custody]\n[custody]\norigin = 'a/b' # old\nkey_file='k'\n",
    ],
)
def test_a_log_is_renamed_and_nothing_else_changes(text: str) -> None:
    before, after = tomllib.loads(text), tomllib.loads(rename_log(text, "c/d"))
    assert after.pop("custody") == before.pop("custody", {}) | {"origin": "c/d"}
    assert after == before


def test_a_renamed_log_is_begun_anew_on_its_ledger() -> None:
    text = f"[ledger]\nrpc = 'https://node.example'\nlog_id = '0x{'12' * 32}'\ncontinues = '1:0x{'34' * 32}'\n"
    assert tomllib.loads(rename_log(text, "c/d"))["ledger"] == {"rpc": "https://node.example"}
