"""A judge: a Gemini text model reads the transcript and gives points by a stated rubric, each with its reason.

What it says are checks like all others, with thresholds; a judge that gives no answer fails none, and says so.
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator import verdicts
from services.simulator.measures import Finding
from services.simulator.record import Turn
from services.simulator.textmodel import TextModel, TextModelError

MOST: Final = 5
RUBRIC: Final[Mapping[str, str]] = MappingProxyType(
    {
        "judge_thread": "The agent keeps the thread: it builds on what was said before and contradicts nothing.",
        "judge_answers": "The agent answers what it is asked, in the prospect's language, briefly.",
        "judge_progress": "The talk moves from getting to know each other towards a demo.",
    }
)
"""What is judged, from 1 (not at all) to 5 (without fault), by the name of the check."""

NAMES: Final = frozenset(RUBRIC)
THRESHOLD: Final = 3.0

_INSTRUCTION: Final = (
    "You judge a telephone talk between a prospect and an AI sales agent. Judge the agent alone. For each criterion "
    f"give points from 1 (not at all) to {MOST} (without fault), one sentence of reason, and the number of the turn "
    "that shows it best."
)


async def judge(model: TextModel, name: str, turns: Sequence[Turn], thresholds: Mapping[str, float]) -> list[pb.Check]:
    """Let a model judge a transcript. Safe to cancel.

    Args:
        model: Answers prompts.
        name: The model's name.
        turns: What was said.
        thresholds: The least points, by the name of the check, where they are not `THRESHOLD`.

    Raises:
        TextModelError: The model gave no answer that can be read.
    """
    criteria = "\n".join(f"{key}: {what}" for key, what in RUBRIC.items())
    talk = "\n".join(
        f"[{turn.number}] Prospect: {turn.prospect}\n[{turn.number}] Agent: {turn.agent}" for turn in turns
    )
    answer = await model.answer(name, _INSTRUCTION, f"Criteria:\n{criteria}\n\nThe talk:\n{talk}", _schema())
    try:
        given = json.loads(answer)
        return [_check(key, given[key], turns, thresholds) for key in RUBRIC]
    except (ValueError, KeyError, TypeError) as error:
        raise TextModelError(f"{name} did not judge by the rubric: {type(error).__name__}") from error


def _check(key: str, given: Mapping[str, Any], turns: Sequence[Turn], thresholds: Mapping[str, float]) -> pb.Check:
    points = min(float(MOST), max(0.0, float(given["points"])))
    number = int(given.get("turn") or 0)
    said = next((turn.agent for turn in turns if turn.number == number), "")
    finding = Finding(points, str(given.get("reason", "")), points / MOST, [(number, said)] if said else [])
    return verdicts.result(key, RUBRIC[key], finding, thresholds.get(key, THRESHOLD), least=True)


def _schema() -> dict[str, Any]:
    one = {
        "type": "object",
        "properties": {
            "points": {"type": "integer", "enum": list(range(MOST, 0, -1))},
            "reason": {"type": "string"},
            "turn": {"type": "integer", "minimum": 0},
        },
        "required": ["points", "reason", "turn"],
    }
    return {"type": "object", "properties": dict.fromkeys(RUBRIC, one), "required": list(RUBRIC)}
