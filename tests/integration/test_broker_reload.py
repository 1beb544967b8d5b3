from __future__ import annotations

from pathlib import Path

from support_broker import Client, nats_broker, until


def test_a_node_is_let_in_and_out_without_a_restart(tmp_path: Path) -> None:
    with nats_broker(tmp_path, [("H1", "n1")]) as broker:
        who = broker.hub()
        with (
            Client(broker, who, client_id=who.client_id, clean=False) as hub,
            Client(broker, broker.node("H1", "n1")) as first,
        ):
            hub.subscribe("tweeling/v1/+/+/up", 1)
            broker.rename([("H1", "n1"), ("H2", "n2")])
            with Client(broker, broker.node("H2", "n2")) as second:
                second.published("tweeling/v1/H2/n2/up", b"new")
                assert hub.receive() == ("tweeling/v1/H2/n2/up", b"new")
                first.published("tweeling/v1/H1/n1/up", b"old")
                assert hub.receive() == ("tweeling/v1/H1/n1/up", b"old")
                revoked = broker.node("H2", "n2")
                broker.rename([("H1", "n1")])
                until(second.lost.is_set, "the revoked node is cut off")
            with Client(broker, revoked) as again:
                assert again.answer == "Not authorized"
            first.published("tweeling/v1/H1/n1/up", b"still")
            assert hub.receive() == ("tweeling/v1/H1/n1/up", b"still")
            assert hub.connected
            assert first.connected


def test_a_folder_may_be_named_in_any_language(tmp_path: Path) -> None:
    with nats_broker(tmp_path / "Bétuwe", [("H1", "n1")]) as broker, Client(broker, broker.node("H1", "n1")) as node:
        assert node.connected
        assert (tmp_path / "Bétuwe" / "jetstream").is_dir()
