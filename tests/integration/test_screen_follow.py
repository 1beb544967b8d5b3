from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from support_screens import SmallTwin

from tweeling.errors import UnavailableError
from tweeling_dashboards import app
from tweeling_dashboards.snapshot import Snapshot, Snapshots


class Counting(SmallTwin):
    """A twin that counts how often it is read, and whose changes may fail at first."""

    def __init__(self, *, failures: int = 0) -> None:
        super().__init__()
        self.reads = 0
        self.failures = failures

    def counts(self) -> dict[str, int]:
        self.reads += 1
        return super().counts()

    async def changes(self) -> AsyncIterator[int]:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("not yet")
        async for revision in super().changes():
            yield revision


async def _next(followed: AsyncIterator[Snapshot]) -> Snapshot:
    return await asyncio.wait_for(anext(followed), 10)


def _fill(snapshot: Snapshot) -> float | None:
    return snapshot.things[0].fill


def test_a_change_reaches_every_follower_with_one_reading_of_the_twin() -> None:
    async def scenario() -> None:
        twin = Counting()
        snapshots = Snapshots(twin, pulse_s=60)
        followers = [snapshots.follow() for _ in range(20)]
        await asyncio.gather(*(_next(one) for one in followers))
        read = twin.reads
        waiting = [asyncio.ensure_future(_next(one)) for one in followers]
        await asyncio.to_thread(twin.set_fill, "H1", "H1-A", 0.123)
        assert {_fill(snapshot) for snapshot in await asyncio.gather(*waiting)} == {0.123}
        assert twin.reads - read <= 2
        for one in followers:
            await one.aclose()
        assert twin.followed_by_nobody(timeout_s=0)

    asyncio.run(scenario())


def test_a_change_while_a_follower_is_busy_is_not_lost() -> None:
    async def scenario() -> None:
        twin = SmallTwin()
        followed = Snapshots(twin, pulse_s=60).follow()
        await _next(followed)
        for fill in (0.1, 0.2, 0.3):
            twin.set_fill("H1", "H1-A", fill)
        assert _fill(await _next(followed)) == 0.3
        await followed.aclose()

    asyncio.run(scenario())


def test_without_changes_a_page_still_hears_that_time_passes() -> None:
    async def scenario() -> None:
        followed = Snapshots(SmallTwin(), pulse_s=0.05).follow()
        assert (await _next(followed)).number < (await _next(followed)).number
        await followed.aclose()

    asyncio.run(scenario())


def test_a_twin_whose_changes_do_not_answer_is_asked_again() -> None:
    async def scenario() -> None:
        twin = Counting(failures=2)
        followed = Snapshots(twin, pulse_s=0.05).follow()
        while twin.failures:
            await _next(followed)
        await _next(followed)
        twin.set_fill("H1", "H1-A", 0.321)
        while _fill(await _next(followed)) != 0.321:
            pass
        await followed.aclose()

    asyncio.run(scenario())


def test_a_page_that_no_longer_answers_is_noticed() -> None:
    class Silent:
        async def get_prop(self, element: str, name: str, timeout: float) -> None:  # noqa: ASYNC109 - Dash asks so
            raise TimeoutError(element, name, timeout)

    async def scenario() -> None:
        await asyncio.wait_for(app._gone(Silent(), every_s=0.01), 10)

    asyncio.run(scenario())
