"""What happens to one conversation is counted as it happens, and only once."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.ledger import Breakdown, Ledger
from services.relay.core.model import Continuity, RotationMode, RotationReason, Usage
from services.relay.metrics import ENDINGS, READY, Metrics
from services.relay.reconnects import ROWS, CloseClass, Outcome, Row, Side, close_class
from services.relay.tally import Tally


class Scene:
    """A conversation's tally, a clock, and what was counted."""

    def __init__(self, *, moved: bool = False, ledger: Ledger | None = None) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, sessions=1)
        self.now = 100.0
        self.tally = Tally(
            self.metrics,
            "c0ffee",
            "assistant",
            test=False,
            moved=moved,
            window=32_000,
            ledger=ledger or Ledger(),
            monotonic=lambda: self.now,
        )
        self.tally.opened()

    def play(self, *steps: Any) -> None:  # noqa: ANN401 - events and effects, in order
        """Let things happen."""
        for step in steps:
            if isinstance(step, float):
                self.now += step
            elif isinstance(step, on.Event):
                self.tally.saw(step)
            else:
                self.tally.did(step)

    def value(self, name: str, **labels: str) -> float:
        """A series that must exist."""
        found = self.registry.get_sample_value(f"filo_relay_{name}", labels)
        assert found is not None, (name, labels)
        return found

    @property
    def reconnects(self) -> dict[Row, float]:
        """Every row of the counter that is not 0."""
        found = {row: self.value("reconnects_total", **row._asdict(), test="no") for row in ROWS}
        return {row: times for row, times in found.items() if times}


JOIN = on.ClientJoined(RotationMode.RELAY)
FIRST = (JOIN, on.UpstreamReady(), do.Welcome(None))


def test_a_conversation_that_comes_from_elsewhere_is_shown_with_its_ledger() -> None:
    """Before a turn is counted here."""
    scene = Scene(moved=True, ledger=Ledger(held=Breakdown(instruction=7)))
    scene.play(JOIN, on.UpstreamReady(), do.Welcome(Continuity.HANDLE))
    assert scene.value("session_context_tokens", session="c0ffee", category="instruction") == 7


def test_the_first_connections_are_no_reconnects() -> None:
    """A conversation that begins, talks and ends has none; its end says so."""
    scene = Scene()
    assert scene.value("conversations", mode="assistant", test="no") == 1
    scene.play(*FIRST, do.CloseClient(do.Farewell.OVER, ""), do.CloseUpstream(), on.UpstreamClosed(1000, ""))
    scene.tally.closed()
    assert scene.reconnects == {}
    assert scene.value("conversations", mode="assistant", test="no") == 0
    assert scene.value("conversations_ended_total", ending="over", test="no") == 1
    for side in Side:
        assert scene.value("conversation_reconnects_bucket", side=side, le="0.0") == 1


@pytest.mark.parametrize(
    ("reason", "code", "before"),
    [
        (RotationReason.GO_AWAY, 1000, CloseClass.OWN),
        (RotationReason.UPSTREAM_CLOSED, 1011, CloseClass.FAILED),
        (RotationReason.UPSTREAM_CLOSED, 1006, CloseClass.CUT),
        (RotationReason.HANDLE_REJECTED, 1008, CloseClass.REFUSED),
    ],
)
def test_a_rotation_is_a_reconnect_of_the_upstream(reason: RotationReason, code: int, before: CloseClass) -> None:
    """With its reason, the class of the close that it began with, its continuity; and the connection's life."""
    scene = Scene()
    planned = before is CloseClass.OWN
    scene.play(*FIRST, 30.0, *([do.CloseUpstream()] if planned else []), on.UpstreamClosed(code, ""))
    scene.play(do.Tell(tell.Rotating(reason, 2)), on.UpstreamReady())
    scene.play(do.Tell(tell.Rotated(reason, Continuity.HANDLE, 0.1, 2)))
    assert scene.reconnects == {Row(Side.UPSTREAM, reason, before, Continuity.HANDLE, Outcome.COMPLETED): 1}
    assert scene.value("upstream_closes_total", by="relay" if planned else "gemini", code=str(code)) == 1
    assert scene.value("upstream_life_seconds_sum") == 30
    assert scene.value("upstream_connections") == 1


def test_a_rotation_that_is_given_up_has_failed() -> None:
    """The conversation is lost with it."""
    scene = Scene()
    reason = RotationReason.UPSTREAM_CLOSED
    scene.play(*FIRST, on.UpstreamClosed(1011, ""), do.Tell(tell.Rotating(reason, 1)), on.UpstreamClosed(1013, ""))
    scene.play(do.Release(), do.CloseClient(do.Farewell.UPSTREAM_UNAVAILABLE, ""))
    scene.tally.closed()
    row = Row(Side.UPSTREAM, reason, CloseClass.FAILED, Continuity.NONE, Outcome.FAILED)
    assert scene.reconnects == {row: 1}
    assert scene.value("conversations_ended_total", ending="upstream_unavailable", test="no") == 1
    assert scene.value("upstream_closes_total", by="gemini", code="1011") == 1
    assert scene.value("upstream_closes_total", by="gemini", code="1013") == 0, "that one was never set up"


def test_a_client_that_returns() -> None:
    """By how its socket was lost, with the time it was away."""
    scene = Scene()
    scene.play(*FIRST)
    scene.tally.client_gone(None)
    scene.play(on.ClientLeft(), 1.5, JOIN, do.Welcome(Continuity.HANDLE))
    row = Row(Side.CLIENT, "returned", CloseClass.CUT, Continuity.HANDLE, Outcome.COMPLETED)
    assert scene.reconnects == {row: 1}
    assert scene.value("client_gap_seconds_sum") == 1.5


