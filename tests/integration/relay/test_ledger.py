"""The ledger knows what the context really holds, by the count of the emulator that holds it."""

import asyncio
import json
import urllib.request
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2

from filo.handles.v1 import resources_pb2 as resources
from filo.handles.v1.resources_pb2 import AgentConfig, FeedbackPolicy
from filo.relay.v1 import relay_pb2 as pb
from services.emulator.faults import GoAwayFault, Moment
from tests.integration.relay.test_feedback import send
from tests.integration.relay.test_policies import REBASE, REPLACE, VERTEX, agent, ledger_of
from tests.support.client import PAUSE_FRAMES, Client, Speaker
from tests.support.handles import until
from tests.support.relay import QUICK, RunningRelay, running_relay

JUST_IN_TIME = resources.FEEDBACK_POLICY_JUST_IN_TIME


async def truth(relay: RunningRelay) -> dict[str, int]:
    """What the newest answer was made from and what it was, by category, as the emulator has it."""

    def read(path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{relay.emulator.control_url}{path}") as answer:  # noqa: S310 - loopback
            found: dict[str, Any] = json.load(answer)
            return found

    newest = (await asyncio.to_thread(read, "/v1/conversations"))["conversations"][0]
    account = await asyncio.to_thread(read, f"/v1/conversations/{newest['id']}")
    last = account["tokens"]["last"]
    counted: dict[str, int] = last["prompt"]["by_category"]
    return {**counted, "model": counted["model"] + last["response"]["total"]}


TOOL = {
    "functionDeclarations": [
        {
            "name": "lookup",
            "description": "Looks up the price of a part in the catalogue of this year.",
            "parameters": {"type": "OBJECT", "properties": {"part": {"type": "STRING"}}},
        }
    ]
}


def with_tools(policy: FeedbackPolicy.ValueType) -> AgentConfig:
    """An agent with a script and a tool."""
    tools = [json_format.ParseDict(TOOL, struct_pb2.Struct())]
    script = "Your name is Ada. You work for Threadworks. " + "Sell the thread, and say why. " * 200
    return agent(policy, system_instruction=script, tools=tools)


SILENCE = 0.1
"""Seconds after which the emulator takes an utterance to be over."""
A_FRAME = 5
"""How many 20 ms a client sends at once; what it says is measured by what it sends."""


class Mixed:
    """Turns of every kind, one after another."""

    def __init__(self, relay: RunningRelay, session: pb.CreateSessionResponse, client: Client) -> None:
        self.relay = relay
        self.session = session
        self.client = client
        self.speaker = Speaker(84)
        self.turns = 0

    async def turn(self, number: int, *, ends: bool) -> None:
        """Spoken, typed, with a tool; with advice in every other one; over once a connection that ends is replaced."""
        before = len(self.client.all("session:rotated"))
        if number % 2:
            await send(self.relay, self.session, f"Mention discount {number}.")
        kinds = {0: self._typed, 1: self._with_a_tool}
        await kinds.get(number % 4, self._spoken)(number)
        if ends:
            await until(lambda: len(self.client.all("session:rotated")) > before)

    async def _spoken(self, number: int) -> None:
        spoken, pause = self.speaker.say(f"Well, what is my share of part {number}?"), int(SILENCE * 50) + 1
        voice, silence = spoken[:-PAUSE_FRAMES], spoken[-pause:]
        frames = [b"".join(voice[at : at + A_FRAME]) for at in range(0, len(voice), A_FRAME)]
        await self._complete(self.client.speak([*frames, b"".join(silence)]))

    async def _typed(self, number: int) -> None:
        await self._write(f"This is a typed question about part {number} of the catalogue: what is my price?")

    async def _with_a_tool(self, number: int) -> None:
        writing = asyncio.create_task(self._write(f"Please use the tool lookup with part is P-{number}"))
        asked = await self.client.wait("tool_call", turn=number)
        (call,) = asked["calls"]
        await self.client.send(
            type="tool_result", id=call["id"], name=call["name"], result={"price": number, "currency": "EUR"}
        )
        await writing

    async def _write(self, text: str) -> None:
        await self._complete(self.client.send(type="text", text=text))

    async def _complete(self, saying: Awaitable[None]) -> None:
        self.turns += 1
        await saying
        await self.client.wait("turn:complete", turn=self.turns)


def ends(turns: int) -> range:
    """The turns after which a connection ends; the last one is not near: nothing moves when the ledger is read."""
    return range(6, turns - 5, max(7, turns // 12))


def goaways(turns: int) -> tuple[GoAwayFault, ...]:
    """What ends them."""
    return tuple(GoAwayFault(when=Moment.TURN, skip=n - 1, time_left=0.5, ends_in=0.5) for n in ends(turns))


@pytest.mark.parametrize(("policy", "turns"), [(JUST_IN_TIME, 201), (REPLACE, 29), (REBASE, 29)])
@pytest.mark.timeout(300)
async def test_the_ledger_knows_the_context(tmp_path: Path, policy: FeedbackPolicy.ValueType, turns: int) -> None:
    """Category by category, by the estimate alone, after turns of all kinds and rotations between them: within 5 %."""
    settings = replace(QUICK, rebase_tokens=200, rebase_interval=0.0, compression=False)
    quick = {"speed": 2_000.0, "thinking": 0.001, "silence": SILENCE}
    emulator = {"window": 128_000, "session_audio": 10_000.0, "faults": goaways(turns), **quick}
    async with running_relay(tmp_path, emulator=emulator, policy=settings, **VERTEX) as relay:
        session = await relay.create(agent=with_tools(policy))
        async with Client(relay.socket(session)) as client:
            mixed = Mixed(relay, session, client)
            for number in range(1, turns + 1):
                await mixed.turn(number, ends=number in ends(turns))
            assert len(client.all("session:rotated")) >= 3
            await until(lambda: _all_stored(relay, session, turns))
            ledger, real = await ledger_of(relay, session), await truth(relay)
    estimate = ledger.estimated_tokens_by_category
    feedback = estimate["feedback_live"] + estimate["feedback_stale"]
    estimated = {name: estimate[name] for name in ("instruction", "user", "model", "tools")} | {"feedback": feedback}
    drift = {name: estimated[name] - counted for name, counted in real.items()}
    allowed = {name: max(0.05 * counted, 1) for name, counted in real.items()}
    assert all(abs(drift[name]) <= allowed[name] for name in real), (estimated, real)
    assert abs(ledger.context_tokens - sum(real.values())) <= 1, "reconciled, it is the truth"


async def _all_stored(relay: RunningRelay, session: pb.CreateSessionResponse, turns: int) -> bool:
    shown = await relay.control.GetSession(pb.GetSessionRequest(conversation=session.conversation))
    return shown.session.turn_count >= turns
