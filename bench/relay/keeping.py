"""What the memory of a conversation is made of: of one that speaks all the time, and of one that listens too.

The first is the caller of all other measurements here: Gemini's stand-in answers every message of it at once, so it
speaks into every answer. The second sends its microphone all the time as well, as browsers do, but is silent while it
is answered. Each is measured in a relay of its own that has carried nothing before.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

from picows import WSFrame, WSMsgType, WSTransport

from bench.relay.caller import Caller, Talk, called, paced
from bench.relay.contenders import Contender, Upstream, filo, filo_on_picows
from bench.relay.gemini import REPLY, Gemini
from bench.relay.told import Told

POLITE: Final = "Sell the thread, politely."
"""The instruction of a conversation in which Gemini's stand-in answers when the client has ended."""
TALKS: Final[Mapping[str, Talk]] = {
    "speaks all the time, into every answer": Talk(),
    "five seconds of speech, five of listening": Talk(spoken=250, pause=250, instruction=POLITE),
    "five seconds of speech, fifteen of listening": Talk(spoken=250, pause=750, instruction=POLITE),
}
TELLING: Final = {"Filo": ("Filo", filo), "filo-picows": ("Filo on picows", filo_on_picows)}
"""The contenders that tell what they keep, by the name that selects them: their title, and how one is started."""
_SECONDS: Final = 20.0
"""Of talk before anything is looked at: two turns at least."""
_LOOKS: Final = 10
"""At what is kept, evenly spread over the next `_LOOKED` seconds; what counts is their mean."""
_LOOKED: Final = 10.0
_PAUSE: Final = 25
"""Messages of silence after which the client has ended: half a second."""
_ANSWER: Final = 200
"""Messages of an answer."""
_SILENT: Final = b'"' + b"A" * 64
"""How silence begins in base64."""


class Polite(Gemini):
    """A connection that lets the client speak out, if the conversation's instruction says so; otherwise like any."""

    def __init__(self) -> None:
        super().__init__()
        self._polite = False
        self._quiet = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Listen, then answer at the pace of the client's silence."""
        head = bytes(frame.get_payload_as_memoryview()[:12])
        if head.startswith(b'{"setup"') and b"politely" in frame.get_payload_as_bytes():
            self._polite = True
        if not self._polite or self._new or not head.startswith(b'{"realtimeIn'):
            super().on_ws_frame(transport, frame)
            return
        Gemini.heard += 1
        self._quiet = self._quiet + 1 if _SILENT in frame.get_payload_as_bytes() else 0
        if _PAUSE < self._quiet <= _PAUSE + _ANSWER:
            transport.send(WSMsgType.TEXT, REPLY)
        if self._quiet == _PAUSE + _ANSWER:
            self._turn_ends(transport)


async def kept(
    start: Callable[[AsyncExitStack, Upstream], Awaitable[Contender]], upstream: Upstream, talk: Talk, count: int
) -> dict[str, float]:
    """KiB a conversation: begun, talking, and what of that is voice kept for either side.

    Raises:
        RuntimeError: The contender tells nothing of itself.
    """
    async with AsyncExitStack() as stack:
        relay = await start(stack, upstream)
        if relay.process is None or relay.metrics is None:
            raise RuntimeError(f"{relay.name} does not tell what it keeps")
        warm = await called(relay, count // 10, talk)
        before = relay.process.memory()
        callers = await called(relay, count, talk)
        await asyncio.sleep(1)
        idle = relay.process.memory() - before
        await paced(callers, _SECONDS)
        looks = [await _look(relay.metrics, callers) for _ in range(_LOOKS)]
        busy = relay.process.memory() - before
        for caller in (*callers, *warm):
            caller.close()
    up, down = (statistics.fmean(values) for values in zip(*looks, strict=True))
    return {name: size / count / 1024 for name, size in (("idle", idle), ("up", up), ("down", down), ("busy", busy))}


async def _look(metrics: str, callers: list[Caller]) -> tuple[float, float]:
    """Bytes that are kept, upwards and downwards, after a while of talk."""
    await paced(callers, _LOOKED / _LOOKS)
    told = await asyncio.to_thread(Told, metrics)
    return told.sum("filo_relay_replay_bytes"), told.sum("filo_relay_outbox_bytes")
