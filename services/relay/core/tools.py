"""The tools of the turn in progress, and the memo by which none runs twice.

A model that is resumed from before a call asks for it again. So what a turn's calls were answered with is kept until it
is completed: the same question (name and arguments) has the same answer. A client that is still at a call is not asked
again either: its result is for the new call, which it knows by the name of the first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from services.relay.core.model import ToolCall


class Tools:
    """The tool calls of one turn after another.

    Args:
        volatile: Names of tools whose answer does not keep: they run again, unless the client is still at it.
    """

    def __init__(self, volatile: frozenset[str] = frozenset()) -> None:
        self._volatile = volatile
        self._calls: dict[str, ToolCall] = {}
        self._memo: dict[str, list[ToolCall]] = {}
        self._asked: dict[str, ToolCall] = {}
        self._under_way: dict[str, str] = {}

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """Those of the turn in progress, in order."""
        return tuple(self._calls.values())

    @property
    def pending(self) -> bool:
        """Whether the model waits for a result."""
        return any(call.result is None for call in self._calls.values())

    @property
    def at_client(self) -> tuple[ToolCall, ...]:
        """The calls that a client was told of and has not answered, by the names that it was told.

        Those whose connection is gone are among them: its successor will ask for them again.
        """
        waiting = [call for call in self._calls.values() if call.result is None]
        waiting = [replace(call, id=self._as_told(call.id)) for call in waiting]
        return (*waiting, *self._asked.values())

    def called(self, calls: tuple[ToolCall, ...]) -> tuple[tuple[ToolCall, ...], tuple[ToolCall, ...]]:
        """The model wants tools.

        Returns:
            The calls that the client must make, and those whose answer this turn had before it was cut. A call that the
            client is still at is neither.
        """
        wanted: list[ToolCall] = []
        known: list[ToolCall] = []
        for call in calls:
            answered = self._memo.get(_question(call))
            memo = answered.pop(0) if answered else None
            self._calls[call.id] = replace(call, result=memo.result if memo else None)
            if memo or not self._is_under_way(call):
                (known if memo else wanted).append(self._calls[call.id])
        return tuple(wanted), tuple(known)

    def _is_under_way(self, call: ToolCall) -> bool:
        """Whether the client was asked this by a connection that is gone; then its result is for this call."""
        question = _question(call)
        first = next((told for told, asked in self._asked.items() if _question(asked) == question), None)
        if first is None:
            return False
        del self._asked[first]
        self._under_way[first] = call.id
        return True

    def answered(self, call_id: str, result: Mapping[str, Any]) -> ToolCall | None:
        """The client gives a result; None when nobody waits for it now."""
        current = self._under_way.get(call_id, call_id)
        call = self._calls.get(current)
        if call is not None and call.result is None:
            self._calls[current] = replace(call, result=result)
            return self._calls[current]
        asked = self._asked.pop(call_id, None)
        if asked is not None:  # the connection that asked is gone; its successor may ask again
            self._remember([replace(asked, result=result)])
        return None

    def _remember(self, calls: Iterable[ToolCall]) -> None:
        """Each of several calls that are the same has its own answer, in order."""
        for call in calls:
            if call.name not in self._volatile:
                self._memo.setdefault(_question(call), []).append(call)

    def cancelled(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        """The model no longer waits for these; gives them as the client knows them."""
        for call_id in ids:
            self._calls.pop(call_id, None)
        return tuple(self._as_told(call_id) for call_id in ids)

    def _as_told(self, call_id: str) -> str:
        """The client's name for a call: that of the connection which asked first."""
        return next((told for told, current in self._under_way.items() if current == call_id), call_id)

    def turn_over(self) -> tuple[ToolCall, ...]:
        """The turn is completed, with these calls: the next one asks anew."""
        calls = self.calls
        self._calls, self._memo, self._asked, self._under_way = {}, {}, {}, {}
        return calls

    def cut(self) -> None:
        """The connection is gone in the middle of the turn: its successor may ask all of it again."""
        later, self._memo = self._memo, {}  # what an earlier connection had asked, and this one not yet
        self._remember(call for call in self._calls.values() if call.result is not None)
        for calls in later.values():
            self._remember(calls)
        for call in self._calls.values():
            if call.result is None:
                self._asked[self._as_told(call.id)] = call
        self._calls, self._under_way = {}, {}


def _question(call: ToolCall) -> str:
    """What makes two calls the same: name and arguments, in whatever order these come."""
    return repr((call.name, _sorted(call.args)))


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        return sorted((key, _sorted(inner)) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return [_sorted(inner) for inner in value]
    return value
