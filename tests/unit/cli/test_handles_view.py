"""What the operator's tools show."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from services.cli.handles_view import ago, facts, flat, listing

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
ROW = {
    "name": "conversations/" + "a" * 32,
    "mode": "assistant",
    "owner": "users/ada",
    "test": True,
    "state": "held",
    "epoch": 3,
    "holder": "127.0.0.1:7401",
    "turns": 12,
    "handles_live": 4,
    "created": (NOW - timedelta(hours=3)).isoformat(),
    "seen": (NOW - timedelta(seconds=75)).isoformat(),
}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s ago"), (0, "0 s ago"), (59, "59 s ago"), (60, "1 min ago"), (7300, "2 h ago"), (2 * 86400, "2 d ago")],
)
def test_a_moment_is_told_by_its_distance(seconds: float, shown: str) -> None:
    """In the largest unit that fits; what lies ahead, by another machine's clock, is now."""
    assert ago(NOW - timedelta(seconds=seconds), NOW) == shown


def test_facts_within_facts_are_named_by_both() -> None:
    """What is not there is left out, zero is there."""
    values = {"name": "x", "ended": None, "holder": "", "test": False, "ledger": {"user_tokens": 0}, "handle": {}}
    assert flat(values) == [("name", "x"), ("test", "no"), ("ledger.user tokens", "0")]


def test_a_listing_has_a_line_for_each() -> None:
    """With the whole name, which is what the other tools take."""
    shown = _printed(listing([ROW], NOW))
    for part in (ROW["name"], "assistant (test)", "users/ada", "held", "127.0.0.1:7401", "1 min ago"):
        assert str(part) in shown
    assert "users/ada" in _printed(facts(ROW))


def _printed(what: object) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(what)
    return captured.get()
