"""Keeps the ledger of one conversation: notes each piece that comes into the context, until usage tells the truth.

A piece waits here from the moment it is sent until a turn is counted. When a connection is replaced, the context is
what it was at the turn that the handle covers, or it is empty: so the ledger of each turn that is not covered yet is
kept.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from services.relay.core.ledger import Expectation, Ledger, Verdict
from services.relay.core.model import Told, ToolCall, Usage
from services.relay.core.pieces import CHARACTERS_A_TOKEN, TEXT, Category, Piece, of_audio, of_text, text_tokens

MOST_KEPT: Final = 32
"""Turns whose ledgers are kept; a handle that is older than that is judged by the oldest of them."""


class Shown(NamedTuple):
    """What a usage has shown of advice that had been taken out.

    Args:
        verdict: Whether it is gone; `Verdict.NOTHING` where no tokens were expected to be missing.
        turn: Whose usage it was; 0 where none has come.
    """

    verdict: Verdict = Verdict.NOTHING
    turn: int = 0


class _Began(NamedTuple):
    """Where the count of the turn in progress began.

    Args:
        ledger: Before the turn was counted.
        new: What had come into the context by then, but for what is told with each usage.
    """

    ledger: Ledger
    new: list[Piece]


class Accounts:
    """Counts the tokens of one conversation.

    Args:
        ledger: The stored one.
        instruction_characters: The length of the system instruction.
        tools_characters: The length of the tools' declarations.
        window: The context window in tokens; 0 where it is not known.
        turn: The newest turn in the ledger.

    Attributes:
        ledger: As it stands after the newest counted turn.
    """

    def __init__(
        self,
        ledger: Ledger,
        instruction_characters: int = 0,
        tools_characters: int = 0,
        window: int = 0,
        turn: int = 0,
    ) -> None:
        self.ledger = ledger
        self._setup = [
            Piece(Category.INSTRUCTION, TEXT, text_tokens(instruction_characters)),
            Piece(Category.TOOLS, TEXT, text_tokens(tools_characters)),
        ]
        self._window = window
        self._new: list[Piece] = [] if ledger.usage else [*self._setup]
        self._over: list[Piece] = []  # of completed turns whose usage has not come
        self._awaited = 0
        self._at: dict[int, Ledger] = {}
        self._turn = self._counted = turn
        self._instructed: set[int] = set()
        self._removed = False
        self._uncounted = 0
        self._stale_out = self._withdrawn = 0
        self._shown = Shown()
        self._scale: float | None = None
        self._left_behind = 0
        self._began: _Began | None = None

    @property
    def context(self) -> int:
        """Tokens of the context; until something was answered from it, what is known to have been put into it."""
        return self.ledger.context or sum(piece.tokens for piece in (*self._over, *self._new))

    def opened(self, covers_turn: int | None, told: Told, instructed: Iterable[tuple[int, int]] = ()) -> None:
        """A connection is ready.

        Args:
            covers_turn: The newest turn in the context that it resumed; None where it began with an empty one.
            told: What it was sent as content.
            instructed: The advice that was in the instruction of the one before: the turns that it served, and tokens.
        """
        content = [
            Piece(Category.USER, TEXT, told.user_tokens),
            Piece(Category.MODEL, TEXT, told.agent_tokens),
        ]
        self._stale_out = self._withdrawn = self._uncounted = self._awaited = 0
        self._began = None
        self._over = []
        if covers_turn is not None:
            self._resumed(covers_turn, instructed)
            self._new = content
            return
        if self.ledger.usage is not None:  # a session that never answered has shown nothing to compare with
            self._left_behind = self.ledger.held.feedback_live + self.ledger.held.feedback_stale
            self._scale = CHARACTERS_A_TOKEN / self.ledger.characters_a_token
        self._removed = False
        self._new = [*self._setup, *content]
        self.ledger = self._context_of(Ledger())

    def _resumed(self, turn: int, instructed: Iterable[tuple[int, int]]) -> None:
        """The context is what it was after a turn, but for its instruction, which is the conversation's own."""
        if turn in self._at:
            self.ledger, self._turn = self._context_of(self._at[turn]), turn
            self._removed = turn in self._instructed
        for served, tokens in instructed:
            if served <= self._turn:
                self.taken_out(served, tokens)

    def _context_of(self, earlier: Ledger) -> Ledger:
        """The context is what it was then; what was billed and counted since stays."""
        return replace(self.ledger, held=earlier.held, estimate=earlier.estimate, usage=earlier.usage)

    def covered(self, turn: int) -> None:
        """A handle covers this turn: no connection will go back behind it."""
        self._at = {number: ledger for number, ledger in self._at.items() if number >= turn}
        self._instructed = {number for number in self._instructed if number >= turn}

    def given(self, tokens: int) -> None:
        """Advice was given; `append` would hold it from now on."""
        if tokens:
            self.ledger = replace(self.ledger, given=self.ledger.given + tokens)

    def advised(self, tokens: int) -> None:
        """Advice has come into the context."""
        self._new.append(Piece(Category.FEEDBACK_LIVE, TEXT, tokens))

    def overtaken(self) -> None:
        """The advice of the turn in progress has made way for newer one, and is still there."""
        self._new = _stale(self._new)

    def withdrawn(self, tokens: int) -> None:
        """Advice that no turn was answered with is taken out again."""
        self._new = _without_live(self._new)
        self._withdrawn += tokens

    def served(self, turn: int, *, in_instruction: bool) -> None:
        """The live advice has served this turn; no other connection will have what is in the instruction."""
        if in_instruction:
            self._instructed.add(turn)

    def taken_out(self, turn: int, tokens: int) -> None:
        """Advice that has served this turn was taken out of the instruction."""
        if turn > self._turn:  # its usage is still to come
            self._uncounted = turn
        elif turn == self._turn:
            self._removed = True
        else:
            self._stale_out += tokens

    def rebased(self) -> None:
        """A session was rebuilt to make the context smaller."""
        self.ledger = replace(self.ledger, rebases=self.ledger.rebases + 1)

    def turn_over(self, turn: int, pieces: Iterable[Piece]) -> None:
        """A turn is completed; its usage may still come.

        Args:
            turn: Its number.
            pieces: What the client wrote in it, and its tools.
        """
        if self._counted < turn:
            self._over = [*self._settled_over(turn), *self._new, *pieces]
            self._new, self._awaited = [], turn
        self._began = None

    def awaits(self, turn: int) -> bool:
        """Whether the usage of a turn that is over may still come."""
        return turn == self._awaited > 0

    def _settled_over(self, turn: int) -> list[Piece]:
        """What completed turns before one have brought whose usage never came: their advice is stale, or gone."""
        if 0 < self._uncounted < turn:
            self._uncounted, self._over = 0, _without_live(self._over)
        return _stale(self._over)

    def counted(
        self, turn: int, usage: Usage, pieces: Iterable[Piece], *, heard: float, answer: Sequence[Piece]
    ) -> None:
        """A turn's usage has come; or one more, for it may ride along with any message, as one that asks for a tool.

        Each is billed, for each is a prompt. But the context is what the newest says, and what the turn has brought is
        in that once: so it is counted anew from where the turn began.

        Args:
            turn: Its number.
            usage: What Gemini says.
            pieces: What the client wrote in it, and its tools; none where the turn is over already.
            heard: Seconds of the client's voice in it.
            answer: What the answer should cost.
        """
        again = self._began if turn == self._counted else None
        new = self._brought(turn, again)
        whole = [*new, *pieces, of_audio(Category.USER, heard)]
        if again:
            self.ledger = replace(self._context_of(again.ledger), compressions=again.ledger.compressions)
        else:
            self._shown = Shown(self._settle(usage, whole), turn)
        self._began = _Began(self.ledger, new)
        self.ledger = self.ledger.count(usage, whole, answer, self._window)
        self._at[turn] = self.ledger
        self._at.pop(min(self._at) if len(self._at) > MOST_KEPT else 0, None)
        self._over, self._awaited, self._turn, self._counted = [], 0, turn, turn
        if not again:
            self._removed = self._uncounted == turn
        self._uncounted = 0

    def _brought(self, turn: int, again: _Began | None) -> list[Piece]:
        """What a turn has brought, and those before it that were not counted; it is taken out of what waits."""
        if turn == self._awaited:  # what came since then belongs to the next one
            return self._over
        before = again.new if again else self._settled_over(turn)
        new, self._new = self._new, []
        return [*before, *new]

    def take_shown(self) -> Shown:
        """What the newest usage has shown; once."""
        shown, self._shown = self._shown, Shown()
        return shown

    def carried_into(self, ledger: Ledger) -> Ledger:
        """A ledger of the newest counted turn, with what needs no usage to be known."""
        given, rebases = self.ledger.given, self.ledger.rebases
        if ledger.given == given and ledger.rebases == rebases:
            return ledger
        return replace(ledger, given=given, rebases=rebases)

    def _settle(self, usage: Usage, new: Sequence[Piece]) -> Verdict:
        """The advice of the turn before is stale or gone now; see whether what was taken out is gone."""
        rebuilt, removed, out = self._scale is not None, self._removed, self._stale_out
        tokens = self._left_behind if rebuilt else removed * self.ledger.held.feedback_live + out + self._withdrawn
        judging = rebuilt or removed or out or self._withdrawn
        self.ledger = self.ledger.settled(removed=removed).without_stale(out)
        expected = Expectation(self.ledger.usage, tuple(_scaled(new, self._scale or 1.0)))
        self._scale, self._left_behind, self._stale_out, self._withdrawn = None, 0, 0, 0
        verdict = expected.verdict(usage, tokens) if judging else Verdict.NOTHING
        if verdict is Verdict.UNSEEN:
            self.ledger = self.ledger.kept(tokens)
        return verdict


