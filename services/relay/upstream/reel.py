"""Inputs with consecutive positions, kept until they are covered: the replay buffer's memory.

Fifty frames a second are kept of each client that speaks, as many as are in one turn or two. So half a second of them
is packed into one piece: a frame costs its own bytes then and little more, and a turn is forgotten in a few steps. The
rules are those of `log.Log`: forgetting takes inputs from the front; trimming takes the oldest audio, and never what a
client wrote.
"""

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import accumulate, takewhile
from typing import Final

from msgspec import Struct

from services.relay.client.speech import Sound

OVERHEAD: Final = 64
"""What an input counts for besides its payload, so that empty ones are bounded too."""
WRITTEN_OVERHEAD: Final = 1024
"""The same for what is never trimmed, so that there are few of them."""
_PACKED: Final = 25
"""Frames in a piece."""


class Input(Struct, frozen=True, gc=False):
    """One input: a frame of audio as it came, or a message that is ready for the wire."""

    seq: int
    payload: bytes
    is_audio: bool
    sound: Sound

    @property
    def weight(self) -> int:
        """Bytes that count against the bound; none of what must be kept."""
        return len(self.payload) + OVERHEAD if self.is_audio else 0


class _Piece:
    """Inputs with consecutive positions, all of them audio or none.

    Attributes:
        next: The position of the first of them that is still kept.
        end: The position after the last.
        silent: It is packed, and all of it is silence.
        weight: Of those that are kept.
    """

    __slots__ = (
        "_ends",
        "_inputs",
        "_pcm",
        "_seqs",
        "_sounds",
        "_start",
        "end",
        "is_audio",
        "next",
        "silent",
        "weight",
    )

    def __init__(self, position: int, *, is_audio: bool) -> None:
        self.is_audio = is_audio
        self.silent = False
        self.next = self.end = self._start = position
        self.weight = 0
        self._inputs: list[Input] = []
        self._pcm = b""
        self._ends = array("I")
        self._seqs = array("q")
        self._sounds: tuple[Sound, ...] = ()

    def add(self, item: Input, position: int, weight: int) -> bool:
        """Put an input at the end, if it can be: not where others before it were here and are trimmed."""
        if position != self.end or item.is_audio != self.is_audio or position - self._start >= _PACKED:
            return False
        self._inputs.append(item)
        self.weight += weight
        self.end += 1
        return True

    def pack(self) -> None:
        """Nothing more is added: keep audio as one piece of bytes."""
        if self.is_audio and self._inputs:
            inputs, self._inputs = self._inputs, []
            self._pcm = b"".join([item.payload for item in inputs])
            self._ends = array("I", accumulate([len(item.payload) for item in inputs], initial=0))
            self._seqs = array("q", [item.seq for item in inputs])
            self._sounds = tuple([item.sound for item in inputs])
            self.silent = self._sounds.count(Sound.SILENCE) == len(self._sounds)

    def at(self, position: int) -> Input:
        """The input at a position."""
        index = position - self._start
        if self._inputs:
            return self._inputs[index]
        pcm = self._pcm[self._ends[index] : self._ends[index + 1]]
        return Input(self._seqs[index], pcm, is_audio=True, sound=self._sounds[index])

    def drop(self) -> int:
        """Keep its first input no longer; gives what that weighed. Its bytes go with the last of the piece."""
        weight = self._weight(self.next - self._start)
        self.next += 1
        self.weight -= weight
        return weight

    @property
    def written(self) -> int:
        """What its messages weigh that are still kept; none of audio."""
        if self.is_audio:
            return 0
        return sum(len(item.payload) + WRITTEN_OVERHEAD for item in self._inputs[self.next - self._start :])

    def _weight(self, index: int) -> int:
        return self._inputs[index].weight if self._inputs else self._ends[index + 1] - self._ends[index] + OVERHEAD


class Reel:
    """The inputs of one conversation.

    Attributes:
        last: The position of the newest input ever added; 0 before the first.
        weight: Bytes of audio that are kept.
    """

    def __init__(self) -> None:
        self.last = 0
        self.weight = 0
        self._pieces: deque[_Piece] = deque()

    @property
    def written(self) -> int:
        """What is kept weighs that is not audio."""
        return sum(piece.written for piece in self._pieces)

    def append(self, item: Input) -> int:
        """Add an input; gives its position."""
        weight = item.weight
        self.last += 1
        if not self._pieces or not self._pieces[-1].add(item, self.last, weight):
            self._begin(item)
            self._pieces[-1].add(item, self.last, weight)
        self.weight += weight
        return self.last

    def _begin(self, item: Input) -> None:
        if self._pieces:
            self._pieces[-1].pack()
        self._pieces.append(_Piece(self.last, is_audio=item.is_audio))

    def after(self, position: int) -> tuple[int, Input] | None:
        """The first input that is kept after a position, with its own; or None."""
        return next(self.items(position), None)

    def items(self, after: int) -> Iterator[tuple[int, Input]]:
        """Every input that is kept after a position, with its own, in order; nothing may be added meanwhile."""
        at = bisect_right(self._pieces, after + 1, key=lambda piece: piece.end)
        for index in range(at, len(self._pieces)):
            piece = self._pieces[index]
            for position in range(max(piece.next, after + 1), piece.end):
                yield position, piece.at(position)

    def forget(self, through: int) -> None:
        """Drop every input up to and with this position."""
        pieces = self._pieces
        while pieces and pieces[0].end <= through + 1:
            self.weight -= pieces.popleft().weight
        while pieces and pieces[0].next <= through:
            self.weight -= pieces[0].drop()

    def forget_silence(self, through: int, kept: int) -> None:
        """Drop the silence that it begins with, whole pieces of it.

        Args:
            through: Nothing after this position is dropped.
            kept: Bytes of silence that stay, the newest.
        """
        silent = list(takewhile(lambda piece: piece.silent and piece.end <= through + 1, self._pieces))
        spare = sum(piece.weight for piece in silent) - kept
        for piece in silent:
            if piece.weight > spare:
                break
            spare -= piece.weight
            self.weight -= piece.weight
            self._pieces.popleft()

    def trim(self, heaviest: int) -> int:
        """Drop the oldest audio until the rest is light enough; gives how many frames."""
        dropped = index = 0
        while self.weight > heaviest:
            piece = self._pieces[index]
            if not piece.is_audio:
                index += 1
                continue
            self.weight -= piece.drop()
            dropped += 1
            if piece.next == piece.end:
                del self._pieces[index]
        return dropped
