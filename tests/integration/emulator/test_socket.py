"""What the SDK cannot send: raw frames, keys in the query, cuts; and the control API."""

import asyncio
import json
import ssl
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.common import voice
from services.common.config import Address
from services.common.lifecycle import StartupError
from services.emulator import embedded, faults
from services.emulator.shapes import SHAPES
from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.session import audio, setup

PATH = "/ws/google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"
EVENT = 10.0


def dial(emulator: RunningEmulator, version: str = "v1beta", query: str = "?key=k", slashes: str = "") -> connect:
    """A raw WebSocket to the emulator."""
    url = f"{emulator.url}{slashes}{PATH.format(version)}{query}"
    return connect(url, ssl=emulator.ssl_context, close_timeout=1)


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """Receive until the server closes; its code and reason."""
    async with asyncio.timeout(EVENT):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code or 0, socket.close_reason or ""


async def receive(socket: ClientConnection) -> dict[str, Any]:
    """The next message; it has to come in a binary frame."""
    async with asyncio.timeout(EVENT):
        frame = await socket.recv()
    assert isinstance(frame, bytes)
    message: dict[str, Any] = json.loads(frame)
    return message


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
@pytest.mark.parametrize("slashes", ["", "/"])
async def test_every_path(emulator: RunningEmulator, version: str, slashes: str) -> None:
    """All versions, with one slash or two, the key in the query; JSON comes in binary frames."""
    async with dial(emulator, version, slashes=slashes) as socket:
        await socket.send(json.dumps(setup()))
        assert await receive(socket) == {"setupComplete": {}}


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        (
            "",
            1008,
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key",
        ),
        ("?key=bad-key", 1007, "API key not valid. Please pass a valid API key."),
        ("?access_token=bad-key", 1007, "API key not valid. Please pass a valid API key."),
    ],
)
async def test_keys(emulator: RunningEmulator, query: str, code: int, reason: str) -> None:
    """No key and a wrong key: a successful upgrade, then a close."""
    async with dial(emulator, query=query) as socket:
        await socket.send(json.dumps(setup()))
        told = await closed(socket)
    assert told[0] == code
    assert told[1].startswith(reason)
    assert len(told[1].encode()) <= 123


@pytest.mark.parametrize("query", ["?key=any", "?access_token=auth_tokens/any"])
async def test_good_credentials(emulator: RunningEmulator, query: str) -> None:
    """A key and an ephemeral token are let in alike."""
    async with dial(emulator, query=query) as socket:
        await socket.send(json.dumps(setup()))
        assert "setupComplete" in json.loads(await socket.recv())


@pytest.mark.parametrize(
    "frame", ["{nonsense", b"\xff\xfe", "[]", '{"setup": {"bogusField": 1}}', "\N{PILE OF POO}" * 99]
)
async def test_malformed_frames(emulator: RunningEmulator, frame: str | bytes) -> None:
    """A malformed frame ends the connection with 1007 and a reason that fits, before and after the setup."""
    for greeting in ([], [json.dumps(setup())]):
        async with dial(emulator) as socket:
            for message in [*greeting, frame]:
                await socket.send(message)
            code, reason = await closed(socket)
        assert code == 1007
        assert reason


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (b"\x81\x82\0\0\0\0\xff\xfe", 1007),  # text that is no UTF-8
        (b"\xf1\x80\0\0\0\0", 1002),  # reserved bits
        (b"\x83\x80\0\0\0\0", 1002),  # an opcode that does not exist
        (b"\x82\xff\0\0\0\0\x10\0\0\0\0\0\0\0", 1009),  # more than is read
    ],
)
async def test_broken_frames(emulator: RunningEmulator, broken: bytes, code: int) -> None:
    """What is no WebSocket frame ends the connection with the code of the RFC, and a reason as well."""
    async with dial(emulator) as socket:
        socket.transport.write(broken)
        told, reason = await closed(socket)
    assert told == code
    assert reason


BAD_FRAMES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=300),
    st.recursive(
        st.none() | st.floats() | st.text(), lambda part: st.lists(part) | st.dictionaries(st.text(), part)
    ).map(json.dumps),
    st.sampled_from(sorted({name for known in SHAPES.values() for name in known})).map(
        lambda name: json.dumps({name: {name: [name]}})
    ),
)


def test_any_frames_on_a_socket(capfd: pytest.CaptureFixture[str]) -> None:
    """On a real socket as well: never a traceback in the emulator, always a close with a code and a reason."""
    with embedded.running() as emulator:
        url = f"{emulator.base_url.replace('https', 'wss')}{PATH.format('v1beta')}?key=k"

        async def attack(greets: bool, frames: list[bytes | str]) -> tuple[int, str]:  # noqa: FBT001 - drawn
            async with connect(url, ssl=emulator.ssl_context, close_timeout=1) as socket:
                with suppress(ConnectionClosed):
                    for frame in [*([json.dumps(setup())] if greets else []), *frames, "the end"]:
                        await socket.send(frame)
                return await closed(socket)

        @settings(max_examples=40, deadline=None)
        @given(greets=st.booleans(), frames=st.lists(BAD_FRAMES, max_size=4))
        def check(greets: bool, frames: list[bytes | str]) -> None:  # noqa: FBT001 - drawn
            code, reason = asyncio.run(attack(greets, frames))
            assert code == 1007
            assert 0 < len(reason.encode()) <= 123

        check()
    assert "Traceback" not in "".join(capfd.readouterr())


