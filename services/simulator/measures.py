"""What is measured of a run that has ended: one function a check, each with its unit and what shows it.

A function that finds nothing to measure (no fact was asked for, no advice was given) returns None: its check does not
apply.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.common import voice
from services.simulator import checks
from services.simulator.checks import Held
from services.simulator.promises import Promise
from services.simulator.record import Record, Turn, plain, said_in

_SAME_WORDS: Final = 20
"""Characters from which on an answer that is given twice is no coincidence."""
_TIMES: Final = {0: "never", 1: "once", 2: "twice"}


@dataclass(frozen=True, slots=True)
class Case:
    """A run that has ended.

    Attributes:
        spec: What was asked for.
        record: What happened.
        held: What the agent's context has of it.
        phases: The phases of the persona.
        window: The window of the agent's model in tokens; 0 where it is not known.
        pace: How much faster than real time the prospect spoke.
        promises: The faults that had to strike.
        ended: When the talk ended, by the clock; None where it is not known.
    """

    spec: pb.RunSpec
    record: Record
    held: Held
    phases: tuple[str, ...] = ()
    window: int = 0
    pace: float = 1.0
    promises: Sequence[Promise] = ()
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has measured.

    Attributes:
        value: In the check's own unit.
        score: 0 to 1; None for 1 where the threshold holds and 0 where not.
        text: A sentence.
        evidence: Turn and words, the worst first.
    """

    value: float
    text: str
    score: float | None = None
    evidence: Sequence[tuple[int, str]] = ()


def some(number: int, one: str, many: str) -> str:
    """The beginning of a sentence: ``No turn is``, ``1 turn is``, ``2 turns are``."""
    return f"{f'{number:,}' if number else 'No'} {many if number > 1 else one}"


def turns_completed(case: Case) -> Finding:
    """Of the planned turns."""
    completed, planned = len(case.record.completed), case.spec.turns
    unanswered = [(turn.number, turn.prospect) for turn in case.record.turns if not turn.completed]
    share = completed / planned
    return Finding(share, f"{completed} of {planned} turns were completed.", share, unanswered)


