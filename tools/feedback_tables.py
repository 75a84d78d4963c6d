"""The tables of docs/feedback.md: what each policy does, what each model allows, what the bench has measured."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench import context_table
from services.relay.core import capabilities, policies
from services.relay.core.capabilities import Capability
from services.relay.core.model import FeedbackPolicy, Policy

Markdown = Callable[[Sequence[str], Iterable[Sequence[object]]], str]

CONTEXTS: Final = Path(__file__).resolve().parent.parent / "bench/results/context.json"
"""What `make bench-context` found."""
_SMALL: Final = 0
_LARGE: Final = 20_000
"""Tokens of a context."""
_SETTINGS: Final = Policy()


def tables(markdown: Markdown) -> Mapping[str, Callable[[], str]]:
    """Each table by its name."""
    return {
        "feedback-policies": lambda: _policies(markdown),
        "feedback-models": lambda: _models(markdown),
        "context-bench": lambda: context_table.table(json.loads(CONTEXTS.read_text(encoding="utf-8"))),
    }


def _policies(markdown: Markdown) -> str:
    rows = (
        (
            f"`{policy}`",
            "as soon as it may be" if rule.at_once else "when the client begins to speak",
            "the system instruction" if rule.in_instruction else "the talk",
            "replaced or cleared after the answer"
            if rule.in_instruction
            else ("the session is rebuilt without it" if rule.rebuilds else "nothing"),
        )
        for policy, rule in policies.RULES.items()
    )
    return markdown(("policy", "delivered", "lives in", "taken out by"), rows)


def _models(markdown: Markdown) -> str:
    rows = (
        (
            f"`{row.model}`" if row.model else "any other",
            row.backend,
            f"`{row.advice}`",
            f"`{row.instruction}`" if row.instruction else "-",
            _auto(row),
            row.evidence,
        )
        for row in capabilities.CAPABILITIES
    )
    return markdown(("name begins with", "API", "advice by", "instruction by", "`auto` is", "evidence"), rows)


def _auto(row: Capability) -> str:
    small, large = (policies.chosen(FeedbackPolicy.AUTO, row, context, _SETTINGS) for context in (_SMALL, _LARGE))
    return f"`{large}`" if small is large else f"`{large}`; `{small}` in a very small context"
