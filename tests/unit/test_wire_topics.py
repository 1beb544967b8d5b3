from __future__ import annotations

import pytest

from tweeling.errors import WireError
from tweeling.wire import topics
from tweeling.wire.topics import Channel, Topic


@pytest.mark.parametrize("channel", list(Channel))
def test_a_topic_reads_back_as_it_was_written(channel: Channel) -> None:
    topic = Topic("H1", "node_1-a", channel)
    assert str(topic) == f"tweeling/v1/H1/node_1-a/{channel}"
    assert topics.parse(str(topic)) == topic


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tweeling/v1/H1/n1",
        "tweeling/v2/H1/n1/up",
        "tweeling/v1/H1/n1/up/",
        "tweeling/v1/H1/n1/UP",
        "tweeling/v1//n1/up",
        "tweeling/v1/+/n1/up",
        "tweeling/v1/H1/#/up",
        "tweeling/v1/H1/n.1/up",
        "tweeling/v1/H1/n1\n/up",
        "tweeling/v1/H1/" + "n" * 65 + "/up",
        "/tweeling/v1/H1/n1/up",
    ],
)
def test_any_other_topic_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="unknown"):
        topics.parse(text)


def test_the_filter_of_a_channel_names_every_node() -> None:
    assert topics.every(Channel.UP) == "tweeling/v1/+/+/up"
    assert topics.every(Channel.STATE, hub="H1") == "tweeling/v1/H1/+/state"
