"""Tool calls: what the model asks the client to run, and what comes back.

A call is answered when every result is there. The user's activity before that cancels it with ``toolCallCancellation``
[DOC]; of a cancelled call the context keeps that it was made [?]. No handle is issued in between: a model that is
resumed asks again. A call of a function declared ``NON_BLOCKING`` holds nothing up: the model talks on, and each result
says by its ``scheduling`` what becomes of it [DOC]; the user's activity does not cancel it [?].
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from services.emulator import replies
from services.emulator.brain import Call
from services.emulator.categories import Prompt
from services.emulator.context import Kind, Role, Turn
from services.emulator.messages import FunctionResponse, Scheduling
from services.emulator.replies import Message
from services.emulator.tokens import of_text

_NON_BLOCKING: Final = "NON_BLOCKING"


def text_of(tools: Iterable[Mapping[str, Any]]) -> str:
    """The declarations as they stand before the model, for which they cost tokens; empty if there are none."""
    tools = list(tools)
    return msgspec.json.encode(tools).decode() if tools else ""


def declared(tools: Iterable[Mapping[str, Any]]) -> dict[str, bool]:
    """The functions that a setup declares, in either casing, and whether each blocks; malformed ones are left out."""
    lists = (tool.get("functionDeclarations", tool.get("function_declarations")) for tool in tools)
    return {
        function["name"]: function.get("behavior") != _NON_BLOCKING
        for listed in lists
        if isinstance(listed, list)
        for function in listed
        if isinstance(function, dict) and isinstance(function.get("name"), str)
    }


@dataclass
class Pending:
    """Calls whose results are awaited.

    Attributes:
        calls: The calls by id, in order.
        prompt: What the model decided from.
        results: What came back so far, by id.
    """

    calls: Mapping[str, Call]
    prompt: Prompt
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def cancellation(self) -> Message:
        """The end of it, for a client that is still busy."""
        return replies.tool_call_cancellation(id_ for id_ in self.calls if id_ not in self.results)

    def take(self, responses: Iterable[FunctionResponse]) -> bool:
        """Take results, those of unknown calls aside; whether all are there."""
        self.results |= {answer.id: answer.response for answer in responses if answer.id in self.calls}
        return len(self.results) == len(self.calls)

    @property
    def asked(self) -> Turn:
        """The calls as they enter the context."""
        return asked(self.calls.values())

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Calls and results as they enter the context."""
        return self.asked, told((call.name, self.results[id_]) for id_, call in self.calls.items())


def asked(calls: Iterable[Call]) -> Turn:
    """Calls as they enter the context."""
    text = " ".join(f"{call.name}({_json(call.arguments)})" for call in calls)
    return Turn(Role.MODEL, Kind.TOOL, text, of_text(text))


def told(results: Iterable[tuple[str, Mapping[str, Any]]]) -> Turn:
    """Results as they enter the context: the name of each function, and what it returned."""
    text = " ".join(f"{name}: {_json(result)}" for name, result in results)
    return Turn(Role.USER, Kind.TOOL, text, of_text(text))


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


class Toolbox:
    """The tools of one dialogue.

    Attributes:
        functions: What may be called, and whether the call blocks.
        pending: The calls that hold the dialogue up; None if there are none.

    Args:
        tools: The tools of the setup.
        new_number: Gives a random number for the id of a call.
    """

    def __init__(self, tools: Iterable[Mapping[str, Any]], new_number: Callable[[], int]) -> None:
        self.functions = declared(tools)
        self.pending: Pending | None = None
        self._background: dict[str, Call] = {}
        self._new_number = new_number

    def declare(self, tools: Iterable[Mapping[str, Any]]) -> None:
        """These are the tools from now on."""
        self.functions = declared(tools)

    def call(self, calls: Iterable[Call], prompt: Prompt) -> Message:
        """Call functions; those that block are `pending` afterwards."""
        by_id = {f"function-call-{self._new_number()}": call for call in calls}
        blocking = {id_: call for id_, call in by_id.items() if self.functions.get(call.name, True)}
        self._background |= {id_: call for id_, call in by_id.items() if id_ not in blocking}
        self.pending = Pending(blocking, prompt) if blocking else None
        return replies.tool_call((id_, call.name, call.arguments) for id_, call in by_id.items())

    def finish(self) -> Pending | None:
        """Nobody waits for the pending calls any more; gives them."""
        pending, self.pending = self.pending, None
        return pending

    def late(self, responses: Iterable[FunctionResponse]) -> Iterator[tuple[Turn, Scheduling]]:
        """The results among these of calls that do not block, and what becomes of each."""
        for response in responses:
            if (call := self._background.get(response.id)) is not None:
                if not response.continues:
                    del self._background[response.id]
                yield told([(call.name, response.response)]), response.scheduling
