"""An answer in JSON: the smallest value that a schema allows, OpenAPI's or JSON's.

True, the first of an enumeration, the least number, one item, every property, and the agent's words for free text. So a
judge always finds in favour, and the same request gets the same answer.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

_DEPTH: Final = 20
"""How deep a schema is followed; below is null."""
_CHOICES: Final = ("anyOf", "any_of", "oneOf")

Schema = Mapping[str, Any]


def fill(schema: Schema, words: str) -> object:
    """The smallest value that `schema` allows; `words` where text is free, null where it is unclear or never ends."""
    definitions = schema.get("$defs")
    return _fill(schema, words, definitions if isinstance(definitions, dict) else {}, ())


def _fill(schema: object, words: str, definitions: Schema, path: tuple[str, ...]) -> object:
    """Fill the schema at the end of a path of references and steps inwards."""
    if not isinstance(schema, dict) or len(path) > _DEPTH:
        return None

    def inner(part: object, reference: str = "") -> object:
        return _fill(part, words, definitions, (*path, reference))

    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return None if name in path else inner(definitions.get(name), name)
    for name in _CHOICES:
        if isinstance(schema.get(name), list) and schema[name]:
            return inner(schema[name][0])
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    kind = str(schema.get("type", "object" if "properties" in schema else "string")).lower()
    return _OF_TYPE[kind](schema, inner) if kind in _OF_TYPE else words


def _object(schema: Schema, inner: Callable[[object], object]) -> object:
    properties = schema.get("properties")
    return {name: inner(part) for name, part in properties.items()} if isinstance(properties, dict) else {}


def _array(schema: Schema, inner: Callable[[object], object]) -> object:
    return [inner(schema["items"])] if isinstance(schema.get("items"), dict) else []


def _number(schema: Schema, _: Callable[[object], object]) -> object:
    return schema.get("minimum", 1)


_OF_TYPE: Final[Mapping[str, Callable[[Schema, Callable[[object], object]], object]]] = {
    "object": _object,
    "array": _array,
    "integer": _number,
    "number": _number,
    "boolean": lambda *_: True,
    "null": lambda *_: None,
}
