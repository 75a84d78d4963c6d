"""What one client's socket brings: inputs that are numbered and kept, and words to the core."""

from collections.abc import Callable
from typing import Final

from services.common.errors import Reason, ServiceError
from services.relay.client import protocol
from services.relay.client.outbox import Outbox
from services.relay.client.speech import Sound, SpeechDetector
from services.relay.core import events as on
from services.relay.metrics import Metrics
from services.relay.sockets import Socket
from services.relay.upstream import wire
from services.relay.upstream.inputs import Inputs

_NOTHING_SAID: Final = bytes(640)
"""20 ms of silence."""
MOST_WRITTEN: Final = 1024 * 1024
"""Bytes of what a client may write before Gemini has answered any of it: it is kept until then, and never trimmed."""


class Intake:
    """Reads one socket of a client.

    Args:
        inputs: Where inputs are kept.
        outbox: Where a pong goes.
        speech: Hears when an utterance begins; it outlives the socket.
        post: Tells the core.
        metrics: Counts.
    """

    def __init__(
        self,
        inputs: Inputs,
        outbox: Outbox,
        speech: SpeechDetector,
        post: Callable[[on.Event], None],
        metrics: Metrics,
    ) -> None:
        self._inputs = inputs
        self._outbox = outbox
        self._speech = speech
        self._post = post
        self._metrics = metrics
        self._next = inputs.last_seq + 1
        self._ended = False

    async def read(self, socket: Socket) -> bool:
        """Take everything in; a client that sends more than Gemini takes has to wait.

        Returns:
            Whether the client ended the conversation; otherwise its socket is at its end.

        Raises:
            ServiceError: MALFORMED_MESSAGE: the client sent what is not this protocol. LIMIT_REACHED: it wrote too
                much.
        """

        def take(data: bytes, text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
            if text:
                self._ended = self._message(*protocol.parse(data))
            else:
                self._audio(protocol.audio(data))
            if self._inputs.pressed:
                socket.hold()
                self._inputs.when_relieved(socket.release)
            return self._ended

        await socket.deliver(take)
        return self._ended

    def _message(self, message: protocol.Message, number: int | None) -> bool:
        self._next = self._next if number is None else number
        match message:
            case protocol.NextSeq():
                pass
            case protocol.Ping():
                self._outbox.tell({"type": "pong"})
            case protocol.End(reason=reason):
                self._post(on.EndAsked(reason or "ended by the client"))
                return True
            case protocol.Auth():
                raise protocol.malformed("auth is only the first message, and only where the URL has no token")
            case _:
                self._input(message)
        return False

    def _is_news(self) -> bool:
        """Count one input; whether it has not been taken in before."""
        self._next += 1
        news = self._next - 1 > self._inputs.last_seq
        if not news:
            self._metrics.duplicates.inc()
        return news

    def _audio(self, pcm: bytes) -> None:
        if not self._is_news():
            return
        if self._speech.began(pcm):
            paused = self._speech.paused
            self._post(on.SpeechBegan(self._inputs.newest, waiting=self._inputs.waiting, paused=paused))
        dropped = self._inputs.take(pcm, self._next - 1, is_audio=True, sound=self._speech.sound)
        if dropped:
            self._metrics.dropped.inc(dropped)

    def _input(self, message: protocol.Input) -> None:
        if not self._is_news():
            return
        number = self._next - 1
        if self._inputs.written >= MOST_WRITTEN:
            raise ServiceError(Reason.LIMIT_REACHED, "more was written than is kept until it is answered")
        match message:
            case protocol.ToolResult(id=call_id, result=result):
                self._inputs.skip(number)
                self._post(on.ToolResultGiven(call_id, result))
            case protocol.Text(text=text):
                self._post(on.ClientWrote(text, self._inputs.newest))
                self._inputs.take(wire.text(text), number, is_audio=False)
            case protocol.Activity(start=start):
                self._activity(number, start=start)
                self._inputs.take(wire.activity(start=start), number, is_audio=False)
            case protocol.AudioStreamEnd():
                self._inputs.take(wire.audio_stream_end(), number, is_audio=False)

    def _activity(self, number: int, *, start: bool) -> None:
        """The client says that it begins to speak, or ends; Gemini closes with 1007 where nothing came between."""
        if not self._speech.marked:
            raise protocol.malformed("activity_start and activity_end need an agent with manual_activity")
        if not start and self._speech.empty:
            self._inputs.take(_NOTHING_SAID, number - 1, is_audio=True, sound=Sound.SILENCE)
        if self._speech.mark(start=start):
            self._post(on.SpeechBegan(self._inputs.newest, waiting=self._inputs.waiting, marked=True))
