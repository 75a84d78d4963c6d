"""What advice costs under each policy: turns until the window is full, context, tokens billed, rebuilds, gaps.

A script of 20,000 tokens in a window of 32,000, turns of 50 + 100, advice of 400 before each turn, compression off. One
run, all policies side by side, against the emulator through handle store and relay, all in this process.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import uvloop

from bench import context_plot, context_report, context_table
from bench.context_talk import ADVICE_TOKENS, CODE, SCRIPT_TOKENS, Course, Talk, script
from bench.rotation_report import machine
from filo.handles.v1 import resources_pb2 as resources
from services.common import logs
from tests.support.relay import QUICK, RunningRelay, running_relay

RESULTS: Final = Path("bench/results/context.json")
WINDOW: Final = 32_000
LONG: Final = 1_000
BUDGET: Final = 4_000
_MODEL: Final = "models/gemini-live-2.5-flash"
_VERTEX: Final[Mapping[str, Any]] = {"backend": "vertex", "access_token": "emulator", "api_key": ""}


@dataclass(frozen=True)
class Case:
    """One conversation of the bench.

    Args:
        name: In the report.
        policy: Of its advice.
        turns: After so many it is enough.
        budget: Tokens of history that a rebuilt session is told; 0 for all.
        backend: Settings of the relay: whose API it talks to.
        summary: The text model that summarises what the budget leaves out; none where it is empty.
    """

    name: str
    policy: resources.FeedbackPolicy.ValueType
    turns: int = LONG
    budget: int = 0
    backend: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""


CASES: Final = (
    Case("append", resources.FEEDBACK_POLICY_APPEND),
    Case("just_in_time", resources.FEEDBACK_POLICY_JUST_IN_TIME),
    Case("replace", resources.FEEDBACK_POLICY_REPLACE, backend=_VERTEX),
    Case("rebase", resources.FEEDBACK_POLICY_REBASE),
    Case("rebase, budget", resources.FEEDBACK_POLICY_REBASE, budget=BUDGET),
    Case("rebase, budget, summaries", resources.FEEDBACK_POLICY_REBASE, budget=BUDGET, summary="gemini-2.5-flash"),
)
EMULATOR: Final[Mapping[str, Any]] = {
    "window": WINDOW, "speed": 2_000.0, "thinking": 0.001, "session_audio": 1e6, "lifetime": 3_600.0, "seed": 7,
}  # fmt: skip


async def stage(stack: AsyncExitStack, case: Case) -> RunningRelay:
    """A relay for one case, with store and emulator of its own; it stops when `stack` is left."""
    policy = replace(
        QUICK, compression=False, rebase_interval=0.0, history_budget=case.budget, stable_after=0.1, stall_after=20.0
    )
    data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    relay: RunningRelay = await stack.enter_async_context(
        running_relay(data, emulator=EMULATOR, policy=policy, summary_model=case.summary, **case.backend)
    )
    return relay


async def converse(case: Case, relay: RunningRelay, turns: int) -> tuple[Course, float]:
    """Run one case; gives how it went, and the seconds it took."""
    course = Course(case.name)
    agent = resources.AgentConfig(model=_MODEL, system_instruction=script(), feedback_policy=case.policy)
    began = time.monotonic()
    await Talk(relay, await relay.create(agent=agent)).run(course, min(turns, case.turns))
    return course, time.monotonic() - began


async def run(turns: int, only: str) -> dict[str, Any]:
    """All cases, side by side."""
    cases = [case for case in CASES if only in case.name]
    async with AsyncExitStack() as stack:
        relays = [await stage(stack, case) for case in cases]
        done = await asyncio.gather(*(converse(case, relay, turns) for case, relay in zip(cases, relays, strict=True)))
    return {
        "machine": machine(),
        "window": WINDOW,
        "script": SCRIPT_TOKENS,
        "advice": ADVICE_TOKENS,
        "budget": BUDGET,
        "cases": [context_report.summary(course, seconds, CODE) for course, seconds in done],
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=LONG, help="of a conversation that does not end by itself")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the result goes, as JSON")
    given = parser.parse_args()
    logs.configure("ERROR")
    report = uvloop.run(run(given.turns, given.only))
    given.write.parent.mkdir(parents=True, exist_ok=True)
    given.write.write_text(json.dumps(report) + "\n", encoding="utf-8")
    context_plot.draw(report, given.write.with_suffix(".png"))
    print(context_table.table(report))


if __name__ == "__main__":
    main()
