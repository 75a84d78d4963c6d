"""One run, from the first word to the report. It never raises: it always ends with an outcome and a reason."""

import asyncio
import random
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import structlog

from filo.client import Client, Credentials, Over, Session
from filo.handles.v1 import resources_pb2
from filo.relay.v1 import relay_pb2, relay_pb2_grpc
from filo.simulator.v1 import simulator_pb2 as pb
from services.common.clock import Clock
from services.common.errors import ServiceError
from services.simulator import agent, checks, report
from services.simulator.account import AccountError, Emulator
from services.simulator.checks import Held
from services.simulator.config import Settings
from services.simulator.hearing import Hearing
from services.simulator.journal import Journal
from services.simulator.metrics import Metrics
from services.simulator.persona import Persona
from services.simulator.prospect import Prospect
from services.simulator.record import Turn
from services.simulator.talk import Cut, LostError, Manner, Talk

FAREWELL: Final = 2.0
"""Seconds for the relay to store the last turn, to end the conversation, and to say so: each."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every run of a simulator shares."""

    settings: Settings
    clock: Clock
    relay: "relay_pb2_grpc.RelayServiceAsyncStub"
    metrics: Metrics
    emulator: Emulator | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: an outcome, and a sentence that explains it."""

    outcome: pb.Outcome.ValueType
    reason: str


class TrainingRun:
    """A prospect talks to the agent.

    Args:
        run: What was asked for, complete; filled in as the run goes on.
        persona: Who the prospect is.
        journal: Where everything that happens is noted.
        tools: What all runs share.
        log: With the run bound.
    """

    def __init__(
        self, run: pb.Run, persona: Persona, journal: Journal, tools: Tools, log: structlog.stdlib.BoundLogger
    ) -> None:
        self.run = run
        self.journal = journal
        self._tools = tools
        self._log = log
        self._prospect = Prospect(persona, run.spec.seed, run.spec.turns)
        self._hearing = Hearing(journal, tools.metrics)
        self._stream = random.SystemRandom().getrandbits(32)
        self._share_token = uuid.uuid4().hex
        self._stopping = False
        self._scope: asyncio.Timeout | None = None
        self._held: tuple[Held, str] | None = None
        self._session: Session | None = None

    def stop(self) -> None:
        """End after the turn in progress."""
        self._stopping = True

    def halt(self) -> None:
        """End now. Doing it twice changes nothing."""
        self._stopping = True
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())

    async def perform(self) -> None:
        """Run to an end; `run` has the outcome, the reason, the report and the transcript afterwards."""
        try:
            ending = await self._until_halted()
        except TimeoutError:
            ending = Ending(pb.OUTCOME_STOPPED, "The simulator was stopped.")
        except ServiceError as error:
            ending = Ending(pb.OUTCOME_FAILED, f"The run could not begin: {error.detail}")
        except Exception as error:  # noqa: BLE001 - a run never takes the simulator with it
            self._log.error("run failed", exc_info=error)
            ending = Ending(pb.OUTCOME_FAILED, "The simulator failed; its log has the details.")
        self.run.outcome, self.run.reason = ending.outcome, ending.reason
        self.run.end_time.FromDatetime(self._tools.clock.now())
        self.describe()

    def describe(self) -> None:
        """Bring `run` up to date: its report and its transcript. What the context has is counted at the end."""
        record = self.journal.record
        if self._held is None and self.run.outcome:
            self._held = self._held_by_relay(record.completed), report.BY_CLIENT
        held, counted_by = self._held or (Held(), report.NOT_COUNTED)
        self.run.turns_completed = len(record.completed)
        self.run.report.CopyFrom(report.build(self.run, record, held, counted_by))
        del self.run.transcript[:]
        self.run.transcript.extend(record.transcript())

    # The talk. ------------------------------------------------------------------------------------------------------

    async def _until_halted(self) -> Ending:
        """Raises TimeoutError when halted."""
        try:
            async with asyncio.timeout(None) as self._scope:
                return await self._converse()
        finally:
            self._scope = None

    async def _converse(self) -> Ending:
        """Create the session, talk, count what is left of it, end the session."""
        client, talk = await self._meet()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.run()), group.create_task(talk.listen())]
            ending = await self._turns(talk)
            await self._settle(talk, ending)
            for task in tasks:
                task.cancel()
        return ending

    async def _meet(self) -> tuple[Client, Talk]:
        """A client for a new conversation, and what is said through it. Raises what the relay answers."""
        tools, spec = self._tools, self.run.spec
        credentials = await self._create_session()
        policy = tools.settings.reconnect
        if spec.no_resume:
            policy = replace(policy, attempts=0, follow_go_away=False)
        self._session = Session(credentials, policy, random.Random(self._stream).random)  # noqa: S311 - jitter
        client = Client(self._session, tools.clock, self._log.bind(conversation=self.run.conversation))
        manner = Manner(
            stream=self._stream,
            written=spec.channel == pb.CHANNEL_TEXT,
            speed=spec.speed,
            pause=tools.settings.pause,
            silence=tools.settings.silence,
        )
        return client, Talk(client, self._hearing, tools.clock, manner)

    async def _create_session(self) -> Credentials:
        """Create the conversation; what opens its socket."""
        spec = self.run.spec
        created = await self._tools.relay.CreateSession(
            relay_pb2.CreateSessionRequest(
                request_id=str(uuid.uuid4()),
                mode=resources_pb2.MODE_SALES_AGENT,
                owner=resources_pb2.Owner(share_token=self._share_token),
                agent=agent.config(spec.model),
                test=True,
            )
        )
        self.run.conversation = created.conversation
        return Credentials(
            url=_join(self._tools.settings.relay_client_url, created.websocket_path),
            session_token=created.session_token,
            share_token=self._share_token,
            test=True,
            rotation="client" if spec.rotation == pb.ROTATION_CLIENT else "relay",
        )

    async def _turns(self, talk: Talk) -> Ending:
        """Talk turn by turn, as long as there is somebody to talk to."""
        spec, record = self.run.spec, self.journal.record
        cuts = cut_places(spec.cut_client_at_turns)
        try:
            await talk.until(lambda: self._hearing.open)
            for number in range(1, spec.turns + 1):
                if self._stopping:
                    return Ending(pb.OUTCOME_STOPPED, f"The run was stopped after turn {number - 1}.")
                await talk.pause()
                line = self._prospect.speak(self._hearing.disturbances)
                self.journal.add(pb.ProspectSaid(text=line.text, phase=line.phase), turn=number)
                async with asyncio.timeout(self._tools.settings.turn_timeout):
                    await talk.take_turn(record.turns[-1], cuts.get(number, Cut.NOWHERE))
        except LostError as lost:
            return self._lost(lost.over)
        except TimeoutError:
            limit = self._tools.settings.turn_timeout
            return Ending(pb.OUTCOME_LOST, f"Turn {len(record.turns)} was not answered within {limit:g} s.")
        return Ending(pb.OUTCOME_COMPLETED, f"All {spec.turns} turns were completed.")

    def _lost(self, over: Over) -> Ending:
        turn = len(self.journal.record.turns)
        how = f"code {over.code}{f', {over.reason}' if over.reason else ''}"
        if not self._hearing.open:
            return Ending(pb.OUTCOME_FAILED, f"The run could not begin: the relay's socket did not open ({how}).")
        if self.run.spec.no_resume:
            said = f"The connection ended in turn {turn} (code {over.code}), and the conversation with it"
            return Ending(pb.OUTCOME_LOST, f"{said}: this run does not resume.")
        if over.ended:
            return Ending(pb.OUTCOME_LOST, f"The relay ended the conversation in turn {turn} ({how}).")
        tried = f"{over.attempts} attempts to come back failed" if over.attempts else "it cannot come back"
        return Ending(pb.OUTCOME_LOST, f"The connection was lost in turn {turn} and {tried} ({how}).")

    # The end. -------------------------------------------------------------------------------------------------------

    async def _settle(self, talk: Talk, ending: Ending) -> None:
        """Let the last turn be stored, look at what the agent's context has, end the conversation."""
        record = self.journal.record
        completed = record.completed
        if completed and self._session is not None:
            outbox, last = self._session.outbox, completed[-1].last_input
            await self._briefly(talk, lambda: outbox.covered >= last)
        self._held = await self._count(record.turns if ending.outcome == pb.OUTCOME_LOST else completed)
        request = relay_pb2.EndSessionRequest(conversation=self.run.conversation, reason="the run is over")
        try:
            await self._tools.relay.EndSession(request, timeout=FAREWELL)
        except ServiceError as error:
            self._log.info("conversation not ended", reason=error.reason, detail=error.detail)
            return
        await self._briefly(talk, lambda: self._hearing.over is not None)

    async def _briefly(self, talk: Talk, reached: Callable[[], bool]) -> None:
        """Wait for something that should come soon, and do without it if it does not."""
        with suppress(TimeoutError, LostError):
            async with asyncio.timeout(FAREWELL):
                await talk.until(reached)

    async def _count(self, turns: Sequence[Turn]) -> tuple[Held, str]:
        """What the agent's context has of these turns, and who says so."""
        emulator = self._tools.emulator
        if emulator is not None and self.run.spec.channel == pb.CHANNEL_VOICE:
            try:
                return checks.held_by_emulator(turns, await emulator.account(self._stream)), report.BY_EMULATOR
            except AccountError as error:
                self._log.warning("no account", reason=str(error))
        return self._held_by_relay(turns), report.BY_CLIENT

    def _held_by_relay(self, turns: Sequence[Turn]) -> Held:
        return checks.held_by_relay(turns, self._session.outbox.covered if self._session else 0)


def cut_places(turns: Sequence[int]) -> dict[int, Cut]:
    """Where the simulator cuts its socket in each of these turns: in its own speech and in the answer by turns."""
    return dict(zip(turns, cycle((Cut.IN_SPEECH, Cut.IN_ANSWER)), strict=False))


def _join(relay: str, path: str) -> str:
    """The relay's WebSocket URL with the path and query that `CreateSession` gave."""
    given = urlsplit(path)
    return urlunsplit(urlsplit(relay)._replace(path=given.path, query=given.query))
