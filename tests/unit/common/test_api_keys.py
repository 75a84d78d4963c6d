"""API keys: what a file of them may say, whose key is whose, and that none of it shows."""

import hmac
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from services.common import api_keys
from services.common.api_keys import Keys, UnusableError
from services.common.config import Address, Environment
from services.common.grpc_access import Caller
from services.common.tls import Transport

SHOP, DESK = "filo_key-of-the-shop-1234", "filo_key-of-the-desk-5678"
ANYWHERE = {"RELAY_CONTROL_ADDRESS": Address("0.0.0.0", 7401)}  # noqa: S104 - refused, not bound
HERE = {"RELAY_CONTROL_ADDRESS": Address("127.0.0.1", 7401)}


def test_a_line_is_read_as_it_was_made() -> None:
    """Name, role and quotas; and of the key only what it cannot be made from."""
    text = f"# the shop's\n{api_keys.line('shop', SHOP, Caller.RELAY, conversations=3, creations=60)} # since May\n\n"
    (key,) = api_keys.parse(text)
    assert (key.name, key.roles, key.conversations, key.creations) == ("shop", frozenset({Caller.RELAY}), 3, 60)
    assert SHOP not in text


def test_a_key_without_more_is_a_platforms() -> None:
    """The least that may create sessions, without quotas."""
    (key,) = api_keys.parse(f"shop sha256:{api_keys.digest(SHOP).hex()}")
    assert (key.roles, key.conversations, key.creations) == (frozenset({Caller.PLATFORM}), 0, 0)


def test_a_key_may_have_several_roles() -> None:
    """As a certificate may have several names."""
    (key,) = api_keys.parse(f"shop sha256:{'0' * 64} as=platform,relay")
    assert key.roles == frozenset({Caller.PLATFORM, Caller.RELAY})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no key in it"),
        ("# nothing\n", "there is no key in it"),
        ("shop", "line 1 is not NAME"),
        (f"shop {SHOP}", "never the key itself"),
        (f"../shop sha256:{'0' * 64}", "line 1 is not NAME"),
        (f"shop sha256:{'0' * 63}", "64 hex digits"),
        (f"\nshop sha256:{'0' * 64} as=king", "line 2: only as=ROLE"),
        (f"shop sha256:{'0' * 64} as=platform,", "only as=ROLE"),
        (f"shop sha256:{'0' * 64} creations=many", "only as=ROLE"),
        (f"shop sha256:{'0' * 64}; shop sha256:{'1' * 64}", "the same name"),
        (f"shop sha256:{'0' * 64}\ndesk sha256:{'0' * 64}", "the same hash"),
    ],
)
def test_what_is_no_key_is_refused(text: str, why: str) -> None:
    """With the line, and without a word of what is in it."""
    with pytest.raises(UnusableError, match=why) as caught:
        api_keys.parse(text)
    assert SHOP not in str(caught.value)


def test_several_keys_are_good_at_once() -> None:
    """Each is found by itself alone; a key that only begins like one is nobody's."""
    keys = Keys("\n".join([api_keys.line("shop", SHOP), api_keys.line("desk", DESK)]))
    found = [keys.find(shown) for shown in (SHOP, DESK, SHOP[:-1], f"{SHOP} ", "", "é")]
    assert [key.name if key else None for key in found] == ["shop", "desk", None, None, None, None]


def test_every_key_is_compared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """However early a key fits, all are compared, each by the comparison that takes as long for any difference."""
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr("services.common.api_keys.hmac", SimpleNamespace(compare_digest=compare))
    keys = Keys("\n".join([api_keys.line("shop", SHOP), api_keys.line("desk", DESK)]))
    for shown in (SHOP, DESK, "wrong"):
        keys.find(shown)
    assert compared == [(32, 32)] * 6


