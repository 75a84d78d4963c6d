"""Handles are redeemable exactly as long, and as often, as documented and observed."""

from itertools import count
from typing import Any

import pytest

from services.emulator import closes, handles
from services.emulator.closes import Close, RefusedError
from services.emulator.context import Context
from services.emulator.handles import HandleStore, Snapshot
from tests.support.session import House


def store(*, refuse_while_open: bool = True) -> HandleStore:
    """An empty store."""
    numbers = count()
    return HandleStore(lambda: f"h{next(numbers)}", refuse_while_open=refuse_while_open)


def snapshot(lineage: str, instruction: str = "") -> Snapshot:
    """A snapshot that can be told from others by its instruction."""
    return Snapshot(lineage, "m", Context(instruction))


def refusal(kept: HandleStore, handle: str, now: float) -> Close:
    """The close with which a handle is refused."""
    with pytest.raises(RefusedError) as caught:
        kept.redeem(handle, now)
    return caught.value.close


def test_each_handle_stands_for_its_own_moment() -> None:
    """Older handles go on standing for what they stood for, and can be used again."""
    kept = store()
    first, second = kept.issue(snapshot("a", "one")), kept.issue(snapshot("a", "two"))
    for _ in range(2):
        assert kept.redeem(first, 1.0).context.instruction == "one"
        assert kept.redeem(second, 1.0).context.instruction == "two"


def test_the_time_runs_from_the_end_of_the_session() -> None:
    """An open session's handles do not age; a resumed session keeps its lineage's handles alive."""
    kept = store(refuse_while_open=False)
    kept.opened("a", "c1", 0.0, 100.0)
    handle = kept.issue(snapshot("a"))
    assert kept.redeem(handle, 1e6).lineage == "a"
    kept.closed("a", "c1", 1e6)
    kept.opened("a", "c2", 0.0, 100.0)
    assert kept.redeem(handle, 1e6 + 500.0).lineage == "a"
    kept.closed("a", "c2", 1e6 + 500.0)
    assert kept.redeem(handle, 1e6 + 599.0).lineage == "a"
    assert refusal(kept, handle, 1e6 + 600.0) == closes.HANDLE_NOT_FOUND


def test_a_session_that_is_open_somewhere_is_not_resumed() -> None:
    """Any open connection of the lineage refuses the resume, until the last is closed."""
    kept = store()
    handle = kept.issue(snapshot("a"))
    kept.opened("a", "c1", 0.0, 100.0)
    kept.opened("a", "c2", 0.0, 100.0)
    kept.closed("a", "c1", 1.0)
    assert refusal(kept, handle, 2.0) == closes.STILL_OPEN
    kept.closed("a", "c2", 3.0)
    assert kept.redeem(handle, 4.0).lineage == "a"


def test_the_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest handles of a lineage and the newest lineages are kept; what is forgotten is not found."""
    monkeypatch.setattr(handles, "KEPT", 2)
    numbers = count()
    kept = HandleStore(lambda: f"h{next(numbers)}", lineages=2)
    old, middle, new = (kept.issue(snapshot("a")) for _ in range(3))
    assert refusal(kept, old, 0.0) == closes.HANDLE_NOT_FOUND
    assert kept.redeem(middle, 0.0).lineage == "a"
    for lineage in "bc":
        kept.opened(lineage, f"of {lineage}", 0.0, 100.0)
        kept.closed(lineage, f"of {lineage}", 0.0)
    assert refusal(kept, new, 0.0) == closes.HANDLE_NOT_FOUND
    kept.closed("a", "gone long ago", 0.0)


@pytest.mark.parametrize("vertex", [False, True])
def test_a_handle_is_unknown_to_the_other_api(vertex: bool) -> None:  # noqa: FBT001 - a case of the test
    """The Developer API and Vertex do not share sessions: 1008, and the handle is still good where it came from."""
    house = House()
    first = house.call(model="gemini-3.8-live", vertex=vertex).wait(0.1).hang_up()
    asked: dict[str, Any] = {"model": "gemini-3.8-live", "sessionResumption": {"handle": first.handle}}
    assert house.call(vertex=not vertex, **asked).close == closes.HANDLE_NOT_FOUND
    assert house.call(vertex=vertex, **asked).close is None


@pytest.mark.parametrize(
    ("model", "close"),
    [("models/gemini-3.8-live", None), ("gemini-3.8-live", None), ("gemini-3.1-flash-live", closes.INVALID_ARGUMENT)],
)
def test_a_model_is_the_same_by_all_its_names(model: str, close: Close | None) -> None:
    """A resume may write the model's name otherwise, but not name another model."""
    house = House()
    first = house.call(model="gemini-3.8-live").wait(0.1).hang_up()
    assert house.call(model=model, sessionResumption={"handle": first.handle}).close == close
