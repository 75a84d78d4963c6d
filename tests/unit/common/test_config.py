"""Reading the environment: what is taken, what is refused, and that everything wrong is told at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.config import Address, ConfigError, Environment, parse_address, parse_duration


def env(**values: str) -> Environment:
    """An environment in which these FILO_ variables are set."""
    return Environment({f"FILO_{name}": value for name, value in values.items()})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7400", Address("127.0.0.1", 7400)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: Address) -> None:
    """What is read is written the same way, with brackets around an IPv6 host."""
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:-1", "host:65536", "host:http", "host:1.5"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """The sentence shows what was given and what is wanted."""
    with pytest.raises(ValueError, match="is not HOST:PORT") as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10), ("1.5 s", 1.5), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("7", 7), (" 7s ", 7)],
)
def test_a_duration_is_read_in_its_unit(text: str, seconds: float) -> None:
    """The result is in seconds; a bare number is seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "10 seconds", "1h30m", "1e3", "inf", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The sentence has examples."""
    with pytest.raises(ValueError, match="such as 250ms"):
        parse_duration(text)


@given(st.floats(min_value=0, max_value=1e6))
def test_every_plain_number_of_seconds_is_a_duration(value: float) -> None:
    """What is written in seconds is read as it was."""
    assert parse_duration(f"{value:.6f}s") == pytest.approx(value, abs=1e-6)


def test_values_are_read_by_their_kind() -> None:
    """Each reader gives its own type."""
    given = env(T="x", P="~/y", F="yes", I="3", N="0.5", D="2m", A="h:1", C="b", SECRET="k")
    assert given.text("T", "d") == "x"
    assert given.path("P", Path("d")) == Path.home() / "y"
    assert given.flag("F", default=False) is True
    assert given.integer("I", 0) == 3
    assert given.number("N", 0) == 0.5
    assert given.duration("D", 0) == 120
    assert given.address("A", Address("d", 0)) == Address("h", 1)
    assert given.choice("C", "a", ("a", "b")) == "b"
    assert given.secret("SECRET") == "k"
    given.check()


def test_what_is_not_set_or_empty_is_the_default() -> None:
    """An empty variable is as good as none."""
    for nothing in (env(), env(T="", P="", F="", I="", N="", D="", A="", C="", SECRET="")):
        assert nothing.text("T", "d") == "d"
        assert nothing.path("P", Path("d")) == Path("d")
        assert nothing.flag("F", default=True) is True
        assert nothing.integer("I", 7) == 7
        assert nothing.number("N", 7.5) == 7.5
        assert nothing.duration("D", 9) == 9
        assert nothing.address("A", Address("d", 0)) == Address("d", 0)
        assert nothing.choice("C", "a", ("a", "b")) == "a"
        assert nothing.secret("SECRET") is None
        nothing.check()


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Every bad value leaves the default in place and one sentence with the variable's name."""
    wrong = env(F="maybe", I="x", LOW="-1", N="y", HIGH="9", D="soon", LONG="2h", A="nowhere", C="z")
    assert wrong.flag("F", default=False) is False
    assert wrong.integer("I", 1) == 1
    assert wrong.integer("LOW", 1) == 1
    assert wrong.number("N", 1) == 1
    assert wrong.number("HIGH", 1, high=8) == 1
    assert wrong.duration("D", 1) == 1
    assert wrong.duration("LONG", 1, high=3600) == 1
    assert wrong.address("A", Address("d", 0)) == Address("d", 0)
    assert wrong.choice("C", "a", ("a", "b")) == "a"
    with pytest.raises(ConfigError) as caught:
        wrong.check()
    names = [problem.partition(":")[0] for problem in caught.value.problems]
    assert names == [f"FILO_{name}" for name in ("F", "I", "LOW", "N", "HIGH", "D", "LONG", "A", "C")]


@pytest.mark.parametrize(("value", "fits"), [("1", True), ("5", True), ("0", False), ("6", False)])
def test_bounds_are_included(value: str, *, fits: bool) -> None:
    """The least and the most allowed value are allowed."""
    given = env(I=value)
    given.integer("I", 3, low=1, high=5)
    assert (given.problems == []) is fits
