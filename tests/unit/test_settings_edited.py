from __future__ import annotations

import tomllib

import pytest

from tweeling.cli.template import render
from tweeling.services.editing import Value, edit

BY_HAND = """# my hub
[ledger]
rpc = "https://node.example"   # the consortium's
contract = "0x12"

[http]
port = 9000
"""


@pytest.mark.parametrize("text", [BY_HAND, render({}), "", "[http]\nport = 1", "data = 'x'\n"])
@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("ledger", {"contract": "0xab", "first_block": 7}),
        ("ledger", {"contract": None, "log_id": None}),
        ("ledger.continues", {"size": 5, "root": "0xcd"}),
        ("custody", {"origin": 'a"b\\'}),
    ],
)
def test_keys_are_set_and_all_else_stays(text: str, table: str, values: dict[str, Value | None]) -> None:
    before, after = tomllib.loads(text), tomllib.loads(edit(text, table, values))
    place = after
    for name in table.split("."):
        place = place.get(name, {})
    for key, value in values.items():
        assert place.get(key) == value
    assert {name: value for name, value in after.items() if name not in {"ledger", "custody"}} == {
        name: value for name, value in before.items() if name not in {"ledger", "custody"}
    }


def test_comments_stay_and_a_commented_setting_becomes_one() -> None:
    changed = edit(BY_HAND, "ledger", {"contract": "0xab", "confirmations": 3})
    assert '"https://node.example"   # the consortium\'s' in changed
    assert changed.startswith("# my hub\n[ledger]\n")
    whole = edit(render({}), "ledger", {"contract": "0xab"})
    assert len(whole.splitlines()) == len(render({}).splitlines())
    assert '\ncontract = "0xab"\n' in whole
    assert edit(whole, "ledger", {"contract": None}).count("contract = ") == 1
    assert (
        edit(edit(render({}), "ledger.continues", {"size": 5}), "ledger.continues", {"size": 6}).count("size = ") == 1
    )


@pytest.mark.parametrize(
    "text",
    [
        'ledger = {contract = "0x12"}\n',
        'ledger.contract = "0x12"\n',
        '[ledger]\ncontract = """\n0x12"""\n',
        "= no TOML\n",
    ],
)
def test_settings_that_cannot_be_changed_line_by_line_are_left_alone(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whichever way it cannot be read
        edit(text, "ledger", {"contract": "0xab"})
