"""Faults on a real socket, planned while the emulator runs."""

import asyncio

import aiohttp
import pytest
from google.genai import errors

from tests.support.emulator import RunningEmulator
from tests.support.genai import MODEL, Talk, client, config, turn_complete


async def test_a_cut_planned_over_http(emulator: RunningEmulator) -> None:
    """The control API takes a fault, the connection dies without a close frame, and the plan says that it struck."""
    async with aiohttp.ClientSession(emulator.control_url) as http:
        async with http.post("/v1/faults", json={"do": "cut", "when": "answer", "after": 0.02}) as response:
            assert response.status == 200
        async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
            talk = Talk(session)
            await talk.say("Hello.")
            assert (await talk.closed()).code == 1006
        async with http.get("/v1/faults") as response:
            (fault,) = (await response.json())["faults"]
        assert (fault["do"], fault["when"], fault["struck"]) == ("cut", "answer", 1)
        async with http.delete("/v1/faults") as response:
            assert (await response.json())["faults"] == []


@pytest.mark.parametrize("body", ["", "nonsense", '{"do": "cut"}'])
async def test_a_plan_that_cannot_be_read(emulator: RunningEmulator, body: str) -> None:
    """A bad plan is a 400 with a sentence, and plans nothing."""
    async with aiohttp.ClientSession(emulator.control_url) as http, http.post("/v1/faults", data=body) as response:
        assert response.status == 400
        assert (await response.json())["error"].startswith("These are no faults: ")
    assert emulator.faults.report() == []


async def test_a_stall_is_silence_and_then_goes_on(emulator: RunningEmulator) -> None:
    """During a stall nothing comes, though the socket is open; afterwards everything comes."""
    async with aiohttp.ClientSession(emulator.control_url) as http:
        await http.post("/v1/faults", json={"do": "stall", "when": "answer", "seconds": 0.5})
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        talk = Talk(session)
        await talk.say("Hello.")
        began = asyncio.get_running_loop().time()
        await talk.until(lambda message: message.data)
        assert asyncio.get_running_loop().time() - began >= 0.4
        await talk.until(turn_complete)


async def test_a_stall_without_end(emulator: RunningEmulator) -> None:
    """A client that gives up on a stalled connection can close it."""
    async with aiohttp.ClientSession(emulator.control_url) as http:
        await http.post("/v1/faults", json={"do": "stall", "when": "open"})
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        talk = Talk(session)
        await talk.say("Hello.")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(talk.until(turn_complete), 0.5)
    report = emulator.account.voice(7)
    assert report is not None
    assert report["frames"]["distinct_received"] == talk.frame


async def test_a_refused_resume_is_an_api_error(emulator: RunningEmulator) -> None:
    """A close during the setup is what the SDK raises from connect."""
    async with aiohttp.ClientSession(emulator.control_url) as http:
        quota = {"code": 1011, "reason": "Resource has been exhausted (e.g. check quota)."}
        await http.post("/v1/faults", json=[{"do": "close", "when": "setup", **quota}])
    with pytest.raises(errors.APIError, match="Resource has been exhausted"):
        async with client(emulator).aio.live.connect(model=MODEL, config=config()):
            pytest.fail("the session must not begin")
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        await Talk(session).ask("Hello.")
