"""The far end: Gemini's side of the wire, reduced to what a measurement needs, and cheap enough not to be measured.

Every audio message is answered by one of the agent's. Each `TURN` of them ends a turn as Gemini does: usage, the end of
the turn, and a fresh handle. The very first message of a conversation ends one too, so that one that says no more is
between two turns, and nobody waits for the rest of an answer. A handle tells how far the talk was, and so how large the
context is that it resumes. The emulator is faithful instead, and costs far more than a relay.
"""

import base64
import json
import re
import time
from typing import Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport

TURN: Final = 250
"""Audio messages in a turn: five seconds."""
_STRIDE: Final = 97
"""Messages by which each connection is ahead of the one before it; it has no divisor in common with `TURN`."""
REPLY: Final = json.dumps(
    {
        "serverContent": {
            "modelTurn": {
                "parts": [
                    {
                        "inlineData": {
                            "mimeType": "audio/pcm;rate=24000",
                            "data": base64.b64encode(bytes(range(240)) * 4).decode(),
                        }
                    }
                ]
            }
        }
    },
    separators=(",", ":"),
).encode()
"""20 ms of the agent's voice, PCM16 of 24 kHz."""
_AUDIO: Final = (b'{"realtimeInput"', b'{"realtime_inpu')
"""How audio begins; google-genai writes the names of the protos."""
_READY: Final = b'{"setupComplete":{}}'
_HANDLE: Final = re.compile(rb'"handle-\d+-(\d+)"')
_GO_AWAY: Final = b'{"goAway":{"timeLeft":"0s"}}'
_GOLDEN: Final = 0.618
"""Its multiples are spread evenly."""
_PACE: Final = 60.0
"""Messages of audio a second that a restless connection says at most: nobody speaks faster because a replay came."""


class Gemini(WSListener):
    """One connection. All of them share the counters of the class.

    Attributes:
        turn: Audio messages in a turn; `TURN`, but where turns themselves are measured.
        heard: Audio messages that reached Gemini, on all connections.
        born: Connections so far; each is in another place of its turn, as conversations are.
        restless_after: A restless connection says goAway after about so many seconds, each after others; None for
            never.
        departures: How many did.
        turns: Turns that have ended, on all connections.
    """

    turn = TURN
    heard = 0
    born = 0
    restless_after: float | None = None
    departures = 0
    turns = 0

    def __init__(self) -> None:
        Gemini.born += 1
        self._ahead = Gemini.born * _STRIDE % TURN
        self._mine = 0
        self._turn = 0
        self._restless = False
        self._since = 0.0
        self._patience = 0.5 + Gemini.born * _GOLDEN % 1  # of a mean of 1
        self._said = 0
        self._new = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer audio with audio, a setup with its completion; swallow the rest."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        head = bytes(frame.get_payload_as_memoryview()[:16])
        if head.startswith(_AUDIO):
            self._answer(transport)
        elif b'"setup"' in head:
            setup = frame.get_payload_as_bytes()
            self._restless, self._since = b"restlessly" in setup, time.monotonic()
            if (resumed := _HANDLE.search(setup)) is not None:
                self._turn, self._new = int(resumed[1]), False
            transport.send(WSMsgType.TEXT, _READY)
            self._handle(transport)

    def _answer(self, transport: WSTransport) -> None:
        Gemini.heard += 1
        self._mine += 1
        if not self._restless:
            transport.send(WSMsgType.TEXT, REPLY)
        else:
            self._answer_restlessly(transport, time.monotonic() - self._since)
        if self._new or (self._mine + self._ahead) % Gemini.turn == 0:
            self._new = False
            self._turn_ends(transport)

    def _turn_ends(self, transport: WSTransport) -> None:
        self._turn += 1
        Gemini.turns += 1
        transport.send(WSMsgType.TEXT, _turn_over(self._turn))
        self._handle(transport)

    def _answer_restlessly(self, transport: WSTransport, age: float) -> None:
        """Answer what is not sent again faster than anybody speaks, and leave when it is time."""
        if self._said <= age * _PACE:
            self._said += 1
            transport.send(WSMsgType.TEXT, REPLY)
        if Gemini.restless_after is not None and age >= Gemini.restless_after * self._patience:
            self._restless = False
            Gemini.departures += 1
            transport.send(WSMsgType.TEXT, _GO_AWAY)

    def _handle(self, transport: WSTransport) -> None:
        update = {"sessionResumptionUpdate": {"newHandle": f"handle-{id(self)}-{self._turn}", "resumable": True}}
        transport.send(WSMsgType.TEXT, json.dumps(update).encode())


def _turn_over(turn: int) -> bytes:
    """The end of a turn, with a context that grows by 25 tokens a second for both who spoke."""
    audio = turn * TURN // 50 * 25 * 2
    usage = {
        "promptTokenCount": audio,
        "responseTokenCount": TURN // 50 * 25,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": audio}],
    }
    return json.dumps({"serverContent": {"turnComplete": True}, "usageMetadata": usage}).encode()
