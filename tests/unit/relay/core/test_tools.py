"""The tools of a turn: wanted, answered, and never run twice for a cut."""

from services.relay.core.model import ToolCall
from services.relay.core.tools import Tools


def call(call_id: str, **args: object) -> ToolCall:
    """A call of the one tool."""
    return ToolCall(call_id, "lookup", args)


def test_a_tool_is_wanted_and_answered_once() -> None:
    """A result is taken once, and for a call that waits for it."""
    it = Tools()
    wanted, known = it.called((call("c1", sku="A"),))
    assert (wanted, known) == ((call("c1", sku="A"),), ())
    assert it.pending
    assert it.answered("other", {}) is None
    done = it.answered("c1", {"price": 1})
    assert done is not None
    assert done.result == {"price": 1}
    assert not it.pending
    assert it.answered("c1", {"price": 2}) is None
    assert it.turn_over() == (done,)
    assert it.calls == ()


def test_a_cancelled_call_is_awaited_no_more() -> None:
    """Its result is for nobody, and the turn does not hold it."""
    it = Tools()
    it.called((call("c1"), call("c2")))
    it.cancelled(("c1", "never"))
    assert it.answered("c1", {}) is None
    assert it.pending
    it.answered("c2", {})
    assert not it.pending


def test_the_same_call_in_one_breath_is_run_twice() -> None:
    """A model may ask the same thing twice, for example the time: only a cut makes it a repetition."""
    it = Tools()
    it.called((call("c1"),))
    it.answered("c1", {"now": 1})
    assert it.called((call("c2"),)) == ((call("c2"),), ())


def test_a_resumed_model_is_answered_from_the_memo() -> None:
    """The same name and arguments, in any order and depth, are not run again; another question is."""
    it = Tools()
    it.called((call("c1", a=1, b={"x": [1, 2], "y": 2}), call("c2", a=2)))
    it.answered("c1", {"r": 1})
    it.answered("c2", {"r": 2})
    it.cut()
    wanted, known = it.called((call("d1", b={"y": 2, "x": [1, 2]}, a=1), call("d2", a=3)))
    assert [c.id for c in wanted] == ["d2"]
    assert [(c.id, c.result) for c in known] == [("d1", {"r": 1})]


def test_an_answer_that_does_not_keep_is_not_remembered() -> None:
    """Such a tool runs again after a cut, unless the client is still at it: what it brings then is news."""
    it = Tools(frozenset({"lookup"}))
    it.called((call("c1", a=1), call("c2", a=2), ToolCall("c3", "other", {})))
    it.answered("c1", {"r": 1})
    it.answered("c3", {"r": 3})
    it.cut()
    wanted, known = it.called((call("d1", a=1), call("d2", a=2), ToolCall("d3", "other", {})))
    assert [c.id for c in wanted] == ["d1"]
    assert [(c.id, c.result) for c in known] == [("d3", {"r": 3})]
    assert it.answered("c2", {"r": 2}) == ToolCall("d2", "lookup", {"a": 2}, {"r": 2})
    it.cut()
    assert it.answered("d1", {"r": 4}) is None, "it came after the cut"
    assert it.called((call("e1", a=1),)) == ((call("e1", a=1),), ())


def test_the_memo_survives_a_second_cut() -> None:
    """A result is remembered until the turn is over, used or not."""
    it = Tools()
    it.called((call("c1", a=1), call("c2", a=2)))
    it.answered("c1", {"r": 1})
    it.answered("c2", {"r": 2})
    it.cut()
    it.called((call("d1", a=1),))
    it.cut()
    _, known = it.called((call("e1", a=1), call("e2", a=2)))
    assert [c.result for c in known] == [{"r": 1}, {"r": 2}]


def test_a_result_that_comes_after_the_cut_is_remembered() -> None:
    """The client was still at it when the connection went: the next one finds the result."""
    it = Tools()
    it.called((call("c1", a=1),))
    it.cut()
    assert not it.pending
    assert it.answered("c1", {"r": 1}) is None
    _, known = it.called((call("d1", a=1),))
    assert [c.result for c in known] == [{"r": 1}]


def test_a_call_that_the_client_is_still_at_is_not_made_again() -> None:
    """The resumed model asks before the result is there: one run answers it, however often it was asked meanwhile."""
    it = Tools()
    it.called((call("c1", a=1),))
    for again in ("d1", "e1"):
        it.cut()
        assert it.called((call(again, a=1),)) == ((), ())
        assert it.pending
    done = it.answered("c1", {"r": 1})
    assert done == ToolCall("e1", "lookup", {"a": 1}, {"r": 1})
    assert not it.pending
    assert it.answered("c1", {"r": 2}) is None


def test_two_calls_that_ask_the_same_are_two_runs_after_a_cut_too() -> None:
    """Each run answers one of the new calls; a third question is a new run."""
    it = Tools()
    it.called((call("c1"), call("c2")))
    it.cut()
    wanted, _ = it.called((call("d1"), call("d2"), call("d3")))
    assert [c.id for c in wanted] == ["d3"]
    done = [it.answered("c2", {"r": 2}), it.answered("c1", {"r": 1})]
    assert [found and (found.id, found.result) for found in done] == [("d2", {"r": 2}), ("d1", {"r": 1})]


def test_each_of_two_same_calls_keeps_its_own_answer() -> None:
    """Both were made before the cut: neither runs a third time, in whatever pieces the next connections ask again."""
    it = Tools()
    for call_id, answer in (("c1", 1), ("c2", 2)):
        it.called((call(call_id),))
        it.answered(call_id, {"r": answer})
    it.cut()
    wanted, known = it.called((call("d1"),))
    assert (wanted, [c.result for c in known]) == ((), [{"r": 1}])
    it.cut()
    wanted, known = it.called((call("e1"), call("e2"), call("e3")))
    assert [c.result for c in known] == [{"r": 1}, {"r": 2}]
    assert [c.id for c in wanted] == ["e3"]


def test_a_call_is_cancelled_by_the_name_that_the_client_knows() -> None:
    """The client was never told of the second call."""
    it = Tools()
    it.called((call("c1"),))
    it.cut()
    it.called((call("d1"),))
    assert it.cancelled(("d1",)) == ("c1",)
    assert it.answered("c1", {}) is None
    assert not it.pending


def test_the_memo_ends_with_the_turn() -> None:
    """The same question in another turn may have another answer, and an old result is for nobody."""
    it = Tools()
    it.called((call("c1"), call("c2", other=1)))
    it.answered("c1", {"r": 1})
    it.cut()
    it.turn_over()
    assert it.answered("c2", {}) is None
    assert it.called((call("d1"), call("d2", other=1)))[1] == ()
