"""The emulator as a process, and what happens when the emulator itself is wrong."""

import asyncio
import re
import signal
import sys
from pathlib import Path

import pytest
from google.genai import errors
from websockets.exceptions import ConnectionClosedError

from services.emulator import connection
from services.emulator.brain import Answer, Brain
from services.emulator.context import Context
from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.genai import MODEL, Talk, client, config

RUN = "import os, sys; from services.emulator.service import main; sys.exit(main(os.environ))"
EVENT = 30.0


async def start(**environ: str) -> asyncio.subprocess.Process:
    """Start an emulator process with this environment alone."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-c", RUN, env=environ, stdout=pipe, stderr=pipe)


async def test_ready_and_stopped(tmp_path: Path) -> None:
    """The first line says where it listens, the rest what to paste to trust it; SIGTERM ends it with exit code 0."""
    process = await start(
        FILO_DATA_DIR=str(tmp_path), FILO_EMULATOR_ADDRESS="127.0.0.1:0", FILO_EMULATOR_CONTROL_ADDRESS="127.0.0.1:0"
    )
    assert process.stdout is not None
    async with asyncio.timeout(EVENT):
        line = (await process.stdout.readline()).decode()
        process.send_signal(signal.SIGTERM)
        rest, _ = await process.communicate()
    assert re.fullmatch(rf"emulator ready: wss://127.0.0.1:\d+ control http://127.0.0.1:\d+ ca {tmp_path}/\S+\n", line)
    assert f'cafile="{tmp_path}/emulator-ca.pem"' in rest.decode()
    assert f"NODE_EXTRA_CA_CERTS={tmp_path}/emulator-ca.pem" in rest.decode()
    assert process.returncode == 0


async def test_a_port_in_use_is_exit_code_2(emulator: RunningEmulator, tmp_path: Path) -> None:
    """One line that names the address, no traceback, exit code 2."""
    taken = emulator.control_url.removeprefix("http://")
    process = await start(FILO_DATA_DIR=str(tmp_path), FILO_EMULATOR_ADDRESS=taken)
    async with asyncio.timeout(EVENT):
        _, told = await process.communicate()
    assert re.fullmatch(rf"emulator: cannot listen on {taken}: .*\n", told.decode())
    assert process.returncode == 2


async def test_a_data_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """One line that names the directory, exit code 2."""
    (tmp_path / "file").touch()
    process = await start(FILO_DATA_DIR=str(tmp_path / "file"))
    async with asyncio.timeout(EVENT):
        _, told = await process.communicate()
    assert re.fullmatch(rf"emulator: cannot keep a certificate in {tmp_path}/file: .*\n", told.decode())
    assert process.returncode == 2


@pytest.mark.parametrize("question", ["audio", "text"])
async def test_a_defect_is_a_close_with_a_reason(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    """When the emulator itself fails, the client gets 1011 like from the real service, never silence."""

    def fail(_: Brain, __: Context, ___: object = ()) -> Answer:
        raise ZeroDivisionError

    monkeypatch.setattr(Brain, "answer", fail)
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        talk = Talk(session)
        if question == "audio":
            await talk.say("Hello.")
        else:
            await session.send_realtime_input(text="Hello.")
        error = await talk.closed()
    assert isinstance(error, errors.APIError)
    assert error.code == 1011


async def chatter(talk: Talk) -> None:
    """Speak on and on without listening to a single answer."""
    async with asyncio.timeout(EVENT):
        while True:
            await talk.say("Go on, please, tell me all that there is to be said about it.")
            await asyncio.sleep(0)  # a send need not wait, and then nobody would be told that the connection is lost


async def test_a_client_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that takes no more is not waited for beyond its bound; the account says 1006."""
    monkeypatch.setattr(connection, "SEND_TIMEOUT", 0.2)
    async with (
        running_emulator(speed=10_000.0, thinking=0.0) as emulator,
        client(emulator).aio.live.connect(model=MODEL, config=config()) as session,
    ):
        with pytest.raises(ConnectionClosedError):
            await chatter(Talk(session))
    report = emulator.account.voice(7)
    assert report is not None
    assert report["connections"][0]["closed"]["code"] == 1006
