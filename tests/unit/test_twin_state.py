import asyncio
import threading
from dataclasses import replace
from threading import Thread

from tweeling.adapters.memory import MemoryStore
from tweeling.adapters.memory_facts import MemoryFacts
from tweeling.domain.now import NodeNow
from tweeling.domain.points import Point, Points
from tweeling.domain.region import Hub, Region, Zone
from tweeling.domain.telemetry import Direction, Identity, Movement, Quality
from tweeling.services.changes import Changes
from tweeling.services.twin import Twin

NOTHING = Points.of(())


def zone(name: str, hub: str = "H1") -> Zone:
    return Zone(
        id=name,
        hub=hub,
        name=f"Vak {name}",
        indoor=False,
        area_m2=10,
        capacity_m3=25,
        floor_load_t_m2=5,
        materials=("grond",),
    )


REGION = Region(
    hubs=(Hub(id="H1", name="Kade", lat=52, lon=5),),
    zones=(zone("H1-B"), zone("H1-A")),
    materials=(),
    tenants=(),
    flows=(),
)


def fill(thing: str, time_ms: int, value: float, quality: int = Quality.GOOD) -> Point:
    return Point(f"H1/{thing}/fillingLevel", time_ms, value, quality)


def load(seq: int, direction: Direction, net_g: int, *, place: str = "H1-A", material: str = "grond") -> Movement:
    return Movement(
        identity=Identity("H1", "n1", "0" * 16, seq, 0),
        time_ms=seq,
        zone=place,
        direction=direction,
        net_g=net_g,
        material=material,
    )


def twin_of(*points: Point, movements: tuple[Movement, ...] = (), region: Region = REGION) -> Twin:
    """A twin started over stores that hold these."""
    store, facts = MemoryStore(), MemoryFacts()
    store.apply(Points.of(points), source="journal", through=1)
    facts.save_region(region)
    facts.apply_movements(movements, source="journal", through=1)
    twin = Twin(store, facts)
    twin.load()
    return twin


def test_zones_come_first_in_their_order_then_other_containers_by_hub_and_name() -> None:
    twin = twin_of(fill("P9", 1, 0.9), fill("P10", 1, 0.1), Point("A0/x/fillingLevel", 1, 0.2))
    assert [(row.hub, row.thing) for row in twin.things()] == [
        ("H1", "H1-B"),
        ("H1", "H1-A"),
        ("A0", "x"),
        ("H1", "P10"),
        ("H1", "P9"),
    ]
    empty, container = twin.things()[0], twin.things()[-1]
    assert (empty.name, empty.fill, empty.time_ms, empty.capacity_m3) == ("Vak H1-B", None, None, 25)
    assert (container.name, container.fill, container.capacity_m3) == ("P9", 0.9, None)


def test_it_starts_from_what_the_stores_hold() -> None:
    kept = (load(1, Direction.IN, 7_000_003), load(2, Direction.OUT, 2))
    twin = twin_of(fill("H1-A", 5, 0.4, Quality.HISTORICAL), fill("H1-A", 9, 0.5), movements=kept)
    row = twin.things()[1]
    assert (row.fill, row.time_ms, row.quality) == (0.5, 9, Quality.GOOD)
    assert row.stock_g == {"grond": 7_000_001}


def test_readings_and_weighings_change_it() -> None:
    twin = twin_of()
    twin.apply(
        Points.of([fill("H1-A", 10, 0.3), fill("H1-A", 20, 0.6, Quality.HISTORICAL), fill("H1-A", 15, 0.4)]),
        [load(1, Direction.IN, 500), load(2, Direction.OUT, 200), load(3, Direction.IN, 9, material="puin")],
    )
    row = twin.things()[1]
    assert (row.fill, row.time_ms, row.quality) == (0.6, 20, Quality.HISTORICAL)
    assert row.stock_g == {"grond": 300, "puin": 9}


def test_a_node_moves_its_own_hubs_stock_and_no_others() -> None:
    own = load(1, Direction.IN, 500)
    stranger = own.model_copy(update={"identity": replace(own.identity, hub="H9")})
    live, loaded = twin_of(), twin_of(movements=(own, stranger))
    live.apply(Points.of(()), [own, stranger])
    for twin in (live, loaded):
        [zone_now] = [thing for thing in twin.things() if thing.thing == "H1-A"]
        assert zone_now.stock_g == {"grond": 500}


