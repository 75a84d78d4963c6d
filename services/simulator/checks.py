"""What survived, judged: pure functions over a run's turns and the emulator's account of them.

Theory
======
Every line of a run is unique and every spoken frame is numbered, so each turn can be looked for in the agent's context.
A turn is there as audio (its frames), or as text (where the relay rebuilt the context from the transcript), and a turn
that is there as text carries its frames with it. For each frame: ``copies = audio runs that hold it + texts that carry
its turn``. None is lost, more than one is doubled; a turn is lost when nothing of it is there, and doubled when all of
it is there more than once. Only a completed turn can be lost: one in progress promised nothing yet.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.simulator.account import Account
from services.simulator.record import Turn

GREETING: Final = re.compile(r"\bHello, this is\b", re.IGNORECASE)
STATEMENT: Final = re.compile(r"\bMy ([^.?!]+?) is ([^.?!]+)\.")
QUESTION: Final = re.compile(r"\bWhat is my ([^.?!]+)\?")


@dataclass(frozen=True, slots=True)
class Facts:
    """How many facts were told, how many questions were asked for them, how many answers held what was told.

    Attributes:
        forgotten: The turns that told what the newest question for it did not bring back.
    """

    planted: int
    asked: int
    recalled: int
    forgotten: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """What the agent's context has of the completed turns.

    Attributes:
        lost: Numbers of the turns that are not there.
        doubled: Numbers of the turns that are there more than once.
        frames_lost: Spoken frames that are not there.
        frames_doubled: Spoken frames that are there more than once, each counted once.
    """

    lost: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    frames_lost: int = 0
    frames_doubled: int = 0


def facts(turns: Iterable[Turn]) -> Facts:
    """Judge memory by the agent's own answers; the newest statement of a fact is the true one."""
    told: dict[str, tuple[str, int]] = {}
    verdicts: dict[str, bool] = {}
    asked = recalled = 0
    for turn in (turn for turn in turns if turn.completed):
        for phrase, value in STATEMENT.findall(turn.prospect):
            told[phrase] = value, turn.number
        for phrase in QUESTION.findall(turn.prospect):
            if phrase in told:
                verdicts[phrase] = holds(turn.agent, told[phrase][0])
                asked, recalled = asked + 1, recalled + verdicts[phrase]
    forgotten = tuple(told[phrase][1] for phrase, known in verdicts.items() if not known)
    return Facts(len(told), asked, recalled, forgotten)


def recalled(turns: Sequence[Turn], answer: str) -> bool | None:
    """Whether `answer` holds the fact that the last of `turns` asks for; None if it asks for none."""
    asked = QUESTION.findall(turns[-1].prospect)
    if not asked:
        return None
    told = dict(pair for turn in turns for pair in STATEMENT.findall(turn.prospect))
    expected = [told[phrase] for phrase in asked if phrase in told]
    return all(holds(answer, value) for value in expected) if expected else None


def holds(answer: str, value: str) -> bool:
    """Whether an answer says a value, whatever the case and the spaces."""
    return _plain(value) in _plain(answer)


def regreetings(turns: Iterable[Turn]) -> int:
    """Greetings after the first: an agent that introduces itself again has lost its context."""
    greetings = sum(len(GREETING.findall(turn.agent)) for turn in turns if turn.completed)
    return max(0, greetings - 1)


def redelivered(turns: Iterable[Turn]) -> tuple[int, ...]:
    """Numbers of the turns whose answer was delivered complete more than once."""
    return tuple(turn.number for turn in turns if turn.deliveries > 1)


def held_by_emulator(turns: Sequence[Turn], account: Account) -> Held:
    """Look for every turn in the emulator's context."""
    audio = _copies_of_frames(account)
    texts = _copies_as_text(turns, account)
    lost, doubled = [], []
    frames_lost = frames_doubled = 0
    for turn in turns:
        carried = texts[turn.number]
        copies = [audio[frame] + carried for frame in turn.frames] or [carried]
        if turn.completed and not any(copies):
            lost.append(turn.number)
        if min(copies) > 1:
            doubled.append(turn.number)
        if turn.frames:
            frames_lost += copies.count(0)
            frames_doubled += sum(count > 1 for count in copies)
    return Held(tuple(lost), tuple(doubled), frames_lost, frames_doubled)


def held_by_relay(turns: Sequence[Turn], covered: int) -> Held:
    """Judge without an emulator, from the client's side alone.

    A turn is lost when the newest question for what it told was not answered with it. Frames are lost when the relay
    never said that they are stored (`covered`: the newest number it said). What is held twice cannot be seen from here.
    """
    unstored = sum(len(turn.frames) for turn in turns if turn.last_input > covered)
    return Held(lost=facts(turns).forgotten, frames_lost=unstored)


def _copies_of_frames(account: Account) -> Counter[int]:
    """How often the context holds each frame as audio."""
    runs = (run for piece in account.context if piece.role == "user" for run in piece.frames)
    return Counter(frame for first, last in runs for frame in range(first, last + 1))


def _copies_as_text(turns: Sequence[Turn], account: Account) -> Counter[int]:
    """How often the context holds each turn as text, by the turn's number.

    A text may carry several turns, and a line may be the end of a longer one (``What is my company?``), so the longest
    is looked for first and taken out of the text.
    """
    by_line = {_plain(turn.prospect): turn.number for turn in turns}
    found: Counter[int] = Counter()
    for piece in account.context:
        if piece.role != "user" or piece.kind != "text":
            continue
        text = _plain(piece.text)
        if text in by_line:
            found[by_line[text]] += 1
            continue
        for line in sorted(by_line, key=len, reverse=True):
            if times := text.count(line):
                found[by_line[line]] += times
                text = text.replace(line, "\n")
    return found


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
