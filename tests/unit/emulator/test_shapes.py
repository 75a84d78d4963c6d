"""The table of message shapes is whole: what the SDK knows is in it, and what is in it is read and refused by it."""

import enum
import json
from typing import Any

import pytest
from google.genai import types
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from services.emulator import fields
from services.emulator.closes import RefusedError
from services.emulator.profiles import Backend
from services.emulator.shapes import ENUMS, ONEOFS, SCALARS, SHAPES, VERTEX_ONLY
from tests.support.session import snake

ROOTS = ("LiveClientMessage", "GenerateContentRequest")
GOOD = {"string": "s", "bool": True, "int": "5", "float": 0.5, "bytes": "-_-_", "any": [None], "struct": {"a_b": 1}}
BAD: dict[str, object] = {"string": 5, "bool": "yes", "int": "many", "float": "warm", "bytes": "?", "struct": 5}
NAMED = {"bool": "BOOL", "int": "INT64", "float": "DOUBLE", "bytes": "BYTES", "string": "STRING"}


def bare(kind: str) -> str:
    """A kind without its list or map."""
    return kind.strip("[]{}")


def full(shape: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """A message with every field; of a group the first, and no message within itself."""
    message: dict[str, Any] = {}
    _, alone = ONEOFS.get(shape, ("", frozenset()))
    chosen = False
    for name, kind in SHAPES[shape].items():
        if bare(kind) in (*seen, shape) or (name in alone and chosen):
            continue
        chosen = chosen or name in alone
        value = good(bare(kind), (*seen, shape))
        message[name] = [value] if kind[0] == "[" else {"a_key": value} if kind[0] == "{" else value
    return message


def good(kind: str, seen: tuple[str, ...] = ()) -> object:
    """A value of that kind."""
    if kind in SHAPES:
        return full(kind, seen)
    return min(ENUMS[kind]).lower() if kind in ENUMS else GOOD[kind]


def every_field() -> list[tuple[str, str, str]]:
    """Every message's every field, with its kind."""
    return [(shape, name, kind) for shape, known in SHAPES.items() for name, kind in known.items()]


def test_every_kind_is_known_and_every_message_is_used() -> None:
    """No field is of a kind that is nowhere, and no message or enumeration is in the table for nothing."""
    used = {bare(kind) for _, _, kind in every_field()}
    assert used <= SCALARS | SHAPES.keys() | ENUMS.keys()
    assert set(SHAPES) - used == set(ROOTS)
    assert set(ENUMS) <= used


SDK = [name for name in SHAPES if issubclass(getattr(types, name, object), BaseModel)]


@pytest.mark.parametrize("name", SDK)
def test_every_field_of_the_sdk_is_known(name: str) -> None:
    """What the installed google-genai can put into a message, the emulator takes."""
    missing = {to_camel(field) for field in getattr(types, name).model_fields} - SHAPES[name].keys()
    assert not missing


def test_most_messages_are_the_sdks() -> None:
    """The comparison above is not an empty one."""
    assert set(SHAPES) - set(SDK) == {"GenerateContentRequest"}


@pytest.mark.parametrize("name", ENUMS)
def test_every_value_of_the_sdk_is_known(name: str) -> None:
    """And every value of its enumerations, as far as they are enumerations there."""
    known: type[enum.Enum] = getattr(types, name)
    assert {value.value for value in known} <= ENUMS[name]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_full_message_is_read_in_both_casings(shape: str) -> None:
    """Every field at once, in both casings, gives the same message, and the client's own names are left alone."""
    message = full(shape)
    read = fields.read(message, shape, Backend.VERTEX)
    assert read.keys() == message.keys()
    spelled = {name: value for name, value in message.items() if '"a_b"' not in json.dumps(value)}
    assert fields.read(snake(spelled), shape, Backend.VERTEX) == {name: read[name] for name in spelled}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_unknown_name_is_refused_wherever_it_is(shape: str) -> None:
    """Every message refuses a name that it does not have, and says where it was."""
    with pytest.raises(RefusedError) as caught:
        fields.read({"bogus_field": 1}, shape, Backend.VERTEX, "setup.some_where")
    assert caught.value.close.reason == (
        "Invalid JSON payload received. Unknown name \"bogus_field\" at 'setup.some_where': Cannot find field."
    )


@pytest.mark.parametrize(("shape", "name", "kind"), every_field())
def test_a_value_of_the_wrong_kind_is_refused_wherever_it_is(shape: str, name: str, kind: str) -> None:
    """Every field refuses what is not of its kind, and names its path in snake_case."""
    if kind == "any":
        assert fields.read({name: {"any": ["thing"]}}, shape)
        return
    wrong = "a cat" if bare(kind) in ENUMS.keys() | SHAPES.keys() else BAD[bare(kind)]
    with pytest.raises(RefusedError) as caught:
        fields.read({name: {"k": wrong} if kind[0] == "{" else wrong}, shape, Backend.VERTEX, "top")
    inner = {"[": "[0]", "{": "[0].value"}.get(kind[0], "")
    named = "TYPE_" + NAMED.get(bare(kind), "ENUM") if bare(kind) in NAMED.keys() | ENUMS.keys() else "MESSAGE"
    path = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    assert caught.value.close.reason.startswith(f"Invalid value at 'top.{path}{inner}' ({named}), ")


@pytest.mark.parametrize(("shape", "name"), VERTEX_ONLY)
def test_what_only_vertex_knows(shape: str, name: str) -> None:
    """It is an unknown name on the Developer API."""
    message = {name: GOOD[SHAPES[shape][name]]}
    assert fields.read(message, shape, Backend.VERTEX) == message
    with pytest.raises(RefusedError, match="Cannot find field"):
        fields.read(message, shape, Backend.DEVELOPER)


@pytest.mark.parametrize(
    ("parameters", "where"),
    [
        ({"type": "OBJECT", "properties": {"a": {"type": "STRING", "multipleOf": 1}}}, ".properties[0].value"),
        ({"type": "ARRAY", "items": {"const": 1}}, ".items"),
        ({"anyOf": [{"type": "STRING"}, {"exclusiveMinimum": 1}]}, ".any_of[1]"),
    ],
)
def test_a_schema_with_names_of_json_schema(parameters: dict[str, Any], where: str) -> None:
    """The paths into a function's parameters are written as Google writes them."""
    declared = {"setup": {"tools": [{"functionDeclarations": [{"name": "f"}, {"parameters": parameters}]}]}}
    with pytest.raises(RefusedError) as caught:
        fields.read(declared, "LiveClientMessage")
    place = f"at 'setup.tools[0].function_declarations[1].parameters{where}': Cannot find field."
    assert caught.value.close.reason.endswith(place)


@pytest.mark.parametrize(
    ("spelled", "read"),
    [
        ({"parts": {"text": "one"}}, {"parts": [{"text": "one"}]}),
        ({"parts": []}, {"parts": []}),
        ({"parts": None}, {}),
    ],
)
def test_one_value_where_a_list_is_expected(spelled: dict[str, Any], read: dict[str, Any]) -> None:
    """Google's own examples write ``"parts": {"text": ...}``; null is absent."""
    assert fields.read(spelled, "Content") == read


@pytest.mark.parametrize(
    ("kind", "values"),
    [("topK", [(40, 40.0), ("0.5", 0.5), (1e3, 1000.0)]), ("seed", [(5, 5), ("-5", -5), (5.0, 5)])],
)
def test_numbers_in_every_spelling(kind: str, values: list[tuple[object, object]]) -> None:
    """Numbers come as numbers and as strings."""
    for spelled, number in values:
        assert fields.read({kind: spelled}, "GenerationConfig") == {kind: number}


@pytest.mark.parametrize("value", [1.5, True, "1.5", "\u0661", 10**400])
def test_numbers_that_are_none(value: object) -> None:
    """Neither fractions nor truth are whole numbers; a number that is no float is none either."""
    name = "topK" if value == 10**400 else "seed"
    with pytest.raises(RefusedError, match="Invalid value at"):
        fields.read({name: value}, "GenerationConfig")
