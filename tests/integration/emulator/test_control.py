"""The control API tells what each conversation really has, whatever it was made of and whoever spoke."""

from typing import Any

import aiohttp
import pytest
from google.genai import errors, types

from services.common import logs
from services.emulator.faults import CloseFault, Moment
from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.genai import MODEL, Talk, client, config, turn_complete


async def get(emulator: RunningEmulator, path: str) -> Any:  # noqa: ANN401 - JSON
    """What the control API says."""
    async with aiohttp.ClientSession(emulator.control_url) as http, http.get(path) as response:
        return {"status": response.status, **await response.json()}


def advice(words: str) -> types.Content:
    """A piece of the sales manager's advice."""
    return types.Content(role="user", parts=[types.Part(text=f"[SALES_MANAGER_INSTRUCTION] {words}")])


async def test_a_conversation_that_only_types(emulator: RunningEmulator) -> None:
    """Instruction, context, categories and bills of a conversation without any audio of the user."""
    live = client(emulator).aio.live
    async with live.connect(model=MODEL, config=config(system_instruction="Your name is Ada.")) as session:
        talk = Talk(session)
        await session.send_client_content(turns=advice("Be brief."), turn_complete=False)
        for said in ("My dog is Rex.", "What is my dog?"):
            await session.send_realtime_input(text=said)
            await talk.until(turn_complete)
        (listed,) = (await get(emulator, "/v1/conversations"))["conversations"]
        report = await get(emulator, f"/v1/conversations/{listed['id']}")
    assert (listed["open"], listed["voices"], listed["model"]) == (True, [], f"models/{MODEL}")
    assert report["instruction"] == "Your name is Ada."
    assert [item["category"] for item in report["context"]] == ["feedback", "user", "model", "user", "model"]
    usages = [message.usage_metadata for message in talk.received if message.usage_metadata]
    prompts = [usage.prompt_token_count or 0 for usage in usages]
    last, billed = report["tokens"]["last"]["prompt"], report["tokens"]["billed"]["prompt"]
    assert last["total"] == sum(last["by_category"].values()) == sum(last["by_modality"].values()) == prompts[-1]
    assert last["cached"] == usages[-1].cached_content_token_count
    assert billed["total"] == sum(billed["by_category"].values()) == sum(prompts)
    assert billed["cached"] + billed["uncached"] == billed["total"]
    assert report["tokens"]["context"]["by_category"]["feedback"] == report["context"][0]["tokens"]["text"]


async def test_which_frames_and_which_handles_on_which_connection(emulator: RunningEmulator) -> None:
    """Over a resume and a refused one: frames as ranges, handles as fingerprints, closes as they were sent."""
    live = client(emulator).aio.live
    async with live.connect(model=MODEL, config=config()) as session:
        first = Talk(session)
        await first.ask("My dog is Rex.")
    resumption = types.SessionResumptionConfig(handle=first.handle)
    emulator.faults.add([CloseFault(when=Moment.RESUME, code=1011, reason="Internal error encountered.")])
    with pytest.raises(errors.APIError):
        async with live.connect(model=MODEL, config=config(session_resumption=resumption)):
            pytest.fail("the session must not begin")
    async with live.connect(model=MODEL, config=config(session_resumption=resumption)) as session:
        second = Talk(session, first_frame=first.frame)
        await second.ask("What is my dog?")
    report = await get(emulator, "/v1/conversations/c1")
    frames = [connection["frames"] for connection in report["connections"]]
    assert frames == [{"7": [[0, first.frame - 1]]}, {}, {"7": [[first.frame, second.frame - 1]]}]
    assert [connection["resumed_from"] for connection in report["connections"]] == [None, "c1", "c1"]
    assert {connection["handle"] for connection in report["connections"][1:]} == {logs.fingerprint(first.handle)}
    assert report["connections"][0]["handles"][-1]["handle"] == logs.fingerprint(first.handle)
    assert report["connections"][1]["closed"] == {"code": 1011, "reason": "Internal error encountered."}
    assert [item["frames"] for item in report["context"] if item["role"] == "user"] == [
        [[0, first.frame - 1]],
        [[first.frame, second.frame - 1]],
    ]
    voice = await get(emulator, "/v1/voices/7")
    assert voice["conversations"] == ["c1"]
    assert voice["connections"][0]["frames"] == [[0, first.frame - 1]]


async def test_who_was_never_let_in(emulator: RunningEmulator) -> None:
    """A refused setup is no conversation, and is told all the same."""
    with pytest.raises(errors.APIError):
        async with client(emulator).aio.live.connect(model="gemini-nope", config=config()):
            pytest.fail("the session must not begin")
    assert (await get(emulator, "/v1/conversations"))["conversations"] == []
    (refused,) = (await get(emulator, "/v1/refused"))["connections"]
    assert (refused["model"], refused["closed"]["code"]) == ("models/gemini-nope", 1008)


async def test_the_list_is_newest_first_and_bounded() -> None:
    """As many as asked for, and no more than are remembered."""
    async with running_emulator(remembered=3) as emulator:
        for _ in range(4):
            async with client(emulator).aio.live.connect(model=MODEL, config=config()):
                pass
        for query, names in (("", ["c4", "c3", "c2"]), ("?limit=2", ["c4", "c3"])):
            listed = (await get(emulator, f"/v1/conversations{query}"))["conversations"]
            assert [entry["id"] for entry in listed] == names
        assert (await get(emulator, "/v1/conversations/c1"))["status"] == 404


@pytest.mark.parametrize("limit", ["0", "1001", "many", "-1"])
async def test_a_limit_that_is_none(emulator: RunningEmulator, limit: str) -> None:
    """It is a 400 with a sentence."""
    answer = await get(emulator, f"/v1/conversations?limit={limit}")
    assert (answer["status"], answer["error"]) == (400, f"The limit {limit!r} is no number from 1 to 1000.")
