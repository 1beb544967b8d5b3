"""Kills at seeded points of progress: what dies, when, and after how much; the same seed makes the same plan."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from support_broker import until
from support_rig import Rig
from support_rig_program import Program

PATIENCE_S = 120.0

Victims = Sequence["Program | _Worker"]


class Kill(NamedTuple):
    """One point. when: under load, after so many more commits; at start, after that share of a start-up's calls; or
    while a backlog of so many samples drains, after that share of it.
    """

    victims: tuple[str, ...]
    when: str
    amount: int
    share: float


def plan(seed: int, points: int, victims: Sequence[str]) -> list[Kill]:
    """Deal victims evenly, in random order; every fifth time hub and broker die together."""
    rng = Random(seed)
    deck: list[tuple[str, ...]] = []
    while len(deck) < points:
        hand = [(victim,) for victim in victims] + ([("hub", "broker")] if len(deck) % 2 == 0 else [])
        deck += rng.sample(hand, len(hand))
    whens = rng.choices(("load", "start", "drain"), (5, 2, 2), k=points)
    return [
        Kill(names, "load" if "worker" in names else when, rng.randint(1, 400), rng.random())
        for names, when in zip(deck[:points], whens, strict=True)
    ]


class _Worker:
    """One of the hub's own processes, which the hub itself must start again."""

    name = "a process of the hub"
    running = True

    def __init__(self, hub: Program, rng: Random) -> None:
        self._hub, self._rng = hub, rng

    def kill(self) -> None:
        os.kill(self._rng.choice(sorted(self._hub.children())), signal.SIGKILL)


class Killer:
    """Carries a plan out on a rig that runs."""

    def __init__(self, rig: Rig, seed: int, *, forgetful: bool = False) -> None:
        """forgetful: the broker loses its state with its life."""
        self._rig = rig
        self._forgetful = forgetful
        self._rng = Random(seed)

    def carry_out(self, kills: Sequence[Kill]) -> None:
        """Kill and restart, point by point; each waits until the installation goes on."""
        for number, kill in enumerate(kills, 1):
            victims = [self._victim(name) for name in kill.victims]
            names = " and ".join(victim.name for victim in victims)
            self._rig.guard.tell(f"{number}. {names}: {kill.when}, {kill.amount}, {kill.share:.3f}")
            getattr(self, f"_{kill.when}")(kill, victims)
            self._rig.start()

    def _load(self, kill: Kill, victims: Victims) -> None:
        self._await_progress(kill.amount)
        self._kill(victims)

    def _start(self, kill: Kill, victims: Victims) -> None:
        self._await_progress(1)
        self._kill(victims)
        for victim in victims:
            assert isinstance(victim, Program)
            goal = kill.share * victim.startup_calls
            victim.start(wait=False)
            until(lambda goal=goal, victim=victim: victim.calls() >= goal, f"{victim.name} is that far")  # type: ignore[misc]  # bound now
        self._kill(victims)

    def _drain(self, kill: Kill, victims: Victims) -> None:
        rig = self._rig
        rig.hub.kill()
        backlog = rig.held() + kill.amount
        until(lambda: rig.held() >= backlog, f"{backlog} samples wait", seconds=PATIENCE_S)
        before = rig.progress()
        rig.hub.start()
        goal = before + 1 + round(kill.share * backlog)
        until(lambda: rig.progress() >= goal, f"{goal - before} samples are drained", seconds=PATIENCE_S)
        self._kill(victims)

    def _await_progress(self, amount: int) -> None:
        goal = self._rig.progress() + amount
        until(lambda: self._rig.progress() >= goal, f"{amount} more commits", seconds=PATIENCE_S)

    def _victim(self, name: str) -> Program | _Worker:
        rig = self._rig
        match name:
            case "edge":
                return self._rng.choice(rig.edges).program
            case "hub":
                return rig.hub
            case "worker":
                return _Worker(rig.hub, self._rng)
            case "store":
                assert rig.store is not None
                return rig.store
        return rig.broker

    def _kill(self, victims: Victims) -> None:
        for victim in victims:
            if victim.running:
                victim.kill()
            if victim is self._rig.broker and self._forgetful:
                self._rig.files.forget()
