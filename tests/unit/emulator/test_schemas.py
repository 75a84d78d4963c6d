"""A schema gets the smallest value that it allows, whoever wrote it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.emulator import schemas

PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}}}

TREE = {"type": "object", "properties": {side: {"$ref": "#/$defs/tree"} for side in ("left", "right")}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "STRING"}, "words"),
        ({"type": "string", "enum": ["yes", "no"]}, "yes"),
        ({"type": "BOOLEAN"}, True),
        ({"type": "INTEGER"}, 1),
        ({"type": "number", "minimum": 0.5}, 0.5),
        ({"type": "null"}, None),
        ({"type": "ARRAY", "items": {"type": "BOOLEAN"}}, [True]),
        ({"type": "array"}, []),
        (PERSON, {"name": "words", "age": 18}),
        ({"properties": {"a": {"type": "boolean"}}}, {"a": True}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        (
            {"$defs": {"Person": PERSON}, "type": "array", "items": {"$ref": "#/$defs/Person"}},
            [{"name": "words", "age": 18}],
        ),
        ({"$ref": "#/$defs/nobody"}, None),
        ({"$defs": {"loop": {"$ref": "#/$defs/loop"}}, "$ref": "#/$defs/loop"}, None),
        ({"$defs": {"tree": TREE}, "$ref": "#/$defs/tree"}, {"left": None, "right": None}),
        ({}, "words"),
    ],
)
def test_the_smallest_value(schema: dict[str, Any], value: object) -> None:
    """OpenAPI's capitals or JSON's small letters, references, choices and defaults."""
    assert schemas.fill(schema, "words") == value


NAMES = st.sampled_from(["type", "properties", "items", "enum", "anyOf", "$ref", "$defs", "minimum", "object", "array"])


@given(
    schema=st.dictionaries(
        NAMES,
        st.recursive(
            st.none() | st.booleans() | st.integers() | NAMES,
            lambda part: st.lists(part, max_size=2) | st.dictionaries(NAMES, part, max_size=3),
            max_leaves=10,
        ),
    )
)
def test_nonsense_is_answered_as_well(schema: dict[str, Any]) -> None:
    """No schema, however wrong, makes it raise or run for ever."""
    schemas.fill(schema, "words")