def test_a_late_reading_never_replaces_a_newer_one_and_of_equal_times_the_last_stands() -> None:
    twin = twin_of(fill("H1-A", 100, 0.5))
    twin.apply(Points.of([fill("H1-A", 99, 0.9)]), ())
    assert twin.things()[1].fill == 0.5
    twin.apply(Points.of([fill("H1-A", 100, 0.6), fill("H1-A", 100, 0.7)]), ())
    assert twin.things()[1].fill == 0.7


def test_other_attributes_do_not_pass_for_a_fill() -> None:
    twin = twin_of(Point("H1/H1-A/batteryLevel", 5, 0.9))
    twin.apply(Points.of([Point("H1/H1-A/temperature", 6, 21.0)]), ())
    assert twin.things()[1].fill is None


def test_what_was_handed_out_never_changes() -> None:
    twin = twin_of(fill("H1-A", 1, 0.1), movements=(load(1, Direction.IN, 10),))
    before = twin.things()
    twin.apply(Points.of([fill("H1-A", 2, 0.2)]), [load(2, Direction.IN, 10)])
    assert (before[1].fill, before[1].stock_g) == (0.1, {"grond": 10})
    assert (twin.things()[1].fill, twin.things()[1].stock_g) == (0.2, {"grond": 20})


def test_a_node_is_online_until_its_own_last_will_says_otherwise() -> None:
    twin = twin_of()
    twin.presence(NodeNow("H1", "n2", online=True, since_ms=100, queued=0))
    twin.presence(NodeNow("H1", "n1", online=True, since_ms=100, queued=7))
    twin.presence(NodeNow("H1", "n1", online=True, since_ms=200, queued=3))  # a new connection …
    twin.presence(NodeNow("H1", "n1", online=False, since_ms=100, queued=0))  # … before the old one's will
    assert [(row.node, row.online, row.queued) for row in twin.nodes()] == [("n1", True, 3), ("n2", True, 0)]
    twin.presence(NodeNow("H1", "n1", online=False, since_ms=200, queued=0))
    assert not twin.nodes()[0].online


def test_every_change_raises_the_revision() -> None:
    twin = twin_of()
    seen = [twin.revision]
    twin.apply(NOTHING, [load(1, Direction.IN, 1)])
    seen.append(twin.revision)
    twin.presence(NodeNow("H1", "n", online=True, since_ms=1, queued=0))
    seen.append(twin.revision)
    twin.touch()
    seen.append(twin.revision)
    assert seen == sorted(set(seen))


def test_writers_in_many_threads_lose_no_gram() -> None:
    twin = twin_of()

    def bring(worker: int) -> None:
        for number in range(200):
            twin.apply(NOTHING, [load(worker * 1000 + number, Direction.IN, 1)])

    threads = [Thread(target=bring, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert twin.things()[1].stock_g == {"grond": 800}


def test_a_thousand_things_are_snapped_once_and_shared() -> None:
    twin = twin_of(*(fill(f"P{number}", 1, 0.5) for number in range(1000)))
    assert len(twin.things()) == 1002
    assert twin.things() is twin.things()


def test_a_reader_hears_a_change_from_another_thread() -> None:
    twin = twin_of()

    async def read() -> list[int]:
        changes = twin.changes()
        seen = [await anext(changes)]
        await asyncio.to_thread(twin.touch)
        seen.append(await anext(changes))
        return seen

    first, second = asyncio.run(read())
    assert second == first + 1


def test_a_slow_reader_skips_to_the_newest_revision() -> None:
    changes = Changes()

    async def read() -> list[int]:
        reader = changes.follow()
        seen = [await anext(reader)]
        for _ in range(1000):
            changes.touch()
        seen.append(await anext(reader))
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.to_thread(changes.touch)
        seen.append(await waiting)
        return seen

    assert asyncio.run(read()) == [0, 1000, 1001]


def test_a_reader_without_news_waits() -> None:
    changes = Changes()

    async def read() -> bool:
        reader = changes.follow()
        await anext(reader)
        waiting = asyncio.ensure_future(anext(reader))
        for _ in range(10):
            await asyncio.sleep(0)
        early = waiting.done()
        changes.touch()
        await waiting
        return early

    assert not asyncio.run(read())


def test_readers_on_several_loops_all_hear_and_a_closed_loop_is_forgotten() -> None:
    changes = Changes()
    ready = threading.Barrier(4)
    heard: list[int] = []

    async def read() -> None:
        reader = changes.follow()
        await anext(reader)
        await asyncio.to_thread(ready.wait, 10)
        heard.append(await anext(reader))

    threads = [Thread(target=lambda: asyncio.run(read())) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait(10)
    changes.touch()
    for thread in threads:
        thread.join(10)
    changes.touch()
    assert heard == [1, 1, 1]
    assert not changes._readers
