"""Breaks what a fault plan says, when it says so, and notes each fault in the journal.

Faults of the emulator are planned there before the turn in which they are due, for this conversation alone: they wait
for their moment, and the emulator is asked which have struck. Those of the network and of the client's socket are done
on the spot. Services belong to whoever started them: the journal's event asks for it.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.clock import Clock
from services.simulator.account import AccountError, Emulator
from services.simulator.faultplan import Fault, Schedule, Target
from services.simulator.journal import Journal
from services.simulator.network import Network

_NETWORK: Final[dict[str, Callable[[Network, Fault], None]]] = {
    "cut": lambda network, _: network.cut(),
    "refuse": lambda network, fault: network.refuse(fault.knobs["seconds"]),
    "stall": lambda network, fault: network.stall(fault.knobs["seconds"]),
    "slow": lambda network, fault: network.slow(fault.knobs["seconds"], fault.knobs["delay"]),
}


def marker(name: str) -> str:
    """The words in an agent's instruction by which the emulator knows the conversation of a run."""
    return f"(training {name})"


def for_emulator(fault: Fault, mark: str, label: str) -> dict[str, Any]:
    """A fault as the emulator's control API takes it."""
    knobs = dict(fault.knobs)
    times = knobs.pop("strikes", 1)
    return {"do": fault.kind, "when": fault.moment, "times": times, "instruction": mark, "label": label, **knobs}


@dataclass
class Trouble:
    """The faults of one run.

    Args:
        schedule: What is due when.
        journal: Where each is noted.
        clock: The time.
        mark: The words by which the emulator knows the conversation.
        emulator: Its control API, where there is one.
        network: The client's network, where the run goes through one.
        cut: Cuts the client's socket.
    """

    schedule: Schedule
    journal: Journal
    clock: Clock
    mark: str
    emulator: Emulator | None = None
    network: Network | None = None
    cut: Callable[[], None] = lambda: None
    _due: tuple[Fault, ...] = ()
    _turn: int = 0
    _seen: set[str] = field(default_factory=set)

    @property
    def waiting(self) -> set[str]:
        """The labels of what was planned at the emulator and has not struck, as far as is known."""
        marks = self.journal.record.faults
        return {mark.label for mark in marks if mark.target == Target.EMULATOR} - self._seen

    async def begin(self, turn: int, phase: str) -> None:
        """A turn begins: plan at the emulator what is due in it. Safe to cancel.

        Args:
            turn: From 1.
            phase: Of the talk; what waits for a phase is due in its first turn.

        Raises:
            AccountError: The emulator does not take the faults.
        """
        with suppress(AccountError):  # it is asked again, at the latest in the end
            await self.look()
        past = {said.phase for said in self.journal.record.turns if said.number < turn}
        new = [fault for fault in self.schedule.phases if fault.phase == phase and phase not in past]
        self._turn = turn
        self._due = self._undone((*self.schedule.turns.get(turn, ()), *new))
        await self._plan(fault for fault in self._due if fault.target is Target.EMULATOR)

    def reach(self, place: str) -> None:
        """The turn has come to this place: do what is due there."""
        due = [fault for fault in self._due if fault.moment == place and fault.target is not Target.EMULATOR]
        self._due = tuple(fault for fault in self._due if fault not in due)
        for fault in due:
            self._do(fault)

    async def look(self) -> None:
        """Ask the emulator which of its faults have struck. Safe to cancel.

        Raises:
            AccountError: It does not say.
        """
        if self.waiting and self.emulator is not None:
            self._seen |= await self.emulator.struck(self.mark)

    def forget_what_never_struck(self) -> None:
        """Take out of the record what was planned at the emulator and has not struck."""
        record, never = self.journal.record, self.waiting
        record.faults = [mark for mark in record.faults if mark.label not in never]

    async def wait_for_seconds(self) -> None:
        """Do what is due at a second of the run, and was not done before. Safe to cancel.

        Raises:
            AccountError: The emulator does not take the faults.
        """
        first = next((turn.began for turn in self.journal.record.turns if turn.began), None)
        past = (self.clock.now() - first.replace(tzinfo=UTC)).total_seconds() if first else 0.0
        began = self.clock.monotonic() - past
        for fault in sorted(self._undone(self.schedule.seconds), key=lambda fault: fault.second or 0.0):
            await self.clock.sleep(max(0.0, began + (fault.second or 0.0) - self.clock.monotonic()))
            if fault.target is Target.EMULATOR:
                await self._plan([fault])
            else:
                self._do(fault)

    def _undone(self, faults: Iterable[Fault]) -> tuple[Fault, ...]:
        """Those that no process has done yet in this run."""
        done = {mark.label for mark in self.journal.record.faults}
        return tuple(fault for fault in faults if fault.label(self._turn) not in done)

    async def _plan(self, faults: Iterable[Fault]) -> None:
        faults = list(faults)
        if faults and self.emulator is not None:
            planned = [for_emulator(fault, self.mark, fault.label(self._turn)) for fault in faults]
            await self.emulator.plan(planned)
            for fault in faults:
                self._note(fault)

    def _do(self, fault: Fault) -> None:
        self._note(fault)
        if fault.target is Target.NETWORK and self.network is not None:
            _NETWORK[fault.kind](self.network, fault)
        elif fault.target is Target.CLIENT:
            self.cut()

    def _note(self, fault: Fault) -> None:
        mark = pb.FaultMark(
            at_turn=self._turn,
            target=fault.target,
            kind=fault.kind,
            moment=fault.moment,
            detail=fault.detail,
            label=fault.label(self._turn),
        )
        mark.time.FromDatetime(self.clock.now())
        if fault.target is Target.SERVICE:
            mark.service = fault.knobs["service"]
            mark.back_after.FromNanoseconds(int(fault.knobs.get("back_after", 0.0) * 1e9))
        self.journal.add(mark)
