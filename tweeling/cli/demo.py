"""`tweeling demo`: the whole chain with real parts, each a process that this one owns."""

from __future__ import annotations

import fcntl
import json
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tweeling import bootstrap, config
from tweeling.adapters import nats
from tweeling.cli import configs, seeding
from tweeling.cli.chain import Chain
from tweeling.cli.installation import Clockwork, Installation, Ports, Story
from tweeling.cli.summary import Observed, as_json, since
from tweeling.cli.supervisor import Supervisor, claim, free_port, listening
from tweeling.cli.watch import Watch
from tweeling.errors import ConfigError
from tweeling.simulation.region import load as load_region

_LOCAL = ZoneInfo("Europe/Amsterdam")
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said. headless_s: run so long and sum up; None: until Ctrl-C."""

    folder: Path
    port: int
    mqtt_port: int
    chain_port: int
    speed: float
    seed: int
    headless_s: float | None
    as_json: bool
    open_browser: bool


def run_demo(options: Options, stop: threading.Event) -> int:
    """Run the demo until it is told to stop, or for its time; return the exit code."""
    console = Console(stderr=options.as_json, highlight=False, soft_wrap=True)
    installation = Installation(options.folder.resolve())
    try:
        installation.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"cannot be a folder: {exc.strerror}", field="--data", source=str(installation.folder)
        ) from exc
    if installation.config.exists() and not installation.is_demo:
        raise ConfigError(
            "an installation lives here",
            field="--data",
            source=str(installation.folder),
            remedy="`tweeling up` runs it; name another folder for a demo",
        )
    with _alone(installation):
        ports = _ports(options)
        story = installation.story(seed=options.seed, speed=options.speed)
        if not _load_history(installation, story, console, stop):
            console.print("Stopped while loading history; the next run goes on from there.")
            return 130
        began = time.monotonic()
        seen = _live(installation, story, ports, options, console, stop)
        if options.headless_s is None:
            console.print("Everything has stopped; the next run goes on with the same data.")
            return 0
        return _sum_up(replace(seen, seconds=round(time.monotonic() - began, 1)), options, console)


def _live(
    installation: Installation, story: Story, ports: Ports, options: Options, console: Console, stop: threading.Event
) -> Observed:
    """Start every part, watch until told to stop, end them in order; return what was seen."""
    region = load_region()
    password = configs.people(installation)
    configs.partners(installation, region)
    users = configs.broker(installation, region, ports)
    with Supervisor(installation.logs) as owner:
        owner.start("broker", nats.command(users.conf), ready=lambda: nats.answers(users))
        chain = Chain(installation, ports.chain)
        if trouble := chain.start(owner):
            console.print(f"  !!  {trouble}\n      Events are captured all the same, and stay pending.")
        clockwork = Clockwork(installation, story)
        configs.hub(installation, clockwork, users, ports, chain.contract)
        configs.edges(installation, clockwork, users)
        python = [sys.executable, "-m"]
        hub = [*python, "tweeling", "up", str(installation.config)]
        owner.start("hub", hub, ready=lambda: listening(ports.http), within=60)
        watch = Watch(installation, owner, chain_present=chain.contract is not None)
        before = watch.look()
        edges = [
            owner.start(f"edge-{name}", [*python, "tweeling_edge", "run", str(installation.edge(name))]).name
            for name in configs.gateways(region)
        ]
        owner.start("partners", [*python, "tweeling", "demo-partners", "--data", str(installation.folder)])
        watch.gathered(len(edges), within=20)
        _greet(installation, ports, password, options, console)
        _watch(watch, clockwork, console, stop, options)
        if options.headless_s is not None:
            ended = watch.look().ended  # the children that nobody here has ended
            watch.prove()
            for name in edges:
                owner.stop(name)
            watch.drained(within=15)
            watch.seen = replace(watch.seen, ended=ended)
        owner.stop_all()
        clockwork.stop()
        return since(before, watch.afterwards()) if options.headless_s is not None else watch.seen


def _watch(watch: Watch, clockwork: Clockwork, console: Console, stop: threading.Event, options: Options) -> None:
    until = None if options.headless_s is None else time.monotonic() + options.headless_s
    said: set[str] = set()
    with console.status("") as line:
        while not stop.wait(_LOOK_S):
            clockwork.reserve()
            seen = watch.look()
            for name, how in seen.ended.items():
                if name not in said:
                    console.print(f"  !!  {name} {how}; its log: {options.folder / 'log' / f'{name}.log'}")
                    said.add(name)
            line.update(_line(clockwork, seen))
            if until is not None and time.monotonic() >= until:
                return


def _line(clockwork: Clockwork, seen: Observed) -> str:
    moment = datetime.fromtimestamp(clockwork.now_ms() / 1000, _LOCAL)
    faults = "".join(f" · {part}: {text}" for part, text in seen.faults.items())
    return (
        f"{moment:%a %d %b %Y %H:%M} · {seen.readings_in:,} readings · {seen.movements:,} weighings · "
        f"{seen.events_captured:,} events, {seen.events_anchored:,} anchored{faults}"
    )


def _greet(installation: Installation, ports: Ports, password: str, options: Options, console: Console) -> None:
    address = f"http://127.0.0.1:{ports.http}"
    console.print(f"\n  Dashboard  {address}")
    console.print(f"  Password   {password}   (kept in {installation.password})")
    console.print(f"  Data       {installation.folder}\n  Stop       Ctrl-C\n")
    if options.open_browser:
        code = installation.secrets / "login-code"
        webbrowser.open(f"{address}/login#code={code.read_text().strip()}")


def _sum_up(seen: Observed, options: Options, console: Console) -> int:
    summary = as_json(seen)
    if options.as_json:
        sys.stdout.write(json.dumps(summary) + "\n")
    else:
        for link in summary["links"]:  # type: ignore[attr-defined]  # a list of plain links
            mark = "ok " if link["ok"] else "NOT"
            console.print(f"  {mark} {link['link']:10} {link['detail']}{'; ' if link['kept'] else ''}{link['kept']}")
    return 0 if summary["ok"] else 1


def _load_history(installation: Installation, story: Story, console: Console, stop: threading.Event) -> bool:
    """Load what is missing of the past; False when told to stop before it was all there."""
    configs.stores_only(installation)
    with bootstrap.stores(config.load(installation.config)) as (store, _, facts):
        weeks = -(-(story.live_ms - story.start_ms) // seeding.WEEK_MS)
        if store.applied(seeding.SOURCE) >= weeks and facts.movements_applied(seeding.SOURCE) > weeks:
            seeding.finish(store, facts)
            return True
        text = "  ··  three years of history"
        columns = (TextColumn(text), BarColumn(), TextColumn("{task.completed} of {task.total} weeks"))
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            task = progress.add_task("", total=weeks)
            for done, _ in seeding.seed(store, facts, seed=story.seed, start_ms=story.start_ms, end_ms=story.live_ms):
                progress.update(task, completed=done)
                if stop.is_set():
                    return False
        seeding.finish(store, facts)
        return True


def _ports(options: Options) -> Ports:
    asked = {
        "--port": (options.port, "dashboard"),
        "--mqtt-port": (options.mqtt_port, "broker"),
        "--chain-port": (options.chain_port, "development chain"),
    }
    for option, (port, purpose) in asked.items():
        if port:
            claim(port, purpose, option)
    return Ports(*(port or free_port() for port, _ in asked.values()))


@contextmanager
def _alone(installation: Installation) -> Iterator[None]:
    with (installation.folder / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise ConfigError(
                "another demo runs here",
                field="--data",
                source=str(installation.folder),
                remedy="Stop it, or name another folder",
            ) from exc
        yield