def written(typed: int, calls: Iterable[ToolCall]) -> list[Piece]:
    """What a turn brings in text.

    Args:
        typed: Characters that the client wrote.
        calls: The tools that were called, with their results.
    """
    return [Piece(Category.USER, TEXT, text_tokens(typed)), *(piece for call in calls for piece in _tool(call))]


def answered(spoken: float, characters: int) -> tuple[Piece, ...]:
    """What an answer should cost: by its sound, or where it had none, by its words."""
    return (of_audio(Category.MODEL, spoken) if spoken else Piece(Category.MODEL, TEXT, text_tokens(characters)),)


def _stale(pieces: Iterable[Piece]) -> list[Piece]:
    """The advice among them is stale."""
    live, stale = Category.FEEDBACK_LIVE, Category.FEEDBACK_STALE
    return [piece._replace(category=stale) if piece.category is live else piece for piece in pieces]


def _without_live(pieces: Iterable[Piece]) -> list[Piece]:
    return [piece for piece in pieces if piece.category is not Category.FEEDBACK_LIVE]


def _scaled(pieces: Iterable[Piece], scale: float) -> Iterator[Piece]:
    """Text as this conversation's has turned out to cost."""
    return (piece._replace(tokens=round(piece.tokens * scale)) if piece.modality == TEXT else piece for piece in pieces)


def _tool(call: ToolCall) -> Iterator[Piece]:
    yield of_text(Category.TOOLS, f"{call.name}({_json(call.args)})")
    if call.result is not None:
        yield of_text(Category.TOOLS, f"{call.name}: {_json(call.result)}")


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
