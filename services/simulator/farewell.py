"""The end of a run: let the last turn be stored, look at what the agent's context has, let a judge judge, part."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from filo.relay.v1 import relay_pb2
from filo.simulator.v1 import simulator_pb2 as pb
from services.common.errors import ServiceError
from services.simulator import checks, judge, report
from services.simulator.account import AccountError, Emulator
from services.simulator.checks import Held
from services.simulator.meeting import Meeting, Tools
from services.simulator.record import Turn
from services.simulator.talk import LostError
from services.simulator.textmodel import TextModelError
from services.simulator.trouble import Trouble

PATIENCE: Final = 2.0
"""Seconds for the relay to store the last turn, to end the conversation, and to say so: each."""
LOOKS: Final = 5
"""How often the agent's context is looked at, within `PATIENCE`, before something is said to be missing in it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What was found at the end.

    Attributes:
        held: What of the run the agent's context has.
        counted_by: Who says so.
        judged: A judge's checks.
    """

    held: Held
    counted_by: str
    judged: tuple[pb.Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Farewell:
    """Ends one run's talk.

    Args:
        run: Which run.
        stream: The voice of its prospect.
        tools: What all runs share.
        log: With the run bound.
    """

    run: pb.Run
    stream: int
    tools: Tools
    log: structlog.stdlib.BoundLogger

    async def settle(self, met: Meeting, turns: Sequence[Turn], last_input: int) -> Settled:
        """Find out what is left of these turns. Safe to cancel.

        Args:
            met: Between the prospect and the agent.
            turns: What may be expected to be in the agent's context.
            last_input: The client's number of the last completed turn's last input.
        """
        outbox = met.session.outbox
        await _briefly(met, lambda: outbox.covered >= last_input)
        await self._ask_for_faults(met.trouble)
        held, counted_by = await self._count(turns, outbox.covered)
        return Settled(held, counted_by, await self._judge([turn for turn in turns if turn.completed]))

    async def end(self, met: Meeting) -> None:
        """End the conversation. Safe to cancel."""
        request = relay_pb2.EndSessionRequest(conversation=self.run.conversation, reason="the run is over")
        try:
            await self.tools.relay.EndSession(request, timeout=PATIENCE)
        except ServiceError as error:
            self.log.info("conversation not ended", reason=error.reason, detail=error.detail)
            return
        await _briefly(met, lambda: met.hearing.over is not None)

    async def _ask_for_faults(self, trouble: Trouble) -> None:
        """Look again while a fault has not struck: the moment of the last ones may be only just coming."""
        for look in range(LOOKS):
            try:
                await trouble.look()
            except AccountError as error:
                self.log.warning("no word of the faults", reason=str(error))
            if not trouble.waiting:
                break
            if look < LOOKS - 1:
                await self.tools.clock.sleep(PATIENCE / LOOKS)
        trouble.forget_what_never_struck()

    async def _count(self, turns: Sequence[Turn], covered: int) -> tuple[Held, str]:
        """What the agent's context has of these turns, and who says so."""
        emulator = self.tools.emulator
        if emulator is not None and self.run.spec.channel == pb.CHANNEL_VOICE:
            try:
                return await self._held_by_emulator(emulator, turns), report.BY_EMULATOR
            except AccountError as error:
                self.log.warning("no account", reason=str(error))
        return checks.held_by_relay(turns, covered), report.BY_CLIENT

    async def _held_by_emulator(self, emulator: Emulator, turns: Sequence[Turn]) -> Held:
        """Look again while something is missing: a connection that ended with the last turn is still being replaced."""
        held = checks.held_by_emulator(turns, await emulator.account(self.stream))
        for _ in range(1, LOOKS):
            if not held.lost and not held.frames_lost:
                break
            await self.tools.clock.sleep(PATIENCE / LOOKS)
            held = checks.held_by_emulator(turns, await emulator.account(self.stream))
        return held

    async def _judge(self, turns: Sequence[Turn]) -> tuple[pb.Check, ...]:
        spec, model = self.run.spec, self.tools.text
        if not spec.judge or model is None or not turns:
            return ()
        try:
            return tuple(await judge.judge(model, spec.text_model, turns, spec.thresholds))
        except TextModelError as error:
            self.log.warning("no judge", reason=str(error))
            return ()


async def _briefly(met: Meeting, reached: Callable[[], bool]) -> None:
    """Wait for something that should come soon, and do without it if it does not."""
    with suppress(TimeoutError, LostError):
        async with asyncio.timeout(PATIENCE):
            await met.talk.until(reached)
