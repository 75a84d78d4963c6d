"""A client's JSON, read by the table of `shapes` as Google's JSON parser reads it.

Lenient: both casings of every name, null for absent, numbers as strings, both alphabets of base64 with or without
padding (the proto3 JSON mapping); enumerations in either case, and one value where a list is expected, as Google's own
examples have it [DOC]. Strict: an unknown name, a value of the wrong kind, two fields of one group end the connection
with Google's sentence [OBS].
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from services.emulator import closes
from services.emulator.closes import RefusedError
from services.emulator.profiles import Backend
from services.emulator.shapes import ENUMS, ONEOFS, SHAPES, VERTEX_ONLY

Message = Mapping[str, Any]
"""A message that was read: its fields by camelCase name, those that are null left out, every value of its own kind."""

_STANDARD_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")
_INTEGER: Final = re.compile(r"-?\d{1,19}", re.ASCII)
_SHOWN: Final = 20
"""How much of a bad value of bytes a reason shows."""


def read(value: object, shape: str, backend: Backend = Backend.DEVELOPER, path: str = "") -> Message:
    """Read a message.

    Args:
        value: What stands where the message should be.
        shape: The message's name in `SHAPES`.
        backend: Who reads it.
        path: Where it stands, as Google writes it; empty at the top.

    Raises:
        RefusedError: It is no such message; holds the close that says so.
    """
    if not isinstance(value, dict):
        raise RefusedError(closes.invalid_value(path, "MESSAGE", value))
    known = SHAPES[shape]
    group, alone = ONEOFS.get(shape, ("", frozenset()))
    message: dict[str, Any] = {}
    chosen = False
    for spelled, item in value.items():
        if item is None:
            continue
        name = _camel(spelled)
        if name not in known or ((shape, name) in VERTEX_ONLY and backend is not Backend.VERTEX):
            raise RefusedError(closes.unknown_name(spelled, path))
        if name in alone and chosen:
            raise RefusedError(closes.already_set(path, group, name))
        chosen = chosen or name in alone
        message[name] = _value(item, known[name], backend, f"{path}.{_snake(name)}" if path else _snake(name))
    return message


def _value(value: object, kind: str, backend: Backend, path: str) -> object:
    if kind[0] == "[":
        listed = value if isinstance(value, list) else [value]
        return [_value(item, kind[1:-1], backend, f"{path}[{index}]") for index, item in enumerate(listed)]
    if isinstance(value, list) and kind != "any":
        at, _, name = path.rpartition(".")
        raise RefusedError(closes.not_repeated(name, at))
    if kind[0] == "{":
        entries = enumerate(_struct(value, path).items())
        return {key: _value(item, kind[1:-1], backend, f"{path}[{index}].value") for index, (key, item) in entries}
    if kind in ENUMS:
        return _enum(value, ENUMS[kind], path)
    scalar = _SCALARS.get(kind)
    return read(value, kind, backend, path) if scalar is None else scalar(value, path)


def _string(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise RefusedError(closes.invalid_value(path, "TYPE_STRING", value))
    return value


def _bool(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise RefusedError(closes.invalid_value(path, "TYPE_BOOL", value))
    return value


def _int(value: object, path: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise RefusedError(closes.invalid_value(path, "TYPE_INT64", value))


def _float(value: object, path: str) -> float:
    try:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value if number else _string(value, path))  # type: ignore[arg-type] # a number or a string
    except (RefusedError, ValueError, OverflowError) as error:
        raise RefusedError(closes.invalid_value(path, "TYPE_DOUBLE", value)) from error


def _bytes(value: object, path: str) -> bytes:
    text = _string(value, path)
    try:
        encoded = text.encode("ascii").translate(_STANDARD_ALPHABET).rstrip(b"=")
        return base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise RefusedError(closes.invalid_value(path, "TYPE_BYTES", text[:_SHOWN])) from error


def _struct(value: object, path: str) -> dict[str, Any]:
    """An object of the client's own: its names are left as they are."""
    if not isinstance(value, dict):
        raise RefusedError(closes.invalid_value(path, "MESSAGE", value))
    return value


def _enum(value: object, values: frozenset[str], path: str) -> str:
    """One of an enumeration's values; empty for the unspecified one, and for a number, which says nothing here."""
    if isinstance(value, int) and not isinstance(value, bool):
        return ""
    if not isinstance(value, str) or value.upper() not in values:
        raise RefusedError(closes.invalid_value(path, "TYPE_ENUM", value))
    return "" if value.upper().endswith("UNSPECIFIED") else value.upper()


_SCALARS: Final[Mapping[str, Callable[[object, str], object]]] = {
    "string": _string,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "bytes": _bytes,
    "any": lambda value, _: value,
    "struct": _struct,
}


@lru_cache(maxsize=1024)
def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


@lru_cache(maxsize=1024)
def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", name)