def _questions(turns: Sequence[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.asked and turn.completed and not turn.interrupted]


def _recalls(turns: Sequence[Turn]) -> Finding | None:
    """How many of these questions were answered with what was told."""
    asked = _questions(turns)
    if not asked:
        return None
    wrong = [turn for turn in asked if not all(said_in(turn.agent, value) for value in turn.asked.values())]
    share = 1 - len(wrong) / len(asked)
    text = f"{len(asked) - len(wrong)} of {len(asked)} questions were answered with what the agent had been told."
    return Finding(share, text, share, [(turn.number, _question_and_answer(turn)) for turn in wrong])


def _question_and_answer(turn: Turn) -> str:
    return f"{turn.prospect} ({', '.join(turn.asked.values())}) - {turn.agent}"


def facts_recalled(case: Case) -> Finding | None:
    """Of the questions for what was told."""
    return _recalls(case.record.turns)


def facts_recalled_after_cuts(case: Case) -> Finding | None:
    """The same, of the questions that are the first after a cut, however many lines later they come."""
    first, known = [], 0
    for turn in _questions(case.record.turns):
        if turn.disturbances > known:
            first.append(turn)
            known = turn.disturbances
    return _recalls(first)


def regreetings(case: Case) -> Finding:
    """An agent that introduces itself again has lost its context."""
    greeted = [turn for turn in case.record.completed if checks.GREETING.search(turn.agent)]
    again = checks.regreetings(case.record.turns)
    times = again + len(greeted[:1])
    text = f"The agent introduced itself {_TIMES.get(times) or f'{times} times'}."
    return Finding(again, text, None, [(turn.number, turn.agent) for turn in greeted[1:] or greeted[: again and 1]])


def repeated_answers(case: Case) -> Finding:
    """An answer that was given before, to another line; questions may be answered alike."""
    seen: dict[str, int] = {}
    repeated = []
    for turn in case.record.completed:
        words = plain(turn.agent)
        if turn.asked or len(words) < _SAME_WORDS:
            continue
        if words in seen:
            repeated.append((turn.number, f"as in turn {seen[words]}: {turn.agent}"))
        seen.setdefault(words, turn.number)
    text = f"{some(len(repeated), 'answer was', 'answers were')} given before, to another line."
    return Finding(len(repeated), text, None, repeated)


def _shown(case: Case, numbers: Sequence[int]) -> list[tuple[int, str]]:
    return [(number, turn.prospect) for number in numbers if (turn := case.record.turn(number)) is not None]


def lost_turns(case: Case) -> Finding:
    """Completed turns that the context does not hold."""
    lost, dropped = case.held.lost, case.held.dropped
    text = f"{some(len(lost), 'completed turn is', 'completed turns are')} missing from the agent's context."
    if dropped:
        text += f" The model's window was full, and it dropped {_ranges(dropped)} itself, which is no loss."
    return Finding(len(lost), text, None, _shown(case, lost))


def _ranges(numbers: Sequence[int]) -> str:
    """Turns in words: ``turn 4``, ``turns 1 to 3, 5``."""
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    runs = [f"{a} to {b}" if a < b else str(a) for a, b in zip(starts, ends, strict=True)]
    return f"turn{'s' * (len(numbers) > 1)} {', '.join(runs)}"


def doubled_turns(case: Case) -> Finding:
    """Turns that the context holds twice, and answers that were delivered complete twice."""
    doubled = sorted({*case.held.doubled, *checks.redelivered(case.record.turns)})
    what = some(len(doubled), "turn is", "turns are")
    text = f"{what} in the agent's context twice, or answered twice."
    return Finding(len(doubled), text, None, _shown(case, doubled))


def frames_lost(case: Case) -> Finding | None:
    """Spoken frames that are nowhere."""
    sent, lost = case.record.frames_sent, case.held.frames_lost
    if not sent:
        return None
    evidence = [(number, f"{count} frames are nowhere") for number, count in case.held.lost_by_turn]
    return Finding(
        lost, f"{lost} of {sent:,} spoken frames are nowhere in the context.", 1 - min(1, lost / sent), evidence
    )


def frames_doubled(case: Case) -> Finding | None:
    """Spoken frames that are there twice."""
    sent, doubled = case.record.frames_sent, case.held.frames_doubled
    if not sent:
        return None
    evidence = [(number, f"{count} frames are there twice") for number, count in case.held.doubled_by_turn]
    text = f"{doubled} of {sent:,} spoken frames are in the context twice."
    return Finding(doubled, text, 1 - min(1, doubled / sent), evidence)


def longest_gap(case: Case) -> Finding | None:
    """The longest time without a connection, the relay's or the client's, in milliseconds."""
    gaps = [(mark.gap_ms, mark.at_turn, f"rotation ({mark.reason})") for mark in case.record.rotations]
    gaps += [(mark.gap_ms, mark.at_turn, f"client's socket ({mark.reason})") for mark in case.record.reconnects]
    if not gaps:
        return None
    worst = sorted(gaps, reverse=True)
    shown = [(turn, f"{gap:,} ms: {what}") for gap, turn, what in worst[:5]]
    return Finding(worst[0][0], f"The longest gap was {worst[0][0]:,} ms.", None, shown)


def longest_silence(case: Case) -> Finding | None:
    """From the end of the prospect's line to the agent's first sound, or to the end where none came, by the clock."""
    waits = []
    for turn in case.record.turns:
        heard = turn.answering if turn.answering or turn.completed else case.ended
        if turn.began is None or heard is None:
            continue
        spoken = 0.0 if case.spec.channel == pb.CHANNEL_TEXT else voice.frame_count(turn.prospect) * voice.FRAME_SECONDS
        waited = (heard - turn.began).total_seconds() - spoken / case.pace
        waits.append((max(0.0, waited), turn.number))
    if not waits:
        return None
    worst = sorted(waits, reverse=True)
    shown = [(number, f"{waited:.1f} s until the agent was heard") for waited, number in worst[:5]]
    return Finding(worst[0][0], f"The agent was silent for {worst[0][0]:.1f} s at most.", None, shown)


def faults_struck(case: Case) -> Finding | None:
    """Of the faults that the plan promises."""
    if not case.promises:
        return None
    struck = {mark.label for mark in case.record.faults}
    missed = [promise for promise in case.promises if promise.label not in struck]
    share = 1 - len(missed) / len(case.promises)
    text = f"{len(case.promises) - len(missed)} of {len(case.promises)} planned faults struck."
    if missed:
        text += " A run proves nothing about a fault that never struck."
    return Finding(share, text, share, [(promise.turn, _missed(promise, case.record)) for promise in missed])


def _missed(promise: Promise, record: Record) -> str:
    last = len(record.turns)
    why = f"the run ended in turn {last}" if promise.turn > last else "its moment did not come"
    return f"{promise.what} never struck: {promise.never or why}"


def phases_reached(case: Case) -> Finding | None:
    """Of the persona's phases, where the run is long enough for them."""
    if not case.phases or case.spec.turns < 2 * len(case.phases):
        return None
    reached = [phase for phase in case.phases if phase in case.record.phases]
    share = len(reached) / len(case.phases)
    missed = [(0, f"{phase} was not reached") for phase in case.phases if phase not in reached]
    return Finding(share, f"Reached: {', '.join(reached) or 'nothing'}.", share, missed)


def context_tokens(case: Case) -> Finding | None:
    """As a share of the window: more than 1 does not fit."""
    counted = [(turn.context_tokens, turn.number) for turn in case.record.turns if turn.context_tokens]
    if not counted or not case.window:
        return None
    most, number = max(counted)
    share = most / case.window
    text = f"The context had {most:,} tokens at most, of a window of {case.window:,}."
    return Finding(share, text, None, [(number, f"{most:,} tokens")])


def tokens_by_turn(case: Case) -> Finding | None:
    """How much the context grows a turn, over the whole run."""
    counted = [(turn.context_tokens, turn.number) for turn in case.record.turns if turn.context_tokens]
    if len(counted) < 2:  # noqa: PLR2004 - growth is between two
        return None
    (first, at), (last, until) = counted[0], counted[-1]
    growth = (last - first) / max(1, until - at)
    steps = sorted(((b[0] - a[0], b[1]) for a, b in pairwise(counted)), reverse=True)
    shown = [(number, f"{step:+,} tokens") for step, number in steps[:3]]
    return Finding(growth, f"The context grew by {growth:,.0f} tokens a turn.", None, shown)
