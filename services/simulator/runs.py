"""All runs of this simulator: those in progress, and those that are kept."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from filo.simulator.v1 import simulator_pb2 as pb
from services.common import logs
from services.common.errors import Reason, ServiceError
from services.simulator import checks, persona, record, report, spec
from services.simulator.journal import Journal, event
from services.simulator.metrics import OUTCOMES
from services.simulator.run import Tools, TrainingRun
from services.simulator.store import Store

DIED = "The simulator stopped while the run was in progress."


class Runs:
    """Starts runs, finds them, stops them. Made by `running`."""

    def __init__(self, store: Store, tools: Tools, group: asyncio.TaskGroup) -> None:
        self._store = store
        self._tools = tools
        self._group = group
        self._live: dict[str, TrainingRun] = {}
        self._closing = False

    async def start(self, request_id: str, asked: pb.RunSpec) -> pb.Run:
        """Start a run, or find the one that this request started before.

        Raises:
            ServiceError: INVALID_ARGUMENT, REQUEST_ID_REUSED, or SERVICE_UNAVAILABLE while the simulator stops.
        """
        if self._closing:
            raise ServiceError(Reason.SERVICE_UNAVAILABLE, "the simulator is stopping")
        run = pb.Run(name=f"runs/{uuid.uuid4().hex}", spec=spec.complete(asked, self._tools.settings))
        run.create_time.FromDatetime(self._tools.clock.now())
        run, is_new = await self._store.create(request_id, asked, run)
        if not is_new:
            return await self.get(run.name)
        log = logs.get("simulator").bind(run=run.name)
        name = run.name
        journal = Journal(self._tools.clock, lambda events: self._store.append(name, events))
        training = TrainingRun(run, persona.load(run.spec.persona), journal, self._tools, log)
        self._live[run.name] = training
        self._group.create_task(self._perform(training))
        log.info("run started", turns=run.spec.turns, persona=run.spec.persona, no_resume=run.spec.no_resume)
        return _copy(run)

    async def get(self, name: str) -> pb.Run:
        """A run as it stands.

        Raises:
            ServiceError: RUN_NOT_FOUND.
        """
        live = self._live.get(name)
        if live is not None:
            live.describe()
            return _copy(live.run)
        run = await self._store.get(name)
        if run is None:
            raise ServiceError(Reason.RUN_NOT_FOUND, f"there is no run {name!r}", {"name": name})
        return run

    async def page(self, size: int, before: int | None) -> list[tuple[int, pb.Run]]:
        """Runs without report and transcript, newest first, each with its number; only those below `before`."""
        return [(number, self._summary(run)) for number, run in await self._store.page(size, before)]

    async def watch(self, name: str, after: int) -> AsyncIterator[pb.WatchRunResponse]:
        """The events of a run after a sequence number, until it has ended.

        Raises:
            ServiceError: RUN_NOT_FOUND.
        """
        live = self._live.get(name)
        if live is None:
            await self.get(name)
        source = self._store.events(name, after) if live is None else live.journal.watch(after)
        async for made in source:
            yield made

    async def stop(self, name: str) -> pb.Run:
        """Let a run end after the turn in progress.

        Raises:
            ServiceError: RUN_NOT_FOUND.
        """
        if name in self._live:
            self._live[name].stop()
        return await self.get(name)

    async def recover(self) -> None:
        """End the runs that were in progress when a simulator died; what they had reached is kept."""
        for run in await self._store.unended():
            events = [made async for made in self._store.events(run.name)]
            known = record.recall(events)
            run.outcome, run.reason, run.conversation = pb.OUTCOME_FAILED, DIED, known.conversation
            run.end_time.FromDatetime(self._tools.clock.now())
            run.turns_completed = len(known.completed)
            held = checks.held_by_relay(known.completed, covered=0)
            run.report.CopyFrom(report.build(run, known, held, report.BY_CLIENT))
            run.transcript.extend(known.transcript())
            last = event(len(events) + 1, self._tools.clock, len(known.turns), pb.Finished(run=run))
            await self._store.append(run.name, [last])
            await self._store.save(run)
            logs.get("simulator").warning("run failed", run=run.name, reason=DIED)

    def close(self) -> None:
        """Take no more runs, and end those in progress now."""
        self._closing = True
        for training in self._live.values():
            training.halt()

    async def _perform(self, training: TrainingRun) -> None:
        """Let a run run and keep it. What goes wrong with one run stays with it."""
        run, log = training.run, logs.get("simulator").bind(run=training.run.name)
        self._tools.metrics.run_began()
        try:
            await self._keep(training)
        except Exception:
            run.outcome = pb.OUTCOME_FAILED
            log.exception("run not kept")
        del self._live[run.name]
        self._tools.metrics.run_ended(run.outcome)
        log.info(
            "run ended",
            outcome=OUTCOMES[run.outcome],
            reason=run.reason,
            turns=run.turns_completed,
            reconnects=len(run.report.client_reconnects),
            billed_tokens=run.report.tokens.billed,
        )

    async def _keep(self, training: TrainingRun) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(training.journal.keep())
            await training.perform()
            training.journal.add(pb.Finished(run=training.run))
            training.journal.close()
        await self._store.save(training.run)

    def _summary(self, run: pb.Run) -> pb.Run:
        live = self._live.get(run.name)
        if live is not None:
            run.conversation, run.turns_completed = live.run.conversation, len(live.journal.record.completed)
        return run


@asynccontextmanager
async def running(store: Store, tools: Tools) -> AsyncIterator[Runs]:
    """Runs over a store; those still in progress when the context closes end as stopped."""
    async with asyncio.TaskGroup() as group:
        runs = Runs(store, tools, group)
        await runs.recover()
        try:
            yield runs
        finally:
            runs.close()


def _copy(run: pb.Run) -> pb.Run:
    copied = pb.Run()
    copied.CopyFrom(run)
    return copied
