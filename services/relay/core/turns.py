"""The turn in progress: what is said and heard, where its input ends, and what remains of it after a cut.

Where a turn's input ends is read from Gemini's first output: by then its voice activity detection has heard the end of
the client's speech, so what had been sent belongs to this turn and what is sent later to the next one.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from services.relay.core.model import START, Mark, Turn
from services.relay.core.tools import Tools

_ENDED: Final = 0.1
"""Seconds; what fewer of them without a voice follow has not ended for any voice activity detection."""


class Stage(StrEnum):
    """Whose moment it is."""

    QUIET = "quiet"
    LISTENING = "listening"
    ANSWERING = "answering"


@dataclass(slots=True)
class _Progress:
    """What one turn has gathered."""

    typed: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    answered_from: Mark | None = None
    sent_by_then: Mark | None = None
    spoke_on: Mark | None = None
    began: Mark | None = None
    whole: bool = False
    interrupted: bool = False

    @property
    def together(self) -> Mark | None:
        """Where the input of an answer to two utterances ends; None where the answer was to the first alone.

        Gemini that hears the next utterance before its answer has begun puts the answer off without a word, until that
        one has ended too, and then gives one to both. Had it heard the second only afterwards, it would have been
        interrupted. So an answer that nobody interrupted is to both, where the second had been sent to its end by then.
        """
        sent, spoke_on = self.sent_by_then, self.spoke_on
        if self.interrupted or sent is None or spoke_on is None or sent <= spoke_on:
            return None
        return sent

    @property
    def stage(self) -> Stage:
        if self.answered_from is not None:
            return Stage.ANSWERING
        return Stage.LISTENING if self.typed or self.heard else Stage.QUIET


class Talk:
    """The turns of a conversation as they happen at this relay.

    Args:
        last: The newest completed turn.
        boundary: Where its input ended.
        tools: What the model asks the client to do.

    Attributes:
        began: The newest input before that of the newest completed turn; None where nobody noticed it begin, or where
            it began on a connection that is gone.
        unanswered: Gemini has heard something, on whichever connection, that no completed turn holds.
    """

    def __init__(self, last: int, boundary: Mark, tools: Tools | None = None) -> None:
        self.last = last
        self.boundary = boundary
        self.began: Mark | None = None
        self.unanswered = False
        self.tools = tools or Tools()
        self._turn = _Progress()
        self._next = _Progress()
        self._speaking = False
        self._speaks_into = False
        self._unheard = False
        self._doubts = True

    @property
    def number(self) -> int:
        """The turn in progress, or the next one."""
        return self.last + 1

    @property
    def stage(self) -> Stage:
        """Whose moment it is."""
        stage = self._turn.stage
        return Stage.LISTENING if stage is Stage.QUIET and self._speaking else stage

    @property
    def heard_by_gemini(self) -> bool:
        """Whether Gemini has heard something that no completed turn holds: it says so, or answers it."""
        return self.unanswered or self._turn.answered_from is not None

    @property
    def speaks_on(self) -> bool:
        """Whether the client is speaking, rather than waiting for an answer to what it wrote."""
        return self._speaking and not self._turn.typed

    @property
    def typed(self) -> int:
        """Characters that the client wrote in the turn in progress."""
        return sum(map(len, self._turn.typed))

    @property
    def answered(self) -> int:
        """Characters of the answer so far."""
        return sum(map(len, self._turn.said))

    @property
    def answer_owed(self) -> bool:
        """Whether Gemini is expected to say something: it has heard the client, or its answer is not whole yet.

        So it is when the relay alone has heard the client speak in a pause, for a connection that has fallen silent
        hears nothing either. But that may be a noise which Gemini passes over: after a connection that was lost over
        it, it counts no more until Gemini has said something.
        """
        turn = self._turn
        asked = bool(turn.typed or turn.heard or turn.answered_from or self._unheard)
        return asked and not (turn.whole or turn.interrupted or self.tools.pending)

    def began_to_speak(self, after: Mark = START, *, waiting: bool = False, paused: bool = True) -> None:
        """The client's voice was heard by the relay itself, after a pause.

        Where Gemini has heard something of this turn already, or answers it, this is the next utterance. So it is where
        two of them wait for a connection: what is sent at once after a long gap may hold the end of one and the
        beginning of another, and only the first belongs to the answer that comes. That is as true of a connection which
        hears them both again.

        Without a pause before it, after a turn that the client spoke into, it is what the client was saying already.
        """
        self._begins(after)
        if self._turn.together is not None:  # the answer goes on, so the second utterance is in it, and this is a third
            self._turn.answered_from, self._turn.spoke_on = self._turn.together, None
        goes_on, self._speaks_into = self._speaks_into and not paused, False
        another = self.unanswered or self._turn.answered_from is not None or (waiting and self._speaking)
        another = another and not goes_on
        self._speaking = True
        self._unheard = self._doubts
        if another and self._turn.spoke_on is None:
            self._turn.spoke_on = after

    def wrote(self, text: str, after: Mark = START) -> None:
        """The client typed; into an answer, it belongs to the next turn."""
        self._begins(after).typed.append(text)

    def _begins(self, after: Mark) -> _Progress:
        """Input comes, after that mark; gives the turn it belongs to: into an answer, the next one."""
        turn = self._next if self.stage is Stage.ANSWERING else self._turn
        turn.began = after if turn.began is None else turn.began
        return turn

    def heard(self, text: str) -> int:
        """Gemini heard the client say this.

        Returns:
            The turn it belongs to: after an interruption, the next one.
        """
        self._unheard, self._doubts = False, True
        self.unanswered = True
        if self._turn.interrupted and self._turn.answered_from is not None:
            self._next.heard.append(text)
            return self.number + 1
        self._turn.heard.append(text)
        return self.number

    def answer_began(self, sent: Mark, quiet: float = 0.0) -> None:
        """The first output of the answer has come; before that input there were so many seconds without a voice."""
        self._unheard, self._doubts = False, True
        if self._turn.answered_from is None:
            self._turn.answered_from = max(self.boundary, min(sent, self._turn.spoke_on or sent))
            self._turn.sent_by_then = sent if quiet >= _ENDED else None
            self._speaking = self._speaks_into = False

    def said(self, text: str) -> None:
        """The agent says this."""
        self._turn.said.append(text)

    def answer_is_whole(self) -> None:
        """Nothing more of the answer will come."""
        self._turn.whole = True

    def interrupted(self) -> None:
        """The client spoke into the answer: what was not yet sent of it never will be.

        Before the answer's first output there is nothing to stop: the client only speaks on.
        """
        self._turn.interrupted = True
        self._speaking = True

    def complete(self, sent: Mark) -> Turn | None:
        """The turn is over.

        Args:
            sent: The newest input that had been sent; where the input ends when there was no output at all.

        Returns:
            The turn; None when nothing was said by anybody, or the client speaks on.
        """
        done = self._turn
        if done.interrupted and done.answered_from is None:
            done.interrupted = False
            return None
        if done.stage is Stage.QUIET:
            return None
        together = done.together
        self.boundary, self.began = together or done.answered_from or sent, done.began
        self.last += 1
        self.unanswered = bool(self._next.heard)
        self._speaks_into = done.interrupted
        self._turn, self._next = self._next, _Progress()
        self._turn.began = self._turn.began or (done.spoke_on if together is None else None)
        self._speaking = self._speaking and done.answered_from is not None
        self._unheard = False
        return Turn(
            number=self.last,
            user_text=_text(done),
            agent_text="".join(done.said).strip(),
            interrupted=done.interrupted,
            covered_seq=self.boundary.seq,
            tool_calls=self.tools.turn_over(),
        )

    def cut(self) -> tuple[Turn | None, int | None]:
        """The upstream connection is gone in the middle of things.

        An answer that had come whole is kept: the turn is over. Anything less is withdrawn; the input is still kept by
        the driver, so that the next connection hears it and answers anew.

        Returns:
            The turn that is over, if it was whole; the number of the turn that begins again, if the client was told
            anything of it.
        """
        whole = self._turn.answered_from is not None and (self._turn.whole or self._turn.interrupted)
        over = self.complete(self.boundary) if whole else None
        again = self.number if self._turn.heard or self._turn.answered_from else None
        self.tools.cut()
        self._unheard, self._doubts = False, self._doubts and not self._unheard
        self._turn = _Progress(typed=self._turn.typed + self._next.typed, spoke_on=self._turn.spoke_on)
        self._next = _Progress()
        return over, again


def _text(turn: _Progress) -> str:
    heard = "".join(turn.heard).strip()
    return "\n".join(part for part in (*turn.typed, heard) if part)
