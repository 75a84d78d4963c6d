"""The client knows every message of the protocol page: the page's own examples are read from it."""

import json
import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from filo.client import messages, wire

PAGE = Path(__file__).parents[3] / "docs" / "client-protocol.md"
EXAMPLES = re.findall(r'^(\{"type": .*\})$', PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def plain(value: object) -> object:
    """A field's value as JSON has it."""
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return asdict(value) if isinstance(value, messages.Call) else value


def test_the_page_has_examples() -> None:
    """The page is found and shows the relay's messages."""
    assert len(EXAMPLES) >= 15


@pytest.mark.parametrize("example", EXAMPLES, ids=[json.loads(example)["type"] for example in EXAMPLES])
def test_every_example_of_the_page_is_understood(example: str) -> None:
    """Each is of a known type, keeps its number, and no field that the client reads is spelt differently there."""
    message = wire.parse(example)
    assert not isinstance(message, messages.Unknown)
    shown = json.loads(example)
    assert (message.epoch, message.n) == (shown["epoch"], shown["n"])
    read = {wire.wire_name(part.name): plain(getattr(message, part.name)) for part in fields(message)}
    assert {name: value for name, value in read.items() if name in shown} == {
        name: value for name, value in shown.items() if name in read
    }
    assert set(read) <= set(shown) | {"rotation", "continuity"}


def test_a_newer_relay_does_not_break_an_older_client() -> None:
    """An unknown field is passed over, an unknown type keeps its place in the numbering."""
    assert wire.parse('{"type":"pong","epoch":1,"n":3,"new":true}') == messages.Pong(epoch=1, n=3)
    assert wire.parse('{"type":"tomorrow","epoch":1,"n":4}') == messages.Unknown(epoch=1, n=4)
    assert wire.parse("not json") == messages.Unknown()
