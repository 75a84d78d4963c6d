"""What survived, judged: pure functions over a run's turns and the emulator's account of them.

Theory
======
Every line of a run is unique and every spoken frame is numbered, so each turn can be looked for in the agent's context.
A turn is there as audio (its frames), or as text (where the relay rebuilt the context from the transcript), and a turn
that is there as text carries its frames with it. For each frame: ``copies = audio runs that hold it + texts that carry
its turn``. None is lost, more than one is doubled; a turn is lost when nothing of it is there, and doubled when all of
it is there more than once. Only a completed turn can be lost: one in progress promised nothing yet.

A model whose window is full drops the oldest turns, and the emulator's account says which frames and texts they held.
Exactly these are no loss, since no connection took them; whatever else is missing is lost, before them or after.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.simulator.account import Account, Piece
from services.simulator.record import Turn, plain, said_in

GREETING: Final = re.compile(r"\bHello, this is\b", re.IGNORECASE)


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
        lost_by_turn: Turns with frames that are not there, and how many.
        doubled_by_turn: Turns with frames that are there more than once, and how many.
        dropped: Numbers of the turns of which nothing is left because the model's sliding window has dropped them.
    """

    lost: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    frames_lost: int = 0
    frames_doubled: int = 0
    lost_by_turn: tuple[tuple[int, int], ...] = ()
    doubled_by_turn: tuple[tuple[int, int], ...] = ()
    dropped: tuple[int, ...] = ()


def facts(turns: Iterable[Turn]) -> Facts:
    """Judge memory by the agent's own answers; the newest statement of a fact is the true one.

    An answer that the prospect spoke into is no evidence, whatever it held.
    """
    told: dict[str, tuple[str, int]] = {}
    verdicts: dict[str, bool] = {}
    asked = recalled = 0
    for turn in (turn for turn in turns if turn.completed):
        told |= {phrase: (value, turn.number) for phrase, value in turn.told.items()}
        for phrase in (phrase for phrase in turn.asked if phrase in told and not turn.interrupted):
            verdicts[phrase] = said_in(turn.agent, told[phrase][0])
            asked, recalled = asked + 1, recalled + verdicts[phrase]
    forgotten = tuple(told[phrase][1] for phrase, known in verdicts.items() if not known)
    return Facts(len(told), asked, recalled, forgotten)


def recalled(turn: Turn, answer: str) -> bool | None:
    """Whether `answer` holds the facts that the turn asks for; None if it asks for none."""
    return all(said_in(answer, value) for value in turn.asked.values()) if turn.asked else None


def regreetings(turns: Iterable[Turn]) -> int:
    """Greetings after the first: an agent that introduces itself again has lost its context."""
    greetings = sum(len(GREETING.findall(turn.agent)) for turn in turns if turn.completed)
    return max(0, greetings - 1)


def redelivered(turns: Iterable[Turn]) -> tuple[int, ...]:
    """Numbers of the turns whose answer was delivered complete more than once."""
    return tuple(turn.number for turn in turns if turn.deliveries > 1)


def held_by_emulator(turns: Sequence[Turn], account: Account) -> Held:
    """Look for every turn in the emulator's context."""
    found = _copies(turns, account.context)
    gone = _copies(turns, _compressed(account))
    lost, doubled, dropped = [], [], []
    frames_lost: dict[int, int] = {}
    frames_doubled: dict[int, int] = {}
    for turn in turns:
        copies, excused = found[turn.number], gone[turn.number]
        if not any(copies) and any(excused):
            dropped.append(turn.number)
        elif turn.completed and not any(copies):
            lost.append(turn.number)
        if min(copies) > 1:
            doubled.append(turn.number)
        if turn.frames:
            frames_lost[turn.number] = sum(not (there or away) for there, away in zip(copies, excused, strict=True))
            frames_doubled[turn.number] = sum(count > 1 for count in copies)
    return Held(
        tuple(lost),
        tuple(doubled),
        sum(frames_lost.values()),
        sum(frames_doubled.values()),
        _worst_first(frames_lost),
        _worst_first(frames_doubled),
        tuple(dropped),
    )


def _copies(turns: Sequence[Turn], pieces: Sequence[Piece]) -> dict[int, list[int]]:
    """How often they hold each frame of each turn, as audio or as text; of a written turn, how often it."""
    audio, texts = _copies_of_frames(pieces), _copies_as_text(turns, pieces)
    return {
        turn.number: [audio[frame] + texts[turn.number] for frame in turn.frames] or [texts[turn.number]]
        for turn in turns
    }


def _compressed(account: Account) -> tuple[Piece, ...]:
    """What the model's sliding window has dropped, in the shape of a context."""
    texts = (Piece("user", "text", text) for text in account.compressed_texts)
    return (Piece("user", "audio", frames=account.compressed_frames), *texts)


def _worst_first(by_turn: dict[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(((number, count) for number, count in by_turn.items() if count), key=lambda pair: -pair[1]))


def held_by_relay(turns: Sequence[Turn], covered: int) -> Held:
    """Judge without an emulator, from the client's side alone.

    A turn is lost when the newest question for what it told was not answered with it. Frames are lost when the relay
    never said that they are stored (`covered`: the newest number it said). What is held twice cannot be seen from here.
    """
    unstored = {turn.number: len(turn.frames) for turn in turns if turn.last_input > covered}
    return Held(lost=facts(turns).forgotten, frames_lost=sum(unstored.values()), lost_by_turn=_worst_first(unstored))


def _copies_of_frames(pieces: Sequence[Piece]) -> Counter[int]:
    """How often they hold each frame as audio."""
    runs = (run for piece in pieces if piece.role == "user" for run in piece.frames)
    return Counter(frame for first, last in runs for frame in range(first, last + 1))


def _copies_as_text(turns: Sequence[Turn], pieces: Sequence[Piece]) -> Counter[int]:
    """How often they hold each turn as text, by the turn's number.

    A text may carry several turns, and a line may be the end of a longer one (``What is my company?``), so the longest
    is looked for first and taken out of the text.
    """
    by_line = {plain(turn.prospect): turn.number for turn in turns}
    found: Counter[int] = Counter()
    for piece in pieces:
        if piece.role != "user" or piece.kind != "text":
            continue
        text = plain(piece.text)
        if text in by_line:
            found[by_line[text]] += 1
            continue
        for line in sorted(by_line, key=len, reverse=True):
            if times := text.count(line):
                found[by_line[line]] += times
                text = text.replace(line, "\n")
    return found
