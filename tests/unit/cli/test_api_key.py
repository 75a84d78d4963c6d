"""`filo api-key` makes a key that its line lets in."""

import pytest

from services.cli import api_key, options
from services.common.api_keys import Keys
from services.common.grpc_access import Caller


def test_the_line_is_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed for the caller and what is printed for the service belong together."""
    assert api_key.run("shop", "operator", 3, 0) == 0
    _, key, _, line = capsys.readouterr().out.splitlines()
    found = Keys(line.strip()).find(key.strip())
    assert found is not None
    assert (found.name, found.roles, found.conversations, found.creations) == (
        "shop",
        frozenset({Caller.OPERATOR}),
        3,
        0,
    )
    assert key.strip() not in line


def test_a_name_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is made for it."""
    assert api_key.run("two words", "platform", 0, 0) == 2
    assert "sha256" not in capsys.readouterr().out


def test_the_roles_are_the_callers() -> None:
    """The command offers each role that a service knows, and no other."""
    assert {role.value for role in options.Role} == {caller.value for caller in Caller}
