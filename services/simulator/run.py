"""One run, from the first word to the report. It never raises: it ends with an outcome and a reason, or is left."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import structlog

from filo.simulator.v1 import simulator_pb2 as pb
from services.common import voice
from services.common.errors import ServiceError
from services.simulator import checks, endings, meeting, modelmanager, report, verdicts
from services.simulator import hold as holds
from services.simulator.account import AccountError
from services.simulator.advising import Advising
from services.simulator.checks import Held
from services.simulator.endings import Ending
from services.simulator.farewell import Farewell, Settled
from services.simulator.hold import Hold
from services.simulator.improvisation import Improvisation
from services.simulator.journal import Journal
from services.simulator.measures import Case
from services.simulator.meeting import Meeting, Tools
from services.simulator.prospect import Line, Prospect
from services.simulator.record import Turn, facts
from services.simulator.spec import Cast
from services.simulator.store import AwayError, FencedError
from services.simulator.talk import LostError
from services.simulator.textmodel import TextModelError

Keep = Callable[[bytes], Awaitable[None]]
"""Keeps what another process must know to go on."""


class TrainingRun:
    """A prospect talks to the agent.

    Args:
        run: What was asked for, complete; filled in as the run goes on.
        cast: Who takes part.
        journal: Where everything that happens is noted; of a run that another process began, with what is known.
        tools: What all runs share.
        log: With the run bound.
        keep: Keeps what another process must know.
        hold: What another process kept, if one began the run.

    Attributes:
        fenced: Another simulator has the run: nothing of it may be kept here.
    """

    def __init__(
        self,
        run: pb.Run,
        cast: Cast,
        journal: Journal,
        tools: Tools,
        log: structlog.stdlib.BoundLogger,
        keep: Keep,
        hold: Hold | None = None,
    ) -> None:
        self.run = run
        self.journal = journal
        self.fenced = False
        self._cast = cast
        self._tools = tools
        self._log = log
        self._keep = keep
        self._handed_over = hold is not None and hold.handed_over
        self._hold = msgspec.structs.replace(hold, handed_over=False) if hold else holds.new()
        self._goes_on = hold is not None
        self._begun = False
        self._leaving = False
        self._died_at = journal.events[-1].time.ToDatetime(UTC) if journal.events else None
        self._prospect = Prospect(cast.persona, run.spec.seed, run.spec.turns)
        self._words: Improvisation | None = None
        if run.spec.prospect == pb.PROSPECT_KIND_GEMINI and tools.text is not None:
            self._words = Improvisation(cast.persona, tools.text, run.spec.text_model)
        who = modelmanager.hired(run.spec, cast.rules, tools.text)
        self._advising = Advising(who, run, journal, tools.relay, tools.clock, log)
        self._stopping = False
        self._scope: asyncio.Timeout | None = None
        self._settled: Settled | None = None
        self._ended: datetime | None = None
        self._met: Meeting | None = None

    def stop(self) -> None:
        """End after the turn in progress."""
        self._stopping = True

    def leave(self) -> None:
        """Perform no more of it, now: another process goes on at the same turn. Doing it twice changes nothing."""
        self._leaving = True
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())

    def fence(self) -> None:
        """Another simulator has the run: leave it, and keep nothing."""
        self.fenced = True
        self.leave()

    def parting_hold(self) -> bytes:
        """What the next process must know, for one that leaves on purpose; empty where there is nothing to know."""
        return holds.encode(msgspec.structs.replace(self._hold, handed_over=True)) if self._begun else b""

    async def perform(self) -> None:
        """Run to an end: `run` has outcome, reason, report and transcript then; no outcome when it was left."""
        ending = await self._ending()
        if ending is None:
            return
        self.run.outcome, self.run.reason = ending.outcome, ending.reason
        self.run.end_time.FromDatetime(self._tools.clock.now())
        self.describe()

    async def _ending(self) -> Ending | None:
        try:
            async with asyncio.timeout(0 if self._leaving else None) as self._scope:
                return await self._converse()
        except Exception as error:  # noqa: BLE001 - a run never takes the simulator with it
            return None if self._leaving else self._failed(error)
        finally:
            self._scope = None

    def _failed(self, error: Exception) -> Ending | None:
        errors = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        self.fenced = self.fenced or any(isinstance(one, FencedError) for one in errors)
        if self.fenced or any(isinstance(one, AwayError) for one in errors):
            return None
        if isinstance(error, ServiceError):
            begun = "go on" if self._goes_on else "begin"
            return Ending(pb.OUTCOME_FAILED, f"The run could not {begun}: {error.detail}")
        if isinstance(errors[0], AccountError):
            return Ending(pb.OUTCOME_FAILED, f"A fault could not be planned: {errors[0]}.")
        self._log.error("run failed", exc_info=error)
        return Ending(pb.OUTCOME_FAILED, "The simulator failed; its log has the details.")

    def describe(self) -> None:
        """Bring `run` up to date: its report and its transcript. What the context has is counted at the end."""
        record = self.journal.record
        if self._settled is None and self.run.outcome:
            covered = self._met.session.outbox.covered if self._met else 0
            self._settled = Settled(checks.held_by_relay(record.completed, covered), report.BY_CLIENT)
        found = self._settled or Settled(Held(), report.NOT_COUNTED)
        self.run.turns_completed = len(record.completed)
        self.run.report.CopyFrom(report.build(self.run, record, found.held, found.counted_by, self._verdicts(found)))
        del self.run.transcript[:]
        self.run.transcript.extend(record.transcript())

    def _verdicts(self, found: Settled) -> list[pb.Check]:
        if not self.run.outcome:
            return []
        spec, persona = self.run.spec, self._cast.persona
        case = Case(
            spec=spec,
            record=self.journal.record,
            held=found.held,
            phases=tuple(phase.name for phase in persona.phases),
            window=report.window(spec.model),
            pace=spec.speed * persona.manner.pace,
            promises=self._cast.promises(spec),
            ended=self._ended,
        )
        return [*verdicts.judge(case), *found.judged]

    # The talk. ------------------------------------------------------------------------------------------------------

    async def _converse(self) -> Ending:
        """Come to the conversation, talk, count what is left of it, end it."""
        holds.recount(self.journal.record)
        await self._keep_hold()
        async with (
            meeting.opened(self.run, self._cast, self.journal, self._hold, self._tools, self._log) as met,
            asyncio.TaskGroup() as group,
        ):
            beside = (met.client.run(), met.talk.listen(), met.trouble.wait_for_seconds(), self._advising.watch())
            tasks = [group.create_task(work) for work in beside]
            self._met = met
            ending = await self._turns(met)
            self._ended = self._tools.clock.now().replace(tzinfo=None)
            await self._settle(met, ending)
            for task in tasks:
                task.cancel()
        return ending

    async def _turns(self, met: Meeting) -> Ending:
        """Talk turn by turn, as long as there is somebody to talk to."""
        spec, record = self.run.spec, self.journal.record
        try:
            return await self._talk(met)
        except LostError as lost:
            over, opened = lost.over, met.hearing.open
            return endings.lost(spec, over, len(record.turns), opened=opened, goes_on=self._goes_on)
        except TimeoutError:
            limit = self._tools.settings.turn_timeout
            return Ending(pb.OUTCOME_LOST, f"Turn {len(record.turns)} was not answered within {limit:g} s.")
        except AccountError as error:
            return Ending(pb.OUTCOME_FAILED, f"A fault could not be planned: {error}.")
        except TextModelError as error:
            return Ending(pb.OUTCOME_FAILED, f"The prospect has no words: {error}.")

    async def _talk(self, met: Meeting) -> Ending:
        spec, record = self.run.spec, self.journal.record
        unfinished = len(record.turns) > len(record.completed)  # its answer may be told as soon as the socket opens
        await met.talk.until(lambda: met.hearing.open)
        lines = [self._prospect.speak(turn.disturbances, asks=bool(turn.asked)) for turn in record.turns]
        if spec.no_resume and self._goes_on and record.turns:
            return endings.orphaned(len(record.turns))
        self._tell_takeover(record.turns)
        if unfinished:
            await self._go_on(met, record.turns[-1], lines[-1])
        for number in range(len(record.turns) + 1, spec.turns + 1):
            if self._stopping:
                return Ending(pb.OUTCOME_STOPPED, f"The run was stopped after turn {number - 1}.")
            await self._advising.look()
            await self._turn(met, number)
        return Ending(pb.OUTCOME_COMPLETED, f"All {spec.turns} turns were completed.")

    async def _turn(self, met: Meeting, number: int) -> None:
        """One turn: think, speak, hear the answer."""
        record, manner = self.journal.record, self._cast.persona.manner
        phase, silence = self._prospect.think()
        await met.trouble.begin(number, phase)
        speaks_into = bool(record.turns) and not record.turns[-1].completed
        if not speaks_into:
            usual = self._tools.settings.pause if manner.pause is None else manner.pause
            await met.talk.pause(usual + silence)
        await self._remember(met, number)
        line = self._prospect.speak(record.disturbances)  # what was cut while it thought, it asks after
        if self._words is not None:
            line = await self._words.word(line, record.turns)
        said = pb.ProspectSaid(
            text=line.text,
            phase=line.phase,
            told=facts({fact.phrase: fact.value for fact in line.told}),
            asked=facts({fact.phrase: fact.value for fact in line.asked}),
        )
        self.journal.add(said, turn=number)
        await self.journal.flush()
        async with asyncio.timeout(self._tools.settings.turn_timeout):
            await met.talk.take_turn(record.turns[-1], interrupts=line.interrupts)

    async def _remember(self, met: Meeting, number: int) -> None:
        """Keep, before the line is told and spoken, where another process would have to go on."""
        (epoch, seen), handle = met.session.standing
        first = met.session.outbox.next
        self._hold = msgspec.structs.replace(
            self._hold, epoch=epoch, number=seen, handle=handle, turn=number, first_input=first
        )
        await self._keep_hold()

    async def _keep_hold(self) -> None:
        await self._keep(holds.encode(self._hold))
        self._begun = True

    def _tell_takeover(self, turns: Sequence[Turn]) -> None:
        if not self._goes_on:
            return
        now = self._tools.clock.now()
        gap = (now - self._died_at).total_seconds() if self._died_at else 0.0
        mark = pb.TakeoverMark(
            at_turn=max(1, len(turns)), gap_ms=max(0, round(gap * 1000)), handed_over=self._handed_over
        )
        mark.time.FromDatetime(now)
        self.journal.add(mark)

    async def _go_on(self, met: Meeting, turn: Turn, line: Line) -> None:
        """Finish a turn that another process began: say what the relay does not have of its line, hear the answer."""
        written = self.run.spec.channel == pb.CHANNEL_TEXT
        whole = 1 if written else voice.frame_count(turn.prospect)
        spoken = whole if turn.completed else self._hold.spoken(turn.number, met.session.outbox.next, whole)
        self._log.info("run goes on", turn=turn.number, spoken=spoken, whole=whole)
        await met.trouble.begin(turn.number, turn.phase)
        async with asyncio.timeout(self._tools.settings.turn_timeout):
            await met.talk.take_turn(turn, interrupts=line.interrupts, spoken=spoken)

    # The end. -------------------------------------------------------------------------------------------------------

    async def _settle(self, met: Meeting, ending: Ending) -> None:
        """Find out what is left of the talk, and end it."""
        record, goodbye = self.journal.record, Farewell(self.run, self._hold.stream, self._tools, self._log)
        completed = record.completed
        turns = record.turns if ending.outcome == pb.OUTCOME_LOST else completed
        self._settled = await goodbye.settle(met, turns, completed[-1].last_input if completed else 0)
        with suppress(ServiceError):  # what became of the last advice is not known then
            await self._advising.settle()
        await goodbye.end(met)
