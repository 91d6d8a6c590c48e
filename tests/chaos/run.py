"""The runner: fires one class after the other under load, heals, waits, has the judge look, and reports."""

import asyncio
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos import (
    checker,
    faults_calls,
    faults_failover,
    faults_machine,
    faults_process,
    faults_sagas,
    faults_store,
)
from tests.chaos.load import Load
from tests.chaos.stage import FAULTS, Fault, NotFiredError, Stage
from tests.chaos.world import World

CATALOGUE: Final = tuple(f"F{number}" for number in range(1, 27))
MODULES: Final = (faults_calls, faults_failover, faults_machine, faults_process, faults_sagas, faults_store)
CALLERS: Final = 6
PAUSE_S: Final = 0.4
CLASS_S: Final = 420.0
"""How long one class may take."""


@dataclass
class Played:
    """What came of one class. ``heal_s``: from healed to the last saga's end."""

    name: str
    title: str
    fired: int
    seen: str
    heal_s: float = 0.0
    violations: list[str] = field(default_factory=list)
    fault: str = ""
    """Why it did not fire, if it did not."""


class Run:
    """One run. ``only`` limits it to some classes."""

    def __init__(self, directory: Path, seed: int, *, full: bool, only: Sequence[str] = ()) -> None:
        self._directory = directory
        self._seed = seed
        self._full = full
        self._only = tuple(only)
        self.played: list[Played] = []
        self.ends: Counter[str] = Counter()
        self.checked: Counter[str] = Counter()
        self._known: set[str] = set()

    @property
    def classes(self) -> list[Fault]:
        """What is played, in an order drawn from the seed by the world."""
        chosen = [FAULTS[name] for name in CATALOGUE if name in FAULTS and (self._full or FAULTS[name].short)]
        return [each for each in chosen if not self._only or each.name in self._only]

    async def play(self, *, storm_s: float = 0.0) -> bool:
        """Whether every class fired and nothing was violated."""
        async with World(self._directory, self._seed) as world:
            load = Load(world)
            await load.open()
            stage = Stage(world, load, self._full)
            await world.heal()
            load.run(CALLERS, PAUSE_S)
            try:
                classes = self.classes
                world.draw.shuffle(classes)
                for each in classes:
                    await self._play_one(stage, each)
                if storm_s and self._full and not self._only:
                    await self._storm(stage, storm_s)
            finally:
                await load.close()
        missing = [name for name in CATALOGUE if name not in FAULTS] if self._full and not self._only else []
        self.played += [Played(name, "", 0, "", fault="no scenario") for name in missing]
        both = self.ends["COMPLETED"] and self.ends["COMPENSATED"]
        return bool(both) and all(each.fired and not each.violations and not each.fault for each in self.played)

    async def _play_one(self, stage: Stage, each: Fault) -> None:
        sys.stdout.write(f"{each.name} {each.title}\n")
        sys.stdout.flush()
        stage.load.paused.clear()
        began = time.monotonic()
        fired, seen, fault = 0, "", ""
        for tries_left in (1, 0):
            try:
                fired, seen = await asyncio.wait_for(each.play(stage), CLASS_S)
                fault = ""
                break
            except Exception as error:
                fault = f"{type(error).__name__}: {error}"
                sys.stdout.write(traceback.format_exc())
                if not isinstance(error, NotFiredError) or not tries_left:
                    break
                # The fault missed what it was meant for, which says nothing of the system: aim once more.
                await stage.world.heal()
        stage.say(f"fired {fired} in {time.monotonic() - began:.1f} s: {fault or seen}")
        await self._conclude(stage, Played(each.name, each.title, fired, seen, fault=fault))

    async def _conclude(self, stage: Stage, played: Played) -> None:
        """Heals everything, waits for the sagas, and lets the judge look."""
        await stage.world.heal()
        played.heal_s = await stage.quiet()
        verdict = await checker.check(stage.world, stage.load.told)
        new = [violation for violation in verdict.violations if violation not in self._known]
        self._known.update(new)
        self.ends, self.checked = verdict.ends, self.checked + verdict.checked
        played.violations = new
        self.played.append(played)
        stage.say(f"healed in {played.heal_s:.1f} s; {sum(verdict.ends.values())} sagas looked at")
        for violation in new:
            stage.say(f"VIOLATION {violation}")

    async def _storm(self, stage: Stage, seconds: float) -> None:
        """Safety mode: faults all the time, several at once, on processes and wires drawn from the seed."""
        sys.stdout.write(f"storm, {seconds:g} s\n")
        world, draw = stage.world, stage.world.draw
        stage.load.paused.clear()
        fired: Counter[str] = Counter()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            kind = draw.choice(
                ("kill node", "freeze node", "kill participant", "freeze participant", "cut", "hole", "db")
            )
            fired[kind] += 1
            node = draw.choice(world.live) if world.live else None
            participant = draw.choice(list(world.participants.values()))
            if kind == "kill node" and node:
                await node.child.kill()
            elif kind == "freeze node" and node:
                node.signal(signal.SIGSTOP)
            elif kind == "kill participant":
                await participant.child.kill()
            elif kind == "freeze participant" and participant.is_running:
                participant.signal(signal.SIGSTOP)
            elif kind == "cut" and node:
                for way in (node.database, *node.participants.values()):
                    way.cut()
            elif kind == "hole" and node:
                draw.choice([node.database, *node.participants.values()]).deaf = {draw.choice(("up", "down"))}
            elif kind == "db":
                world.postgres.kill()
                await asyncio.sleep(draw.uniform(0, 2))
                world.postgres.restart()
            await asyncio.sleep(draw.uniform(0.2, 3))
            if draw.random() < 0.5:
                with suppress(TimeoutError):
                    await asyncio.wait_for(world.heal(), 60)
        seen = ", ".join(f"{count} {kind}" for kind, count in sorted(fired.items()))
        await self._conclude(stage, Played("storm", "all at once", fired.total(), seen))

    def report(self, took_s: float) -> str:
        """The run in words and a table, as ``docs/chaos.md`` shows it."""
        lines = [
            f"\nchaos: seed {self._seed}, {'full' if self._full else 'short'} run, {took_s / 60:.1f} min",
            f"sagas by end: {', '.join(f'{count} {end}' for end, count in sorted(self.ends.items()))}",
            f"looked at: {', '.join(f'{count} {what}' for what, count in sorted(self.checked.items()))}",
            "",
            "| class | fault | fired | violations | time to heal | seen from outside |",
            "| --- | --- | ---: | ---: | ---: | --- |",
        ]
        order = {name: number for number, name in enumerate((*CATALOGUE, "storm"))}
        for each in sorted(self.played, key=lambda played: order[played.name]):
            seen = f"NOT FIRED: {each.fault}" if each.fault else each.seen
            lines.append(
                f"| {each.name} | {each.title} | {each.fired} | {len(each.violations)} | {each.heal_s:.1f} s | {seen} |"
            )
        violations = [violation for each in self.played for violation in each.violations]
        failed = [each.name for each in self.played if each.fault or not each.fired]
        lines += ["", f"violations: {len(violations)}; classes that did not fire: {', '.join(failed) or 'none'}"]
        return "\n".join([*lines, *violations])
