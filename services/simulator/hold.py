"""What another process must know to go on with a run: little, stored before each line is spoken.

The events say what has happened; this says how to come back to the conversation, and where in the numbering of inputs
the line in progress began, so that not a frame of it is said twice. The share token in it is a secret.
"""

import random
import uuid

import msgspec

from services.common import voice
from services.simulator.record import Record


class Hold(msgspec.Struct, frozen=True):
    """A run's hold on its conversation.

    Attributes:
        share_token: Owns the conversation. Secret.
        stream: Whose voice the prospect speaks with.
        epoch: Of the last message of the relay that was seen.
        number: Of the same.
        handle: The newest resume handle, if there is one.
        turn: The turn whose line is spoken; 0 before the first.
        first_input: The client's number of the first input of that line.
        handed_over: The process that had the run left it on purpose; one that died leaves this unset.
    """

    share_token: str
    stream: int
    epoch: int = 0
    number: int = 0
    handle: str | None = None
    turn: int = 0
    first_input: int = 1
    handed_over: bool = False

    def __repr__(self) -> str:
        return f"Hold(turn={self.turn}, first_input={self.first_input})"

    def spoken(self, turn: int, next_input: int, whole: int) -> int:
        """How many inputs of a turn's line the relay has, given the number of the next input it wants.

        Args:
            turn: Which turn.
            next_input: What the relay asks for.
            whole: How many inputs the whole line is.
        """
        return min(whole, max(0, next_input - self.first_input)) if turn == self.turn else 0


def new() -> Hold:
    """The hold of a run that begins: a voice and an owner unlike any other's."""
    return Hold(uuid.uuid4().hex, random.SystemRandom().getrandbits(32))


def encode(hold: Hold) -> bytes:
    """As it is stored."""
    return msgspec.json.encode(hold)


def read(data: bytes) -> Hold | None:
    """As it was stored; None where nothing was, or nothing that can be read."""
    try:
        return msgspec.json.decode(data, type=Hold) if data else None
    except msgspec.DecodeError:
        return None


def recount(record: Record) -> None:
    """Give every turn but an unfinished last one the frames it was spoken in: they follow from the lines."""
    first = 0
    for turn in record.turns:
        if turn is record.turns[-1] and not turn.completed:
            break
        turn.frames = range(first, first + voice.frame_count(turn.prospect))
        first = turn.frames.stop
    record.frames_sent = first
