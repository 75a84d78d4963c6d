"""What is kept of a run of the context bench."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from bench.context_table import AT
from bench.context_talk import Course
from filo.handles.v1.resources_pb2 import Ledger


def summary(course: Course, seconds: float, code: str) -> dict[str, Any]:
    """What is kept of one conversation."""
    ledgers = course.ledgers
    at, last = ledgers[min(AT, len(ledgers)) - 1], ledgers[-1]
    return {
        "policy": course.name,
        "turns": len(ledgers),
        "ended": course.ended,
        "at": _bill(at),
        "last": _bill(last),
        "rebuilds": last.rebase_count,
        "unverified": last.unverified_removal_count,
        "gaps_ms": course.gaps,
        "recalls": code in course.recalls if not course.ended else None,
        "seconds": round(seconds, 1),
        "context": [ledger.context_tokens for ledger in ledgers],
        "rebuilt_after": _rebuilt_after(ledgers),
        "advice": [ledger.feedback_live_tokens + ledger.feedback_stale_tokens for ledger in ledgers],
    }


def _rebuilt_after(ledgers: Sequence[Ledger]) -> list[int]:
    """The turns after which the session was rebuilt: the ledger of a turn counts what it led to."""
    counts = [0, *(ledger.rebase_count for ledger in ledgers)]
    return [turn for turn, (before, count) in enumerate(pairwise(counts), start=1) if count > before]


def _bill(ledger: Ledger) -> dict[str, int]:
    return {
        "context": ledger.context_tokens,
        "uncached": ledger.billed_uncached_tokens,
        "cached": ledger.billed_cached_tokens,
        "responses": ledger.billed_response_tokens,
        "saved": ledger.saved_billed_tokens,
    }
