"""What a client sends, numbered, kept until it is covered, and fed to whichever upstream connection there is."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from typing import Final

from services.relay.client.speech import Sound
from services.relay.core.model import START, Consumed, Mark
from services.relay.lease import Lease
from services.relay.upstream import wire
from services.relay.upstream.connection import Upstream
from services.relay.upstream.reel import OVERHEAD, Input, Reel

_BYTES_A_SECOND: Final = 32_000
_FRAMES_A_SECOND: Final = 50
SILENCE_KEPT: Final = 2.0
"""Seconds of silence that are sent again before what sounds: room for a beginning too soft to be heard here."""
_SILENCE_HELD: Final = 10.0
"""Seconds of silence at the beginning that are held at least. Older silence in which Gemini has heard nothing is let
go: it would not be sent again. By then Gemini has told if it has heard more in it than this relay."""
_LOOKED_EVERY: Final = 2.0
"""Seconds of audio after which it is looked whether there is such silence."""
_A_VOICE: Final = 1.0
"""Seconds of a client's voice by which it is known that it is no silence to this relay's ear: its microphone is loud
enough."""
PRESSED: Final = 500
"""Inputs that wait while there is a connection (ten seconds of audio): from here on the client has to wait too."""
_RELIEVED: Final = 100
"""Inputs that may still wait when it need not wait any more."""
_BURST: Final = 8
"""Messages in a row, after which the other conversations of the relay get their turn."""


class Inputs:
    """The replay buffer of one conversation and the place from which it is sent.

    Replaying is nothing but going back: `start` moves the place, and the feeder sends on from there. Silence that an
    earlier connection has heard is not sent again: it would only hold up what follows.

    Args:
        covered_seq: The newest client sequence number that is stored already.
        replay_seconds: How much audio is kept, oldest out first.
        heard: Whether Gemini has heard something since the newest turn ended. It has a finer ear than this relay.

    Attributes:
        last_seq: The newest input's number.
        sent: The newest input that was sent to the connection in use, or passed over.
        spoken: Seconds of the client's voice that the connection in use was sent.
        quiet: Seconds without a voice that it was sent after that.
    """

    def __init__(self, covered_seq: int, replay_seconds: float, heard: Callable[[], bool] = lambda: True) -> None:
        self.last_seq = covered_seq
        self.sent = Mark(0, covered_seq)
        self.spoken = self.quiet = 0.0
        self._reel = Reel()
        self._changed = asyncio.Event()
        self._most = _weight(replay_seconds)
        self._look_at = _weight(_LOOKED_EVERY)
        self._heard = heard
        self._loud_enough = False
        self._sending = False
        self._ever_sent = 0
        self._control: deque[tuple[bytes, bool]] = deque()
        self._index = 0
        self._advised_at = 0
        self._resting: tuple[Upstream, Lease | None] | None = None
        self._relief: Callable[[], None] | None = None
        self._transparent = False
        self._marks: deque[tuple[int, Mark]] = deque()

    @property
    def weight(self) -> int:
        """Bytes of audio that are kept."""
        return self._reel.weight

    @property
    def written(self) -> int:
        """Bytes that are kept of what is not audio, and is never dropped."""
        return self._reel.written

    @property
    def newest(self) -> Mark:
        """The newest input, sent or not."""
        return Mark(self._reel.last, self.last_seq)

    @property
    def waiting(self) -> bool:
        """Whether inputs wait for a connection."""
        return not self._sending

    def connected(self, *, already: int, transparent: bool) -> None:
        """A connection has begun.

        Args:
            already: So many messages were sent after its setup.
            transparent: It will ask which input a message was.
        """
        self._index = already
        self._advised_at = 0
        self._listen()
        self.spoken = self.quiet = 0.0
        self._transparent = transparent
        self._marks.clear()

    def consumed(self, index: int) -> Consumed:
        """What is among the connection's messages up to an index; what is older is not asked for again."""
        while len(self._marks) > 1 and self._marks[1][0] <= index:
            self._marks.popleft()
        mark = self._marks[0][1] if self._marks and self._marks[0][0] <= index else START
        return Consumed(mark, 0 < self._advised_at <= index)

    def take(self, payload: bytes, seq: int, *, is_audio: bool, sound: Sound = Sound.FAINT) -> int:
        """Add an input.

        Args:
            payload: PCM16 of 16 kHz, or a message for Gemini.
            seq: The client's number of it, greater than `last_seq`.
            is_audio: Which of the two it is.
            sound: What audio sounds like.

        Returns:
            How many older frames of audio had to be dropped.
        """
        self.last_seq = seq
        item = Input(seq, payload, is_audio, sound)
        position = self._reel.append(item)
        if not self._passed_on(position, item):
            self._changed.set()
        if self._reel.weight > self._look_at:
            self._lighten()
        return self._reel.trim(self._most) if self._reel.weight > self._most else 0

    def _listen(self) -> bool:
        """Whether the client's voice is known to be none that this relay takes for silence."""
        self._loud_enough = self._loud_enough or self.spoken >= _A_VOICE
        return self._loud_enough

    def _lighten(self) -> None:
        """Let go of silence that would not be sent again, if there is any; look again after some more audio."""
        if self._listen() and not self._heard():
            self._reel.forget_silence(self._ever_sent, _weight(_SILENCE_HELD))
        self._look_at = self._reel.weight + _weight(_LOOKED_EVERY)

    @property
    def pressed(self) -> bool:
        """Whether the connection takes less than the client sends."""
        return self._sending and self._reel.last - self.sent.position > PRESSED

    def when_relieved(self, then: Callable[[], None]) -> None:
        """Call this once when the connection has taken most of what waits, or is not sent to any more."""
        self._relief = then

    def _relieve(self) -> None:
        if self._relief is not None:
            relief, self._relief = self._relief, None
            relief()

    def skip(self, seq: int) -> None:
        """An input that is not replayed (a tool's result) has this number."""
        self.last_seq = seq

    def start(self, after: Mark, *, heard: bool = False) -> None:
        """Send what comes after a mark, and what will come.

        Args:
            after: The newest input that the connection knows already.
            heard: Gemini had heard something in what comes after it.
        """
        self.sent = self._past_silence(after, heard=heard)
        self._sending = True
        self._changed.set()

    def _past_silence(self, after: Mark, *, heard: bool) -> Mark:
        """Where to begin instead: shortly before the first input that sounds, or that was never sent."""
        silence: list[tuple[int, Input]] = []
        sounds = False
        for position, item in takewhile(lambda entry: entry[0] <= self._ever_sent, self._reel.items(after.position)):
            if item.sound is not Sound.SILENCE:
                sounds = True
                break
            silence.append((position, item))
        if heard and not sounds:
            return after  # a voice too soft for this relay's ear
        kept = 0.0
        while silence and kept < SILENCE_KEPT:
            kept += len(silence.pop()[1].payload) / _BYTES_A_SECOND
        return Mark(silence[-1][0], silence[-1][1].seq) if silence else after

    def stop(self) -> None:
        """Send nothing; a tool's answer that waits is for a connection that is gone."""
        self._sending = False
        self._control.clear()
        self._relieve()

    def forget(self, through: int) -> None:
        """Inputs up to this position are covered."""
        self._reel.forget(through)
        self._lighten()

    def send_control(self, message: bytes, *, advice: bool = False) -> None:
        """Send a message that is not a client's input, before the inputs that wait.

        Args:
            message: Ready for the wire.
            advice: It brings advice to the agent; where it is, the connection may be asked.
        """
        self._control.append((message, advice))
        self._changed.set()

    async def feed(self, upstream: Upstream, lease: Lease | None = None) -> None:
        """Send to a connection until cancelled; a slow one slows this down.

        A replay is a burst that a fast connection takes without ever making this wait: others get their turn all the
        same.

        Args:
            upstream: Where to.
            lease: Nothing is sent while it is in doubt, nor after it is lost.
        """
        while True:
            if self._index % _BURST == 0:
                await asyncio.sleep(0)
            if lease is not None and lease.in_doubt and not await lease.sure():
                return
            if self._control:
                self._index += 1
                message, advice = self._control.popleft()
                self._advised_at = self._index if advice else self._advised_at
                await upstream.send(message)
            elif self._sending and (entry := self._reel.after(self.sent.position)):
                await self._send(upstream, *entry)
            else:
                await self._rest(upstream, lease)

    async def _rest(self, upstream: Upstream, lease: Lease | None) -> None:
        """Nothing is left to send: what comes next may go straight to the connection."""
        self._resting = upstream, lease
        try:
            self._changed.clear()
            await self._changed.wait()
        finally:
            self._resting = None

    def _passed_on(self, position: int, item: Input) -> bool:
        """Send the newest input at once, with no task in between, if nothing waits before it; whether that was done."""
        if self._resting is None or not self._sending or self._control or position != self.sent.position + 1:
            return False
        upstream, lease = self._resting
        if lease is not None and lease.in_doubt:
            return False
        if not upstream.send_now(wire.audio(item.payload) if item.is_audio else item.payload):
            return False
        self._note(position, item)
        return True

    async def _send(self, upstream: Upstream, position: int, item: Input) -> None:
        self._note(position, item)
        message = wire.audio(item.payload) if item.is_audio else item.payload
        if not upstream.send_now(message):
            await upstream.send(message)
        if self._reel.last - self.sent.position < _RELIEVED:
            self._relieve()

    def _note(self, position: int, item: Input) -> None:
        self.sent = Mark(position, item.seq)
        self._ever_sent = max(self._ever_sent, position)
        self._index += 1
        if self._transparent:
            self._marks.append((self._index, self.sent))
        if item.sound is Sound.VOICE:
            self.spoken += len(item.payload) / _BYTES_A_SECOND
            self.quiet = 0.0
        elif item.is_audio:
            self.quiet += len(item.payload) / _BYTES_A_SECOND


def _weight(seconds: float) -> int:
    """What so much audio weighs."""
    return int(seconds * (_BYTES_A_SECOND + _FRAMES_A_SECOND * OVERHEAD))


async def cancelled(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it is gone."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
