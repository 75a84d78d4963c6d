"""Tool calls: what the model asks the client to run, and what comes back.

A call is answered when every result is there. The user's activity before that cancels it with ``toolCallCancellation``
[DOC]; of a cancelled call the context keeps that it was made [?]. No handle is issued in between: a model that is
resumed asks again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.emulator import replies
from services.emulator.brain import Call
from services.emulator.context import Kind, Role, Turn
from services.emulator.messages import FunctionResponse
from services.emulator.replies import Message
from services.emulator.tokens import Tokens, of_text


def declared(tools: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of the functions that a setup declares, in either casing; what is malformed is left out."""
    lists = (tool.get("functionDeclarations", tool.get("function_declarations")) for tool in tools)
    return tuple(
        function["name"]
        for listed in lists
        if isinstance(listed, list)
        for function in listed
        if isinstance(function, dict) and isinstance(function.get("name"), str)
    )


@dataclass
class Pending:
    """Calls whose results are awaited.

    Attributes:
        calls: The calls by id, in order.
        prompt: What the context cost from which the model decided to call.
        cached: How much of that a prefix cache held.
        results: What came back so far, by id.
    """

    calls: Mapping[str, Call]
    prompt: Tokens
    cached: Tokens
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def message(self) -> Message:
        """The call as the client gets it."""
        return replies.tool_call((id_, call.name, call.arguments) for id_, call in self.calls.items())

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
        text = " ".join(f"{call.name}({_json(call.arguments)})" for call in self.calls.values())
        return Turn(Role.MODEL, Kind.TOOL, text, of_text(text))

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Calls and results as they enter the context."""
        told = " ".join(f"{call.name}: {_json(self.results[id_])}" for id_, call in self.calls.items())
        return self.asked, Turn(Role.USER, Kind.TOOL, told, of_text(told))


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
