"""One client under load: sends audio, takes audio, and times each message by the one that answers it."""

import asyncio
import base64
import json
import random
import ssl
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.relay.contenders import Contender
from bench.relay.floor import SETUP

FRAME: Final = 0.02
"""Seconds of one audio message."""
_VOICE: Final = random.Random(7).randbytes(640)  # noqa: S311 - 20 ms of PCM16 at 16 kHz, loud all over
_SILENCE: Final = bytes(640)


@dataclass(frozen=True, slots=True)
class Talk:
    """How clients talk; each begins in another place of it.

    Args:
        spoken: Messages of speech,
        pause: then of silence, again and again.
        instruction: The conversation's, by which Gemini's stand-in knows how to answer; None for the usual one.
    """

    spoken: int = 175
    pause: int = 75
    instruction: str | None = None


_STRIDE: Final = 97
"""Messages by which each client is ahead of the one before it, where it listens."""


def _wrapped(pcm: bytes) -> bytes:
    blob = {"mimeType": "audio/pcm;rate=16000", "data": base64.b64encode(pcm).decode()}
    return json.dumps({"realtimeInput": {"audio": blob}}, separators=(",", ":")).encode()


_TRUSTING: Final = ssl.create_default_context()
_TRUSTING.check_hostname = False
_TRUSTING.verify_mode = ssl.CERT_NONE
"""The load does not look who answers; what it costs is nobody's figure."""
_READY_TYPE: Final = {True: WSMsgType.TEXT, False: WSMsgType.BINARY}
_AT_ONCE: Final = 8
"""Clients that come at the same time."""
_TAKEN: Final = 60.0
"""Seconds in which one of them must be taken."""
_PAYLOADS: Final = {True: (_wrapped(_VOICE), _wrapped(_SILENCE)), False: (_VOICE, _SILENCE)}


class Caller(WSListener):
    """A client of one contender.

    Args:
        contender: Whose.
        talk: How it talks.
        ahead: So many messages of its talk are passed over.

    Attributes:
        sent: Audio messages.
        got: Audio messages of the agent.
        took: Seconds from each message to its answer, since `took` was last cleared.
        ready: Set when the conversation has begun.
        answered: Set when its first message is, or when it is lost.
        lost: Why the connection ended, if it did.
    """

    def __init__(self, contender: Contender, talk: Talk, ahead: int = 0) -> None:
        self._talk = talk
        self._ahead = ahead
        self.sent = 0
        self.got = 0
        self.took: list[float] = []
        self.ready = asyncio.Event()
        self.answered = asyncio.Event()
        self.lost: str | None = None
        self._plain = contender.speaks_gemini
        self._kind = _READY_TYPE[contender.speaks_gemini]
        self._voice, self._silence = _PAYLOADS[contender.speaks_gemini]
        self._transport: WSTransport
        self._under_way: deque[float] = deque()
        self._again = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The socket is open; Gemini's protocol begins with the setup."""
        self._transport = transport
        if self._plain:
            transport.send(WSMsgType.TEXT, SETUP.encode())
        else:
            self.ready.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Time audio; everything else is passed over."""
        if frame.msg_type == WSMsgType.CLOSE:
            self.lost = f"{frame.get_close_code()} {(frame.get_close_message() or b'').decode(errors='replace')}"
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == self._kind and self._is_audio(frame):
            self.got += 1
            if self.got == 1:
                self.answered.set()
            if self._under_way:
                self.took.append(time.perf_counter() - self._under_way.popleft())
            if self._again:
                self.send()

    def _is_audio(self, frame: WSFrame) -> bool:
        if not self._plain:
            return True
        head = bytes(frame.get_payload_as_memoryview()[:28])
        if head.startswith(b'{"setupComplete"'):
            self.ready.set()
        return head.startswith(b'{"serverContent":{"modelTurn')

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        """The socket is gone."""
        self.lost = self.lost or "the connection was cut"
        self.ready.set()
        self.answered.set()

    def send(self) -> None:
        """One audio message now."""
        spoken = (self.sent + self._ahead) % (self._talk.spoken + self._talk.pause) < self._talk.spoken
        self.sent += 1
        self._under_way.append(time.perf_counter())
        self._transport.send(self._kind, self._voice if spoken else self._silence)

    def press(self, depth: int) -> None:
        """From now on keep so many messages under way; 0 sends no more."""
        self._again = depth > 0
        for _ in range(depth):
            self.send()

    @property
    def instruction(self) -> str | None:
        """Of its conversation; None for the usual one."""
        return self._talk.instruction

    @property
    def under_way(self) -> int:
        """Messages without an answer yet."""
        return len(self._under_way)

    def close(self) -> None:
        """Go."""
        if self.lost is None:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()


async def called(contender: Contender, count: int, talk: Talk | None = None) -> list[Caller]:
    """That many clients, each in a conversation of its own that has begun: its first message is answered.

    A few come at a time, and the next one when one of them has begun: nobody is opened faster than they are taken.

    Raises:
        RuntimeError: One of them was refused.
        TimeoutError: One of them was not taken in time.
    """
    door = asyncio.Semaphore(_AT_ONCE)

    async def come(number: int) -> Caller:
        caller = Caller(contender, talk, number * _STRIDE) if talk else Caller(contender, Talk())
        async with door, asyncio.timeout(_TAKEN):
            return await _begun(contender, caller)

    coming = [asyncio.create_task(come(number)) for number in range(count)]
    try:
        return [await caller for caller in coming]
    finally:
        for caller in coming:
            caller.cancel()


async def _begun(contender: Contender, caller: Caller) -> Caller:
    url = await (contender.url() if caller.instruction is None else contender.url(caller.instruction))
    await ws_connect(lambda: caller, url, ssl_context=_TRUSTING if contender.speaks_gemini else None)
    await caller.ready.wait()
    if caller.lost is None:
        caller.send()
    await caller.answered.wait()
    if caller.lost is not None:
        raise RuntimeError(f"{contender.name} closed a conversation: {caller.lost}")
    return caller


async def paced(callers: list[Caller], seconds: float, rate: float | None = None) -> None:
    """Let the clients send, one after the other, evenly spread in time.

    Args:
        callers: The clients.
        seconds: How long.
        rate: Messages a second of all of them together; if not given, each sends one each 20 ms.
    """
    began = time.perf_counter()
    step = 1 / rate if rate else FRAME / len(callers)
    for number in range(int(seconds / step)):
        ahead = began + number * step - time.perf_counter()
        if ahead > 0.001:  # noqa: PLR2004 - the loop's own precision
            await asyncio.sleep(ahead)
        elif number % len(callers) == 0:
            await asyncio.sleep(0)
        callers[number % len(callers)].send()


async def settled(callers: list[Caller]) -> None:
    """Wait until every message is answered.

    Raises:
        RuntimeError: Some never are.
    """
    try:
        async with asyncio.timeout(10):
            while any(caller.under_way for caller in callers):  # noqa: ASYNC110 - what answers is compiled code
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        missing = sum(caller.under_way for caller in callers)
        raise RuntimeError(f"{missing} messages were never answered") from error
