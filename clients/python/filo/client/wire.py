"""The client's side of the wire: JSON to the relay's messages, and a client's messages to JSON.

A message of a type that is not known yet is `Unknown`, and an unknown field is passed over: a newer relay must not
break an older client. A field of the wrong type makes the whole message unreadable.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Final, get_args, get_type_hints

from filo.client.messages import Call, Message, RelayMessage, Unknown


def _integer(value: Any) -> int:  # noqa: ANN401 - anything JSON can hold
    if type(value) is not int:
        raise TypeError
    return value


def _number(value: Any) -> float:  # noqa: ANN401 - anything JSON can hold
    if type(value) not in {int, float}:
        raise TypeError
    return float(value)


def _exactly(kind: type[Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:  # noqa: ANN401 - anything JSON can hold
        if not isinstance(value, kind):
            raise TypeError
        return value

    return read


def _optional_text(value: Any) -> str | None:  # noqa: ANN401 - anything JSON can hold
    return None if value is None else _TEXT(value)


def _counts(value: Any) -> dict[str, int]:  # noqa: ANN401 - anything JSON can hold
    return {name: _integer(count) for name, count in _OBJECT(value).items()}


def _calls(value: Any) -> tuple[Call, ...]:  # noqa: ANN401 - anything JSON can hold
    return tuple(Call(_TEXT(call["id"]), _TEXT(call["name"]), _OBJECT(call.get("args", {}))) for call in _LIST(value))


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - anything JSON can hold
    return tuple(_TEXT(text) for text in _LIST(value))


_TEXT: Final = _exactly(str)
_OBJECT: Final = _exactly(dict)
_LIST: Final = _exactly(list)
_READERS: Final[Mapping[Any, Callable[[Any], Any]]] = MappingProxyType(
    {
        int: _integer,
        float: _number,
        str: _TEXT,
        bool: _exactly(bool),
        str | None: _optional_text,
        dict[str, int]: _counts,
        tuple[Call, ...]: _calls,
        tuple[str, ...]: _texts,
    }
)
"""How a field of each type is read; anything else raises TypeError, KeyError or AttributeError."""


def wire_name(name: str) -> str:
    """The name of a field in JSON: ``next_seq`` is ``nextSeq``."""
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _shape(kind: type[Message]) -> list[tuple[str, str, Callable[[Any], Any]]]:
    hints = get_type_hints(kind)
    return [(part.name, wire_name(part.name), _READERS[hints[part.name]]) for part in fields(kind)]


_KINDS: Final = MappingProxyType({kind.TYPE: (kind, _shape(kind)) for kind in get_args(RelayMessage)})


def parse(text: str) -> RelayMessage | Unknown:
    """Read a text frame of the relay; what cannot be read is `Unknown`."""
    try:
        raw = _OBJECT(json.loads(text))
        kind, shape = _KINDS.get(raw.get("type"), (None, None))
        if kind is None or shape is None:
            return Unknown(_integer(raw.get("epoch")), _integer(raw.get("n")))
        given = {name: read(raw[wire]) for name, wire, read in shape if wire in raw}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Unknown()
    message: RelayMessage = kind(**given)
    return message


def write(kind: str, **fields: object) -> str:
    """A client's message; fields that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"type": kind, **given}, ensure_ascii=False, separators=(",", ":"))