def _replace(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.replace(path)


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    """A key is added before another is taken away, and no restart is needed; a broken file changes nothing."""
    path = tmp_path / "keys"
    path.write_text(api_keys.line("shop", SHOP))
    keys = Keys(path)
    steps: list[tuple[Callable[[], object], set[str]]] = [
        (lambda: _replace(path, f"{api_keys.line('shop', SHOP)}\n{api_keys.line('desk', DESK)}"), {"shop", "desk"}),
        (lambda: _replace(path, "not a key\n"), {"shop", "desk"}),
        (path.unlink, {"shop", "desk"}),
        (lambda: _replace(path, api_keys.line("desk", DESK)), {"desk"}),
    ]
    with structlog.testing.capture_logs() as logged:
        for change, good in steps:
            change()
            assert {key.name for shown in (SHOP, DESK) if (key := keys.find(shown))} == good
    assert [entry["log_level"] for entry in logged] == ["info", "error", "error", "info"]
    assert SHOP not in str(logged)
    assert DESK not in str(logged)


@pytest.mark.parametrize(
    ("metadata", "shown"),
    [
        ((("authorization", f"Bearer {SHOP}"),), SHOP),
        ((("authorization", f"bearer {SHOP}"),), SHOP),
        ((("x-api-key", SHOP),), SHOP),
        ((("authorization", f"Basic {SHOP}"),), None),
        ((("authorization", SHOP),), None),
        ((("x-other", SHOP), ("x-bin", b"1")), None),
        (None, None),
    ],
)
def test_where_a_key_is_shown(metadata: tuple[tuple[str, str | bytes], ...] | None, shown: str | None) -> None:
    """As a bearer token, or by a header of its own."""
    assert api_keys.presented(metadata) == shown


def test_a_new_key_is_like_no_other() -> None:
    """Random, and long enough that a plain hash keeps it."""
    made = {api_keys.mint() for _ in range(100)}
    assert len(made) == 100
    assert all(len(key) == len("filo_") + 43 for key in made)


def problems(values: dict[str, str], sockets: dict[str, Address], transport: Transport = Transport()) -> list[str]:  # noqa: B008 - frozen
    """What is wrong with these settings."""
    env = Environment(values)
    api_keys.read(env, transport, sockets)
    return env.problems


def test_without_keys_and_certificates_only_this_machine_is_served(tmp_path: Path) -> None:
    """An open port is refused with what to do about it; plaintext on purpose does not open it."""
    (problem,) = problems({"FILO_ALLOW_PLAINTEXT": "true"}, ANYWHERE)
    assert problem.startswith("FILO_RELAY_CONTROL_ADDRESS: 0.0.0.0:7401 is not on this machine alone")
    assert "FILO_API_KEYS" in problem
    assert problems({}, HERE) == []
    assert problems({"FILO_API_KEYS": api_keys.line("shop", SHOP)}, ANYWHERE) == []
    assert problems({}, ANYWHERE, Transport(tmp_path, tmp_path, tmp_path)) == []


def test_keys_that_cannot_be_used_are_told_at_the_start(tmp_path: Path) -> None:
    """A missing file, and one that holds a key instead of its hash; the key is not repeated."""
    (missing,) = problems({"FILO_API_KEYS": str(tmp_path / "keys")}, ANYWHERE)
    assert "no such file" in missing
    (tmp_path / "keys").write_text(f"shop {SHOP}")
    (bare,) = problems({"FILO_API_KEYS": str(tmp_path / "keys")}, ANYWHERE)
    assert "never the key itself" in bare
    assert SHOP not in bare


def test_nothing_of_a_key_shows() -> None:
    """Not in the text of what holds it."""
    (key,) = api_keys.parse(api_keys.line("shop", SHOP))
    shown = f"{key!r} {Transport(api_key=SHOP)!r} {api_keys.Access(api_keys.line('shop', SHOP))!r}"
    assert SHOP not in shown
    assert api_keys.digest(SHOP).hex() not in shown
