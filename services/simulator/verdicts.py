"""What must hold of a run, as a table: each check measures something, compares it with a threshold and shows where.

A check that does not apply is left out rather than passed. Thresholds are data: a run's spec and a suite may give
others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator import advice_measures, measures
from services.simulator.measures import Case, Finding

MOST_EVIDENCE: Final = 20


@dataclass(frozen=True, slots=True)
class Check:
    """One row.

    Attributes:
        title: What it asks, in a sentence.
        measure: Finds it out; None where the check does not apply.
        threshold: What is allowed.
        least: The threshold is the least that is allowed, not the most.
    """

    title: str
    measure: Callable[[Case], Finding | None]
    threshold: float
    least: bool = False


def judge(case: Case) -> list[pb.Check]:
    """Every check that applies to a run."""
    return [result for name, check in CHECKS.items() if (result := _result(name, check, case)) is not None]


def passed(outcome: pb.Outcome.ValueType, judged: Sequence[pb.Check]) -> bool:
    """Whether a run passed: every check that applies holds. This alone decides, wherever a verdict is shown.

    A run that was lost or stopped passes where its thresholds allow that. One that failed proves nothing: it could not
    begin, or not be judged to its end.
    """
    return outcome != pb.OUTCOME_FAILED and bool(judged) and all(check.passed for check in judged)


def result(name: str, title: str, finding: Finding, threshold: float, *, least: bool) -> pb.Check:
    """A check's result in the shape of the contract."""
    passed = finding.value >= threshold if least else finding.value <= threshold
    return pb.Check(
        name=name,
        title=title,
        passed=passed,
        score=float(passed) if finding.score is None else finding.score,
        value=finding.value,
        threshold=threshold,
        finding=finding.text,
        evidence=[pb.Evidence(turn=turn, text=text) for turn, text in finding.evidence[:MOST_EVIDENCE]],
    )


def _result(name: str, check: Check, case: Case) -> pb.Check | None:
    finding = check.measure(case)
    if finding is None:
        return None
    threshold = case.spec.thresholds.get(name, check.threshold)
    return result(name, check.title, finding, threshold, least=check.least)


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "turns_completed": Check(
            "share of the planned turns that were completed", measures.turns_completed, 1.0, least=True
        ),
        "facts_recalled": Check(
            "share of the questions that were answered with what was told", measures.facts_recalled, 1.0, least=True
        ),
        "facts_recalled_after_cuts": Check(
            "the same, of the questions that follow a cut", measures.facts_recalled_after_cuts, 1.0, least=True
        ),
        "regreetings": Check("greetings after the first", measures.regreetings, 0.0),
        "repeated_answers": Check("answers given before, to another line", measures.repeated_answers, 0.0),
        "lost_turns": Check("completed turns that the agent's context does not hold", measures.lost_turns, 0.0),
        "doubled_turns": Check("turns held or answered twice", measures.doubled_turns, 0.0),
        "frames_lost": Check("spoken audio frames that are nowhere in the context", measures.frames_lost, 0.0),
        "frames_doubled": Check("spoken audio frames that are in the context twice", measures.frames_doubled, 0.0),
        "longest_gap_ms": Check("longest gap of a connection, in milliseconds", measures.longest_gap, 10_000.0),
        "longest_silence_s": Check(
            "longest wait for the agent's first sound, in seconds", measures.longest_silence, 20.0
        ),
        "advice_followed": Check(
            "share of the advice that was followed in its turn", advice_measures.advice_followed, 1.0, least=True
        ),
        "advice_outlived": Check(
            "answers that follow advice after it was taken out", advice_measures.advice_outlived, 0.0
        ),
        "phases_reached": Check(
            "share of the persona's phases that were reached", measures.phases_reached, 1.0, least=True
        ),
        "faults_struck": Check("share of the planned faults that struck", measures.faults_struck, 1.0, least=True),
        "context_tokens": Check("largest context, as a share of the model's window", measures.context_tokens, 1.0),
        "tokens_by_turn": Check("context tokens that a turn adds, on average", measures.tokens_by_turn, 2_000.0),
    }
)
"""Every check, by its name."""

NAMES: Final = frozenset(CHECKS)
