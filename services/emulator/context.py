"""What the model knows: an immutable value, so that a snapshot behind a handle is simply a reference to it.

A context changes only at the ends of a turn (or when content is handed over in one piece), and each change makes a new
one. Whatever was heard but not yet taken into a turn is not here: the snapshot rule of session resumption.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import takewhile
from typing import Final

from services.emulator import runs, tokens
from services.emulator.runs import Runs
from services.emulator.tokens import Tokens


class Role(StrEnum):
    """Who said it."""

    USER = "user"
    MODEL = "model"


class Kind(StrEnum):
    """How it was said."""

    AUDIO = "audio"
    TEXT = "text"
    TOOL = "tool"
    IMAGE = "image"
    FILE = "file"


SPOKEN: Final = frozenset({Kind.AUDIO, Kind.TEXT})
"""The kinds that are words."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One piece of content in the context.

    Attributes:
        role: Who said it.
        kind: How it was said.
        text: What was said; for audio, what was heard of it.
        tokens: What it costs, counted once.
        stream: The test voice that spoke, for the user's audio.
        utterances: The utterances of that voice, in order.
        frames: The frames of that voice that this turn holds, in order of arrival.
    """

    role: Role
    kind: Kind
    text: str
    tokens: Tokens
    stream: int | None = None
    utterances: tuple[int, ...] = ()
    frames: Runs = ()


def text_turn(role: Role, text: str) -> Turn:
    """A turn handed over as text."""
    return Turn(role, Kind.TEXT, text, tokens.of_text(text))


TEXTS: Final = 1_000
"""How many texts of the user's are remembered that compression has dropped, the newest."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What compression has dropped of the user's, for the account: the model knows nothing of it any more.

    Attributes:
        frames: Of each test voice, ascending and apart.
        texts: What was handed over as text, the newest `TEXTS` of them.
    """

    frames: tuple[tuple[int, Runs], ...] = ()
    texts: tuple[str, ...] = ()

    def of(self, stream: int) -> Runs:
        """The frames of one voice."""
        return dict(self.frames).get(stream, ())

    def plus(self, turns: Iterable[Turn]) -> "Gone":
        """What has gone when these turns go as well."""
        frames, texts = dict(self.frames), list(self.texts)
        for turn in (turn for turn in turns if turn.role is Role.USER):
            if turn.kind is Kind.TEXT:
                texts.append(turn.text)
            if turn.stream is not None:
                frames[turn.stream] = runs.merge((*frames.get(turn.stream, ()), *turn.frames))
        return Gone(tuple(frames.items()), tuple(texts[-TEXTS:]))


NOTHING: Final = Gone()


@dataclass(frozen=True, slots=True)
class Context:
    """All that the next answer is made from.

    Attributes:
        instruction: The system instruction, empty if there is none.
        turns: What was said, oldest first.
        prefix: How many of the first turns came as initial history; compression keeps them.
        compressed: How many turns compression has dropped so far.
        tools: The declarations of the tools, empty if there are none; they count as well [DOC].
        gone: What these turns held of the user's.
    """

    instruction: str = ""
    turns: tuple[Turn, ...] = ()
    prefix: int = 0
    compressed: int = 0
    tools: str = ""
    gone: Gone = NOTHING

    @property
    def preamble(self) -> Tokens:
        """What the instruction and the tools cost."""
        return tokens.of_text(self.instruction) + tokens.of_text(self.tools)

    @property
    def tokens(self) -> Tokens:
        """What the whole context costs as a prompt."""
        return sum((turn.tokens for turn in self.turns), start=self.preamble)

    @property
    def answered(self) -> bool:
        """Whether the model has said anything yet, be it that compression has dropped it."""
        return self.answers > 0 or self.compressed > 0

    @property
    def answers(self) -> int:
        """How often the model has spoken; a tool call is no speech."""
        return sum(turn.role is Role.MODEL and turn.kind in SPOKEN for turn in self.turns)

    @property
    def voices(self) -> frozenset[int]:
        """The voice streams of the user's turns."""
        streams = (turn.stream for turn in self.turns if turn.role is Role.USER)
        return frozenset(stream for stream in streams if stream is not None)

    def beginning(self, earlier: "Context | None") -> Tokens:
        """What the longest common beginning with an earlier context costs: what a prefix cache still holds [?]."""
        if earlier is None or (earlier.instruction, earlier.tools) != (self.instruction, self.tools):
            return tokens.NONE
        common = takewhile(lambda pair: pair[0] == pair[1], zip(self.turns, earlier.turns, strict=False))
        return sum((turn.tokens for turn, _ in common), start=self.preamble)

    def plus(self, *turns: Turn) -> "Context":
        """The context after these turns."""
        return replace(self, turns=(*self.turns, *turns))

    def seeded(self, *turns: Turn) -> "Context":
        """The context after these turns of initial history, which compression keeps."""
        context = self.plus(*turns)
        return replace(context, prefix=len(context.turns))

    def instructed(self, instruction: str) -> "Context":
        """The same conversation under another system instruction."""
        return replace(self, instruction=instruction)

    def equipped(self, tools: str) -> "Context":
        """The same conversation with other tools."""
        return replace(self, tools=tools)


def compress(context: Context, target: int) -> Context:
    """Drop the oldest turns until the context fits `target` tokens, as Google documents its sliding window.

    The system instruction and the initial history stay, the result goes on at a user turn, and the newest turn is
    never dropped. (Live API reference, ``ContextWindowCompressionConfig``.)
    """
    kept = context.turns[: context.prefix]
    rest = context.turns[context.prefix :]
    fixed = replace(context, turns=kept).tokens.total
    sizes = [turn.tokens.total for turn in rest]
    starts = [at for at, turn in enumerate(rest) if turn.role is Role.USER and turn.kind is not Kind.TOOL] or [0]
    start = next((at for at in starts if fixed + sum(sizes[at:]) <= target), starts[-1])
    if not start:
        return context
    gone, compressed = context.gone.plus(rest[:start]), context.compressed + start
    return replace(context, turns=(*kept, *rest[start:]), compressed=compressed, gone=gone)
