"""Context tokens by category, and what was billed.

Gemini tells one number a turn, the size of the whole prompt, perhaps by modality; it is the truth. Where it went the
relay estimates: it knows every piece that it has put into the context, and what such a piece should cost. At each turn
the two are reconciled: what the prompt has grown by is shared out among the pieces that were new in it, in proportion
to their estimates, modality by modality. So each category stays near its estimate, and all of them together are the
truth. When a prompt shrinks without our doing (compression), user, model, tools and stale feedback shrink in
proportion.

Beside the reconciled categories the ledger keeps the plain estimate, never corrected since the context was last
rebuilt: the difference between the two is the drift, the measure of how far the attribution can be trusted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final, NamedTuple, TypeVar

from services.relay.core.model import Usage
from services.relay.core.pieces import ANY, CHARACTERS_A_TOKEN, TEXT, Category, Piece

_K = TypeVar("_K")

_SEEN: Final = 0.5
"""Of removed tokens, the share that must be missing from the next prompt: nearer to all of them than to none."""
_MOST_OFF: Final = 2
"""By what factor an estimate may be too small."""
_NOTICEABLE: Final = 20
"""Tokens; less than this is lost in what Gemini counts differently, in one turn."""
_SHRINKS: Final = (Category.USER, Category.MODEL, Category.TOOLS, Category.FEEDBACK_STALE)
"""What compression takes from; the instruction stays, and live feedback is the newest there is."""
_NAMES: Final = tuple((category, category.value) for category in Category)
"""Each category with its field in a `Breakdown`."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Tokens by category; the names are those of `Category`."""

    instruction: int = 0
    user: int = 0
    model: int = 0
    feedback_live: int = 0
    feedback_stale: int = 0
    tools: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        talk = self.instruction + self.user + self.model + self.tools
        return talk + self.feedback_live + self.feedback_stale

    @property
    def by_category(self) -> Mapping[Category, int]:
        """Each with its name."""
        return {category: getattr(self, name) for category, name in _NAMES}

    def with_categories(self, named: Mapping[str, int]) -> "Breakdown":
        """With these numbers, by the names of categories; other names are passed over."""
        return replace(self, **{name.value: named[name.value] for name in Category if name.value in named})

    def plus(self, pieces: Iterable[Piece]) -> "Breakdown":
        """With these besides."""
        sums = dict(self.by_category)
        for category, _, tokens in pieces:
            sums[category] += tokens
        return Breakdown(**{category.value: tokens for category, tokens in sums.items()})

    def settled(self, *, removed: bool) -> "Breakdown":
        """The live feedback has served: it is stale, or gone."""
        stale = self.feedback_stale + (0 if removed else self.feedback_live)
        return replace(self, feedback_live=0, feedback_stale=stale)

    def shrunk(self, tokens: int) -> "Breakdown":
        """Without so many tokens, or as many of them as there are: of the talk in proportion, then of anything."""
        talk = {category: self.by_category[category] for category in _SHRINKS}
        rest = {category: count for category, count in self.by_category.items() if category not in talk}
        from_talk = min(tokens, sum(talk.values()))
        from_rest = min(tokens - from_talk, sum(rest.values()))
        lost = _shared(from_talk, talk) | _shared(from_rest, rest)
        return self.plus(Piece(category, ANY, -count) for category, count in lost.items())