async def test_a_cut_connection_is_noticed(emulator: RunningEmulator) -> None:
    """When the TCP connection dies without a close, the handle can be used at once, and the account says 1006."""
    async with dial(emulator) as socket:
        await socket.send(json.dumps(setup()))
        frames = voice_frames()
        await socket.send(json.dumps(audio(frames)))
        handle = ""
        while not handle:
            handle = (await receive(socket)).get("sessionResumptionUpdate", {}).get("newHandle", "")
        socket.transport.abort()
    for _ in range(100):
        async with dial(emulator) as socket:
            await socket.send(json.dumps(setup(sessionResumption={"handle": handle})))
            with suppress(ConnectionClosed):
                assert await receive(socket) == {"setupComplete": {}}
                break
            assert socket.close_code == 1011  # the cut was not noticed yet
    report = emulator.account.voice(5)
    assert report is not None
    assert report["connections"][0]["closed"]["code"] == 1006


async def test_a_close_without_a_code() -> None:
    """Browsers close without a code: the account says 1005, which is no abnormal end."""
    async with running_emulator() as emulator, dial(emulator) as socket:
        await socket.send(json.dumps(setup()))
        await socket.send(json.dumps(audio(voice_frames())))
        await receive(socket)
        socket.protocol.send_close()
        socket.send_data()
        await closed(socket)
    report = emulator.account.voice(5)  # of an emulator that has stopped: whatever was to be noted is noted
    assert report is not None
    assert report["connections"][0]["closed"] == {"code": 1005, "reason": ""}


async def test_slow_pongs(emulator: RunningEmulator) -> None:
    """A ping is answered at once, by setting or fault later, and what else is to be said is not held up."""
    emulator.faults.add(faults.read('{"do": "pongs", "when": "open", "seconds": 0.3}'))
    loop = asyncio.get_running_loop()
    async with dial(emulator) as socket, asyncio.timeout(EVENT):
        before = loop.time()
        await (await socket.ping())
        assert loop.time() - before < 0.3
        await socket.send(json.dumps(setup()))
        assert await receive(socket) == {"setupComplete": {}}
        before = loop.time()
        pong = asyncio.ensure_future(await socket.ping())
        assert "sessionResumptionUpdate" in await receive(socket)
        assert not pong.done()
        await pong
        assert loop.time() - before >= 0.29


async def test_pongs_too_slow_for_a_client() -> None:
    """With the setting, the liveness check of the SDK's library gives a healthy session up."""
    async with running_emulator(pong_delay=5.0) as emulator:
        url = f"{emulator.url}{PATH.format('v1beta')}?key=k"
        async with connect(url, ssl=emulator.ssl_context, ping_interval=0.1, ping_timeout=0.1) as socket:
            await socket.send(json.dumps(setup()))
            await socket.wait_closed()
    assert socket.protocol.close_sent is not None
    assert socket.protocol.close_sent.reason == "keepalive ping timeout"


def voice_frames() -> bytes:
    """A word of the voice 5, without the silence that would end it."""
    return b"".join(voice.speak("Word", stream=5, first_frame=0, utterance=0))


async def test_the_control_api(emulator: RunningEmulator) -> None:
    """The account over HTTP, a clear 404 for an unknown voice, and health."""
    async with dial(emulator) as socket:
        await socket.send(json.dumps(setup()))
        await socket.send(json.dumps(audio(voice_frames())))
        await receive(socket)
        async with aiohttp.ClientSession(emulator.control_url) as http:
            for _ in range(100):
                async with http.get("/v1/voices") as response:
                    if (await response.json())["streams"] == [5]:
                        break
            async with http.get("/v1/voices/5") as response:
                report = await response.json()
            assert report["frames"] == {
                "distinct_received": 10,
                "in_context": 0,
                "missing_in_context": 0,
                "repeated_in_context": 0,
            }
            assert report["connections"][0]["closed"] is None
            assert set(report["tokens"].values()) == {0}
            for unknown in ("6", "six", "-5", "\N{SUPERSCRIPT TWO}"):
                async with http.get(f"/v1/voices/{unknown}") as response:
                    assert response.status == 404
                    assert unknown in (await response.json())["error"]
            async with http.get("/v1/health") as response:
                assert await response.json() == {"status": "ok"}


async def test_only_its_own_ca_is_trusted(emulator: RunningEmulator) -> None:
    """A client that does not trust the emulator's CA does not get through."""
    with pytest.raises(ssl.SSLCertVerificationError):
        await connect(f"{emulator.url}{PATH.format('v1')}", ssl=ssl.create_default_context())


async def test_a_stopped_emulator_says_so() -> None:
    """When the emulator stops, open connections are closed with 1001."""
    async with running_emulator() as emulator:
        socket = await dial(emulator)
        await socket.send(json.dumps(setup()))
        await receive(socket)
        reader = asyncio.create_task(closed(socket))
    assert (await reader)[0] == 1001


@pytest.mark.parametrize("which", ["address", "control_address"])
async def test_a_port_in_use(emulator: RunningEmulator, which: str) -> None:
    """A port in use is one clear sentence, which the process turns into exit code 2."""
    taken = Address("127.0.0.1", int(emulator.url.rpartition(":")[2]))
    with pytest.raises(StartupError, match=rf"cannot listen on {taken}"):
        async with running_emulator(**{which: taken}):
            pytest.fail("the emulator must not start")


async def test_a_close_is_acknowledged_late() -> None:
    """By setting: until then the client is told what there is to tell, and its session counts as open."""
    async with running_emulator(close_delay=0.3, speed=1.0) as emulator, dial(emulator) as socket:
        await socket.send(json.dumps(setup()))
        await receive(socket)
        await socket.send(json.dumps({"realtimeInput": {"text": "Tell me about the thread."}}))
        while "serverContent" not in await receive(socket):
            pass
        closing = asyncio.create_task(socket.close())
        heard = 0
        with suppress(ConnectionClosed):
            while await socket.recv():
                heard += 1
        await closing
        assert heard >= 5
        assert socket.close_code == 1000
