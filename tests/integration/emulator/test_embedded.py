"""The emulator in a thread, for programs that are not asynchronous."""

import asyncio

import pytest
from google import genai

from services.common.config import Address
from services.common.lifecycle import StartupError
from services.emulator import embedded
from tests.support.genai import MODEL, Talk, config


def test_what_a_blocking_program_sees() -> None:
    """Where it is, how to trust it, what it heard, what went wrong; unknown voices and faults are clear errors."""
    with embedded.running() as emulator:

        async def converse() -> None:
            client = genai.Client(api_key="any", http_options=emulator.http_options)  # type: ignore[arg-type] # a dict
            async with client.aio.live.connect(model=MODEL, config=config()) as session:
                await Talk(session).ask("My dog is Rex.")

        emulator.plan({"do": "stall", "when": "turn", "seconds": 0.01})
        asyncio.run(converse())
        (listed,) = emulator.conversations()
        assert emulator.conversation(listed["id"])["voices"] == listed["voices"] == [7]
        assert emulator.voices() == [7]
        assert emulator.voice(7)["context"][0]["text"] == "My dog is Rex."
        assert [fault["struck"] for fault in emulator.struck()] == [1]
        emulator.clear()
        assert emulator.struck() == []
        assert emulator.environment["NODE_EXTRA_CA_CERTS"] == emulator.environment["SSL_CERT_FILE"]
        assert emulator.environment["GOOGLE_GEMINI_BASE_URL"] == emulator.base_url
        with pytest.raises(ValueError, match="'8' was heard"):
            emulator.voice(8)
        with pytest.raises(ValueError, match="These are no faults"):
            emulator.plan({"do": "nothing"})


def test_one_that_cannot_start() -> None:
    """A port in use is told to whoever wanted the emulator, in the thread that wanted it."""
    with embedded.running() as emulator:
        taken = Address("127.0.0.1", int(emulator.base_url.rpartition(":")[2]))
        with pytest.raises(StartupError, match="cannot listen on"), embedded.running(address=taken):
            pytest.fail("the emulator must not start")