@dataclass(frozen=True, slots=True)
class Ledger:
    """Tokens of one conversation; immutable.

    Args:
        held: The context of the newest turn, prompt and answer, reconciled.
        estimate: The same as the relay reckons it, without a look at what Gemini says.
        usage: The newest turn's own; None where a new session has not answered yet.
        cached: Billed: tokens of prompts that came from Gemini's cache.
        uncached: Billed: tokens of prompts that did not.
        responses: Billed: tokens of answers, and of what was thought before them.
        expected: What the newest prompt should have been, by the estimate.
        given: Tokens of all advice that was ever given: what `append` would hold now.
        saved: By how much less was billed than with `append`.
        rebases: Sessions that were rebuilt to make the context smaller.
        unverified: Removals of advice that the next usage did not show.
        compressions: How often the context was seen to shrink without our doing.
    """

    held: Breakdown = field(default_factory=Breakdown)
    estimate: Breakdown = field(default_factory=Breakdown)
    usage: Usage | None = None
    cached: int = 0
    uncached: int = 0
    responses: int = 0
    expected: int = 0
    given: int = 0
    saved: int = 0
    rebases: int = 0
    unverified: int = 0
    compressions: int = 0

    @property
    def context(self) -> int:
        """The newest turn's prompt and answer."""
        return self.held.total

    @property
    def billed(self) -> int:
        """Prompts and answers of all turns."""
        return self.cached + self.uncached + self.responses

    @property
    def smaller_by(self) -> int:
        """By how much the context is smaller than `append` would have it."""
        return max(0, self.given - self.estimate.feedback_live - self.estimate.feedback_stale)

    @property
    def unadvised(self) -> Usage | None:
        """The newest usage without the advice in its prompt: what is sure to be there after a resume."""
        return _without(self.usage, self.held.feedback_live + self.held.feedback_stale)

    @property
    def characters_a_token(self) -> float:
        """How many characters of this conversation's text a token really holds, as far as the instruction shows it."""
        known = self.held.instruction and self.estimate.instruction
        return CHARACTERS_A_TOKEN * self.estimate.instruction / self.held.instruction if known else CHARACTERS_A_TOKEN

    def settled(self, *, removed: bool) -> "Ledger":
        """The live feedback has served its turn.

        Args:
            removed: It was taken out of the context; otherwise it is stale from now on.
        """
        held, estimate = self.held.settled(removed=removed), self.estimate.settled(removed=removed)
        usage = _without(self.usage, self.held.feedback_live) if removed else self.usage
        return replace(self, held=held, estimate=estimate, usage=usage)

    def without_stale(self, tokens: int) -> "Ledger":
        """So many tokens of stale feedback were taken out of the context; no more than there are."""
        return self._with_stale(-min(tokens, self.held.feedback_stale, self.estimate.feedback_stale))

    def kept(self, tokens: int) -> "Ledger":
        """So many tokens of feedback that had been taken out are still there, as the next prompt will show."""
        return replace(self._with_stale(tokens), unverified=self.unverified + 1)

    def _with_stale(self, tokens: int) -> "Ledger":
        held, estimate = (
            part.plus([Piece(Category.FEEDBACK_STALE, TEXT, tokens)]) for part in (self.held, self.estimate)
        )
        return replace(self, held=held, estimate=estimate, usage=_without(self.usage, -tokens))

    def count(self, usage: Usage, pieces: Sequence[Piece], answer: Sequence[Piece] = (), window: int = 0) -> "Ledger":
        """The ledger after a turn.

        Args:
            usage: What Gemini says.
            pieces: What was new in the prompt.
            answer: What the answer should cost.
            window: The context window; `append` could never have held more. 0 where it is not known.
        """
        prompt = self.estimate.plus(pieces)
        held, shrunk = self._reconciled(usage, pieces)
        cheaper = max(0, self.given - prompt.feedback_live - prompt.feedback_stale)
        cached, uncached, responses = usage.billed
        return replace(
            self,
            held=_exactly(held, usage.prompt).plus([Piece(Category.MODEL, ANY, usage.response)]),
            estimate=prompt.plus(answer),
            usage=usage,
            cached=self.cached + cached,
            uncached=self.uncached + uncached,
            responses=self.responses + responses,
            expected=prompt.total,
            saved=self.saved + (min(cheaper, max(0, window - usage.prompt)) if window else cheaper),
            compressions=self.compressions + shrunk,
        )

    def _reconciled(self, usage: Usage, pieces: Sequence[Piece]) -> tuple[Breakdown, bool]:
        held, missing = self.held, 0
        for modality, growth in _growth(self.usage, usage).items():
            new = [piece for piece in pieces if modality in (piece.modality, ANY)]
            if growth < 0:
                missing -= growth
            else:
                held = held.plus(_scaled(growth, new))
        return held.shrunk(missing), missing > max(_NOTICEABLE, self.held.total // 10)


class Verdict(Enum):
    """What a usage shows of advice that was taken out of the context."""

    NOTHING = auto()
    """None had been taken out."""
    SEEN = auto()
    UNSEEN = auto()
    """Its tokens are still there."""
    TOO_SMALL = auto()
    """So few tokens are lost in what Gemini counts differently."""


class Expectation(NamedTuple):
    """What the next prompt should be.

    Args:
        before: The usage before it, less what was removed since; None for a new session.
        pieces: What has come into the context since.
    """

    before: Usage | None
    pieces: tuple[Piece, ...]

    def verdict(self, usage: Usage, tokens: int) -> Verdict:
        """Whether so many tokens that were removed are missing from a prompt."""
        if tokens < _NOTICEABLE:
            return Verdict.TOO_SMALL
        growth = _growth(self.before, usage)
        text = TEXT if TEXT in growth else ANY
        expected = sum(piece.tokens for piece in self.pieces if text in (piece.modality, ANY))
        return Verdict.SEEN if growth.get(text, 0) - expected < tokens * _SEEN else Verdict.UNSEEN


def _growth(before: Usage | None, after: Usage) -> dict[str, int]:
    """What a prompt has grown by since the last one and its answer, by modality where that is told."""
    if before is None:
        return dict(after.by_modality) or {ANY: after.prompt}
    if not (before.by_modality and after.by_modality and before.answer_by_modality):
        return {ANY: after.prompt - before.prompt - before.response}
    told = {*before.by_modality, *before.answer_by_modality, *after.by_modality}
    return {
        name: after.by_modality.get(name, 0) - before.by_modality.get(name, 0) - before.answer_by_modality.get(name, 0)
        for name in sorted(told)
    }


def _scaled(tokens: int, pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces, so that together they cost so many tokens.

    An estimate is not wrong by more than a factor of two. What is beyond that nobody knew of: it belongs to the
    instruction where it is new too, and otherwise to the user.
    """
    weights = {at: piece.tokens for at, piece in enumerate(pieces) if piece.tokens > 0}
    unknown = max(0, tokens - _MOST_OFF * sum(weights.values()))
    begins = any(pieces[at].category is Category.INSTRUCTION for at in weights)
    known = [pieces[at]._replace(tokens=share) for at, share in _shared(tokens - unknown, weights).items()]
    return [*known, Piece(Category.INSTRUCTION if begins else Category.USER, ANY, unknown)]


def _shared(tokens: int, weights: Mapping[_K, int]) -> dict[_K, int]:
    """Share tokens out in proportion to whole weights, to the last token."""
    shares: dict[_K, int] = {}
    weight = sum(weights.values())
    for key, part in weights.items():
        shares[key] = tokens * part // weight if weight else 0
        tokens, weight = tokens - shares[key], weight - part
    return shares


def _exactly(held: Breakdown, total: int) -> Breakdown:
    """With the sum that is the truth, whatever was not known when the parts were added up."""
    difference = total - held.total
    return held.shrunk(-difference) if difference < 0 else held.plus([Piece(Category.USER, ANY, difference)])


def _without(usage: Usage | None, tokens: int) -> Usage | None:
    """The usage as it would be without so many tokens of text in its prompt."""
    if usage is None:
        return None
    if not tokens:
        return usage
    modalities = {**usage.by_modality, TEXT: usage.by_modality.get(TEXT, 0) - tokens} if usage.by_modality else {}
    return replace(usage, prompt=usage.prompt - tokens, by_modality=modalities)
