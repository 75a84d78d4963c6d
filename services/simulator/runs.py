"""All runs of this simulator: those in progress here, those in progress elsewhere, and those that are kept."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from filo.simulator.v1 import simulator_pb2 as pb
from services.common import logs
from services.common.errors import Reason, ServiceError
from services.common.readiness import Readiness
from services.simulator import hold as holds
from services.simulator import report, spec
from services.simulator.journal import Append, Journal, event
from services.simulator.leases import Leases
from services.simulator.meeting import Tools
from services.simulator.metrics import OUTCOMES
from services.simulator.run import TrainingRun
from services.simulator.store import NOBODY, AwayError, FencedError, Store

MOST_TAKEOVERS: Final = 5
"""A run that has outlived so many simulators is the reason for it."""

GIVEN_UP: Final = "Simulators died while the run was in progress, again and again."
LOOK_FOR_WORK: Final = 1.0
"""Seconds, at most, between looks for runs that another simulator has handed over, or that wait."""
LOOK_AGAIN: Final = 0.5
"""Seconds between looks at a run that another simulator performs."""
DOCUMENTS: Final = ("persona_document", "agent_document", "fault_plan_document")


class Runs:
    """Starts runs, finds them, stops them. Made by `running`."""

    def __init__(self, store: Store, tools: Tools, group: asyncio.TaskGroup, readiness: Readiness) -> None:
        self._store = store
        self._tools = tools
        self._group = group
        self._readiness = readiness
        self._holder = uuid.uuid4().hex
        self._live: dict[str, TrainingRun] = {}
        self._closing = False
        self._starting: set[str] = set()
        self.leases = Leases(store, self._holder, tools.clock, tools.settings.lease)

    async def start(self, request_id: str, asked: pb.RunSpec) -> pb.Run:
        """Start a run, or find the one that this request started before.

        Raises:
            ServiceError: INVALID_ARGUMENT, REQUEST_ID_REUSED, or SERVICE_UNAVAILABLE while the simulator stops.
        """
        if self._closing:
            raise ServiceError(Reason.SERVICE_UNAVAILABLE, "the simulator is stopping")
        run = pb.Run(name=f"runs/{uuid.uuid4().hex}", spec=spec.complete(asked, self._tools.settings))
        run.create_time.FromDatetime(self._tools.clock.now())
        holder = self._holder if self.has_room else NOBODY
        self._starting.add(name := run.name)
        try:
            run, is_new = await self._store.create(request_id, asked, run, holder)
            if is_new and holder and self._closing:
                await self._store.release(name, holder)
            elif is_new and holder:
                started = pb.Run.FromString(run.SerializeToString())
                self._begin(run, Journal(self._tools.clock, self._appender(name)), None)
                return started
        finally:
            self._starting.discard(name)
        return await self.get(run.name)

    @property
    def has_room(self) -> bool:
        """Whether another run may begin here."""
        return len(self._live) < self._tools.settings.most_runs and not self._closing

    async def get(self, name: str) -> pb.Run:
        """A run as it stands.

        Raises:
            ServiceError: RUN_NOT_FOUND.
        """
        live = self._live.get(name)
        if live is not None:
            live.describe()
            return pb.Run.FromString(live.run.SerializeToString())
        run = await self._store.get(name)
        if run is None:
            raise ServiceError(Reason.RUN_NOT_FOUND, f"there is no run {name!r}", {"name": name})
        return run

    async def page(self, size: int, before: int | None) -> list[tuple[int, pb.Run]]:
        """Runs without report, transcript and documents, newest first, each with its number; those below `before`."""
        return [(number, self._summary(run)) for number, run in await self._store.page(size, before)]

    async def watch(self, name: str, after: int) -> AsyncIterator[pb.WatchRunResponse]:
        """The events of a run after a sequence number, until it has ended, whoever performs it.

        Raises:
            ServiceError: RUN_NOT_FOUND, or SERVICE_UNAVAILABLE when the simulator stops before the run has ended.
        """
        while True:
            live = self._live.get(name)
            run = None if live is not None else await self.get(name)
            source = self._store.events(name, after) if live is None else live.journal.watch(after)
            async for made in source:
                after = made.sequence
                yield made
                if made.HasField("finished"):
                    return
            if self._closing:
                why = f"the simulator is stopping; watch on after event {after}"
                raise ServiceError(Reason.SERVICE_UNAVAILABLE, why)
            if live is not None and not live.fenced:
                return
            if run is not None and run.outcome:
                return
            await self._tools.clock.sleep(LOOK_AGAIN)

    async def stop(self, name: str) -> pb.Run:
        """Let a run end after the turn in progress, whoever performs it.

        Raises:
            ServiceError: RUN_NOT_FOUND.
        """
        if name in self._live:
            self._live[name].stop()
        await self._store.stop(name)  # whoever performs it next has to know as well
        return await self.get(name)

    async def keep_leases(self) -> None:
        """Show signs of life for the runs held here; go on with those whose simulator shows none. Safe to cancel.

        While the database is away this simulator is not ready; when it is back, it is again.
        """
        adopted = False
        while True:
            try:
                if not adopted:
                    await self._store.adopt()
                    adopted = True
                await self._tend()
            except (AwayError, SQLAlchemyError) as error:  # it comes back, or the leases are lost
                self._readiness.set(ready=False)
                logs.get("simulator").warning("leases not kept", error=type(error).__name__)
            await self._tools.clock.sleep(min(self._tools.settings.lease / 3, LOOK_FOR_WORK))

    async def _tend(self) -> None:
        mine = await self.leases.beat()
        self._readiness.set(ready=True)
        for name, training in list(self._live.items()):
            if name not in mine:
                training.fence()
            elif mine[name]:
                training.stop()
        for name in mine.keys() - self._live.keys() - self._starting:  # it failed here: somebody else may do better
            await self._store.release(name, self._holder)
        for claim in await self.leases.abandoned():
            if self.has_room and await self._store.claim(claim, self._holder):
                await self._take_over(claim.run)

    async def _take_over(self, name: str) -> None:
        """Go on with a run that another simulator began, or begin one that waited."""
        log = logs.get("simulator").bind(run=name)
        run = await self._store.get(name)
        if run is None:
            return
        events = [made async for made in self._store.events(name)]
        journal = Journal(self._tools.clock, self._appender(name), events)
        if sum(not mark.handed_over for mark in journal.record.takeovers) >= MOST_TAKEOVERS:
            await self._give_up(run, journal, GIVEN_UP)
            return
        known = holds.read(await self._store.held(name))
        log.info("run taken over", turn=len(journal.record.turns), begun=bool(known))
        try:
            self._begin(run, journal, known)
        except ServiceError as error:  # a shipped document that this version no longer has
            await self._give_up(run, journal, f"The run cannot go on: {error.detail}")

    async def _give_up(self, run: pb.Run, journal: Journal, why: str) -> None:
        """End a run that cannot be performed; what it had reached is kept."""
        report.give_up(run, journal.record, why, self._tools.clock.now())
        last = event(len(journal.events) + 1, self._tools.clock, len(journal.record.turns), pb.Finished(run=run))
        await self._store.end(run, self._holder, [last])
        logs.get("simulator").warning("run failed", run=run.name, reason=why)

    def close(self) -> None:
        """Take no more runs, and leave those in progress, now, to whoever has room."""
        self._closing = True
        for training in self._live.values():
            training.leave()

    async def give_back(self) -> None:
        """Give back what is held here and not performed: what was on its way when `close` was called."""
        try:
            await self._store.release_all(self._holder)
        except (AwayError, SQLAlchemyError) as error:  # then the leases run out
            logs.get("simulator").warning("leases not given back", error=type(error).__name__)

    def _begin(self, run: pb.Run, journal: Journal, known: holds.Hold | None) -> None:
        log, name = logs.get("simulator").bind(run=run.name), run.name

        async def keep(data: bytes) -> None:
            await self._store.hold(name, self._holder, data)

        training = TrainingRun(run, spec.read(run.spec), journal, self._tools, log, keep, known)
        self._live[name] = training
        self._group.create_task(self._perform(training))
        log.info("run started", turns=run.spec.turns, persona=run.spec.persona, no_resume=run.spec.no_resume)

    def _appender(self, name: str) -> Append:
        """Keeps events of a run; with its last one, the run as it ended."""

        async def append(events: Sequence[pb.WatchRunResponse]) -> None:
            if events[-1].HasField("finished"):
                await self._store.end(events[-1].finished.run, self._holder, events)
            else:
                await self._store.append(name, events)

        return append

    async def _perform(self, training: TrainingRun) -> None:
        """Let a run run and keep it. What goes wrong with one run stays with it."""
        run, log = training.run, logs.get("simulator").bind(run=training.run.name)
        self._tools.metrics.run_began()
        try:
            await self._keep(training)
        except* FencedError:
            training.fenced = True
        except* AwayError:  # what was not stored is not known to have happened; the run is gone on with when it is back
            run.outcome = pb.OUTCOME_UNSPECIFIED
        except* Exception:
            run.outcome = pb.OUTCOME_FAILED
            log.exception("run not kept")
        del self._live[run.name]
        if training.fenced or not run.outcome:
            self._tools.metrics.run_ended(None)
            await self._leave(training)
            return
        self._tools.metrics.run_ended(run.outcome)
        self._tools.metrics.checked(run.report.checks)
        log.info(
            "run ended",
            outcome=OUTCOMES[run.outcome],
            reason=run.reason,
            turns=run.turns_completed,
            reconnects=len(run.report.client_reconnects),
            billed_tokens=run.report.tokens.billed,
        )

    async def _leave(self, training: TrainingRun) -> None:
        """Whoever goes on with the run may begin: everything that has happened in it is stored."""
        name, log = training.run.name, logs.get("simulator").bind(run=training.run.name)
        if training.fenced:
            log.warning("run left to another simulator")
            return
        try:
            await self._store.release(name, self._holder, training.parting_hold())
        except (AwayError, SQLAlchemyError) as error:  # then its lease runs out
            log.warning("run not handed over", error=type(error).__name__)
        else:
            log.info("run handed over", turn=len(training.journal.record.turns))

    async def _keep(self, training: TrainingRun) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(training.journal.keep())
            await training.perform()
            if training.run.outcome and not training.fenced:
                training.journal.add(pb.Finished(run=training.run))
            training.journal.close()

    def _summary(self, run: pb.Run) -> pb.Run:
        for field in DOCUMENTS:
            run.spec.ClearField(field)
        live = self._live.get(run.name)
        if live is not None:
            run.conversation, run.turns_completed = live.run.conversation, len(live.journal.record.completed)
        return run


@asynccontextmanager
async def running(store: Store, tools: Tools, readiness: Readiness) -> AsyncIterator[Runs]:
    """Runs over a store; those in progress here when the context closes are handed over.

    Args:
        store: Where they are kept.
        tools: What they share.
        readiness: Whether new runs are welcome: kept while the context is open.
    """
    async with asyncio.TaskGroup() as group:
        runs = Runs(store, tools, group, readiness)
        keeper = group.create_task(runs.keep_leases())
        try:
            yield runs
        finally:
            runs.close()
            keeper.cancel()
    await runs.give_back()
