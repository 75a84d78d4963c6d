"""History that does not fit its budget is summarised by a text model: google-genai against the emulator."""

from dataclasses import replace
from pathlib import Path

import pytest

from filo.handles.v1 import resources_pb2 as resources
from services.relay.core.model import Turn
from services.relay.upstream.summaries import SummaryError, prompt
from services.relay.upstream.text_model import TextModel
from tests.integration.relay.test_feedback import agent, send
from tests.support.client import Client, Speaker
from tests.support.emulator import running_emulator
from tests.support.relay import QUICK, running_relay

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

TURNS = [Turn(1, "My launch code is 7421. Shall we go on?", "Gladly."), Turn(2, "My company is Brightwater.", "I see.")]


async def test_a_text_model_summarises() -> None:
    """The facts that the client told, in as many words."""
    async with running_emulator() as emulator:
        model = TextModel("gemini-2.5-flash", "any", emulator.url, emulator.ca_path)
        assert await model.ask(prompt("", TURNS)) == "My launch code is 7421. My company is Brightwater."


async def test_a_text_model_that_does_not_answer() -> None:
    """It refuses the key, does not know the model, or is not there: one kind of error, with the cause."""
    async with running_emulator() as emulator:
        for name, key in (("gemini-2.5-flash", "bad-key"), ("models/none", "any")):
            with pytest.raises(SummaryError):
                await TextModel(name, key, emulator.url, emulator.ca_path).ask("Client: Hello")
    with pytest.raises(SummaryError):
        await TextModel("gemini-2.5-flash", "any", emulator.url, None).ask("Client: Hello")


@pytest.mark.parametrize(("summary_model", "recalls"), [("gemini-2.5-flash", True), ("", False)])
async def test_what_a_rebuilt_session_recalls(tmp_path: Path, summary_model: str, recalls: bool) -> None:  # noqa: FBT001
    """What was told in the first turn is in no turn that is told again; only the summary knows it."""
    policy = replace(QUICK, rebase_tokens=1, rebase_interval=0.0, history_budget=40)
    async with running_relay(tmp_path, policy=policy, summary_model=summary_model) as relay:
        session = await relay.create(agent=agent(resources.FEEDBACK_POLICY_REBASE))
        async with Client(relay.socket(session)) as client:
            speaker = Speaker(91)
            await client.turn(speaker, "My launch code is 7421.")
            for number in range(1, 4):
                await client.turn(speaker, f"Tell me about part {number} of the offer, please.")
            await send(relay, session)
            await client.turn(speaker, "And what does it cost?")
            await client.wait("session:rotated", continuity="rebased")
            answer = await client.turn(speaker, "What is my launch code?")
            assert ("7421" in answer) == recalls