def test_a_client_that_comes_twice_at_once() -> None:
    """The second socket takes the place of the first, which this relay closes."""
    scene = Scene()
    scene.play(*FIRST, JOIN, do.Welcome(Continuity.HANDLE))
    row = Row(Side.CLIENT, "replaced", CloseClass.OWN, Continuity.HANDLE, Outcome.COMPLETED)
    assert scene.reconnects == {row: 1}


def test_a_client_that_comes_from_another_relay() -> None:
    """The first socket here is not the conversation's first."""
    scene = Scene(moved=True)
    scene.play(JOIN, on.UpstreamReady(), do.Welcome(Continuity.TRANSCRIPT))
    row = Row(Side.CLIENT, "moved", CloseClass.OTHER, Continuity.TRANSCRIPT, Outcome.COMPLETED)
    assert scene.reconnects == {row: 1}


def test_a_client_that_never_returns() -> None:
    """Is a reconnect that failed, and the conversation is abandoned."""
    scene = Scene()
    scene.play(*FIRST)
    scene.tally.client_gone(1006)
    scene.play(on.ClientLeft(), 30.0, do.Release(), do.Stop())
    scene.tally.closed()
    row = Row(Side.CLIENT, "returned", CloseClass.CUT, Continuity.NONE, Outcome.FAILED)
    assert scene.reconnects == {row: 1}
    assert scene.value("conversations_ended_total", ending="abandoned", test="no") == 1


def test_a_drain_is_no_loss() -> None:
    """Although the conversation is given back before the client is told."""
    scene = Scene()
    scene.play(*FIRST, on.ClientLeft(), do.Release(), do.CloseClient(do.Farewell.DRAIN, ""))
    scene.tally.closed()
    assert scene.reconnects == {}
    assert scene.value("conversations_ended_total", ending="drain", test="no") == 1


def test_a_defect_is_a_failure() -> None:
    """A conversation that ends without a word has failed."""
    scene = Scene()
    scene.play(*FIRST)
    scene.tally.closed()
    assert scene.value("conversations_ended_total", ending="failed", test="no") == 1
    assert scene.value("upstream_connections") == 0


def test_fenced() -> None:
    """Another relay holds it now."""
    scene = Scene()
    scene.play(*FIRST, on.Fenced(), do.CloseClient(do.Farewell.REPLACED, ""))
    scene.tally.closed()
    assert scene.value("fenced_total") == 1
    assert scene.value("conversations_ended_total", ending="replaced", test="no") == 1


def test_tokens() -> None:
    """The prompt as a number and as a share of the window, and what is billed."""
    scene = Scene()
    scene.play(on.UsageCounted(Usage(24_000, 150, cached=20_000)))
    assert scene.value("context_tokens_sum") == 24_000
    assert scene.value("context_window_ratio_sum") == 0.75
    assert scene.value("tokens_billed_total", kind="cached", test="no") == 20_000
    assert scene.value("tokens_billed_total", kind="uncached", test="no") == 4_000
    assert scene.value("tokens_billed_total", kind="response", test="no") == 150


def test_dials() -> None:
    """By what came of them; only those that were completed have a setup time."""
    scene = Scene()
    scene.metrics.dialled(None, 0.2)
    scene.metrics.dialled(1008, 0.1)
    assert scene.value("upstream_dials_total", outcome=READY) == 1
    assert scene.value("upstream_dials_total", outcome="refused") == 1
    assert scene.value("upstream_setup_seconds_count") == 1


def test_everything_starts_at_zero() -> None:
    """Each row of the table, each ending."""
    scene = Scene()
    assert scene.reconnects == {}
    for ending in ENDINGS:
        assert scene.value("conversations_ended_total", ending=ending, test="yes") == 0


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (None, CloseClass.CUT),
        (1000, CloseClass.NORMAL),
        (1001, CloseClass.NORMAL),
        (1005, CloseClass.CUT),
        (1006, CloseClass.CUT),
        (1007, CloseClass.REFUSED),
        (1011, CloseClass.FAILED),
        (1015, CloseClass.FAILED),
        (3000, CloseClass.OTHER),
        (4401, CloseClass.REFUSED),
    ],
)
def test_close_classes(code: int | None, expected: CloseClass) -> None:
    """Every code has a class; 1006 is not a refusal although it lies among them."""
    assert close_class(code) is expected


@pytest.mark.parametrize(
    "ending",
    [
        (on.Fenced(), do.CloseClient(do.Farewell.REPLACED, "")),
        (on.TakenOver(), do.CloseClient(do.Farewell.REPLACED, ""), do.Release()),
        (on.DrainAsked(), do.CloseClient(do.Farewell.DRAIN, ""), do.Release()),
        (on.EndAsked(""), do.CloseClient(do.Farewell.OVER, "")),
        (do.Release(),),
        (),
    ],
)
def test_no_session_leaves_series_behind(ending: tuple[Any, ...]) -> None:
    """Fenced, taken over, drained, ended, released or failed: its own series go with it, whatever it was."""
    scene = Scene()
    scene.play(*FIRST, do.Tell(tell.Rotated(RotationReason.AGE, Continuity.HANDLE, 0.1, 1)))
    scene.play(do.Tell(tell.TokensCounted(1, Ledger())))
    assert scene.value("session_reconnects", session="c0ffee", side="upstream") == 1
    assert scene.value("session_context_tokens", session="c0ffee", category="user") == 0
    scene.play(*ending)
    scene.tally.closed()
    left = [sample for family in scene.registry.collect() for sample in family.samples if "session" in sample.labels]
    assert left == []
