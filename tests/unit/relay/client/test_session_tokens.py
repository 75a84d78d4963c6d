"""Session tokens: what is signed is read, and nothing else is."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Reason, ServiceError
from services.common.lifecycle import StartupError
from services.relay.client.session_tokens import Claims, SessionTokens, load
from tests.support.clock import ManualClock

KEY, OTHER = "k" * 43, "o" * 43
CLAIMS = Claims("conversations/7d", "assistant", "user-1")
LIFETIME = 3600.0


def tokens(clock: ManualClock, *, newest: str = "k1", **keys: str) -> SessionTokens:
    """With one key, unless more are named."""
    return SessionTokens(keys or {"k1": KEY}, newest, LIFETIME, clock)


@pytest.fixture(name="clock")
def a_clock() -> ManualClock:
    """A clock that stands."""
    return ManualClock()


def payload(clock: ManualClock, **changes: object) -> dict[str, Any]:
    """What a good token holds, with changes; None takes something out."""
    now = clock.now().timestamp()
    good = {"iss": "filo", "sub": "conversations/7d", "mode": "assistant", "iat": int(now), "exp": int(now) + 3600}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def refused(signer: SessionTokens, token: str | None) -> None:
    """All bad tokens are refused alike."""
    with pytest.raises(ServiceError) as caught:
        signer.verify(token)
    assert caught.value.reason is Reason.TOKEN_INVALID
    assert caught.value.meaning.close == 4401
    assert caught.value.detail == "the session token is missing, forged or expired; create a session and use its token"


@pytest.mark.parametrize("claims", [CLAIMS, Claims("conversations/8e", "sales_agent")])
def test_round_trip(clock: ManualClock, claims: Claims) -> None:
    """What was signed is what is read."""
    token, expires = tokens(clock).sign(claims)
    assert tokens(clock).verify(token) == claims
    assert (expires - clock.now()).total_seconds() == LIFETIME


def test_expiry_by_the_injected_clock(clock: ManualClock) -> None:
    """Good until its moment, not at it."""
    signer = tokens(clock)
    token, _ = signer.sign(CLAIMS)
    clock.advance(LIFETIME - 1)
    assert signer.verify(token) == CLAIMS
    clock.advance(1)
    refused(signer, token)


def test_a_clock_that_is_set_back_refuses_nobody(clock: ManualClock) -> None:
    """A token from a relay whose clock is ahead is good: skew must not cut a client off."""
    signer = tokens(clock)
    token, _ = signer.sign(CLAIMS)
    clock.turn_back(300)
    assert signer.verify(token) == CLAIMS


def test_every_key_verifies_and_the_newest_signs(clock: ManualClock) -> None:
    """A key can be replaced without a token becoming invalid before its time."""
    old, _ = tokens(clock).sign(CLAIMS)
    both = tokens(clock, newest="k2", k1=KEY, k2=OTHER)
    new, _ = both.sign(CLAIMS)
    assert both.verify(old) == both.verify(new) == CLAIMS
    assert jwt.get_unverified_header(new)["kid"] == "k2"
    refused(tokens(clock, newest="k2", k2=OTHER), old)


@pytest.mark.parametrize("token", [None, "", ".", "..", "a.b.c", "é", "\udcff", "eyJhbGciOiJIUzI1NiJ9", "x" * 10_000])
def test_what_is_no_token(clock: ManualClock, token: str | None) -> None:
    """Whatever the bytes, it is a refusal and no internal error."""
    refused(tokens(clock), token)


@given(st.text())
def test_any_text_is_refused(token: str) -> None:
    """Nobody guesses a token."""
    refused(tokens(ManualClock()), token)


def test_another_key_under_a_known_name(clock: ManualClock) -> None:
    """A name is not a key."""
    refused(tokens(clock), jwt.encode(payload(clock), OTHER, "HS256", {"kid": "k1"}))


@pytest.mark.parametrize("header", [{"kid": "k9"}, {}, {"kid": "None"}])
def test_a_key_that_is_not_known(clock: ManualClock, header: dict[str, Any]) -> None:
    """Without a known name nothing is tried."""
    refused(tokens(clock), jwt.encode(payload(clock), KEY, "HS256", header))


def test_a_key_name_that_is_no_text(clock: ManualClock) -> None:
    """JSON may hold anything."""
    head, _, rest = jwt.encode(payload(clock), KEY, "HS256", {"kid": "k1"}).partition(".")
    assert head
    forged = jwt.utils.base64url_encode(json.dumps({"alg": "HS256", "kid": {"a": 1}}).encode()).decode()
    refused(tokens(clock), f"{forged}.{rest}")


def test_no_algorithm(clock: ManualClock) -> None:
    """An unsigned token is no token."""
    refused(tokens(clock), jwt.encode(payload(clock), "", "none", {"kid": "k1"}))


def test_another_algorithm(clock: ManualClock) -> None:
    """Only the one that Filo signs with, even with the right key."""
    refused(tokens(clock), jwt.encode(payload(clock), KEY + KEY, "HS512", {"kid": "k1"}))


def test_changed_claims(clock: ManualClock) -> None:
    """The signature is over what it says."""
    token, _ = tokens(clock).sign(CLAIMS)
    head, _, signature = token.split(".")
    body = jwt.utils.base64url_encode(json.dumps(payload(clock, sub="conversations/other")).encode()).decode()
    refused(tokens(clock), f"{head}.{body}.{signature}")


@pytest.mark.parametrize("change", [{"iss": "other"}, {"iss": None}, {"sub": None}, {"mode": None}, {"exp": None}])
def test_claims_that_are_missing_or_wrong(clock: ManualClock, change: dict[str, Any]) -> None:
    """Signed by the right key, for something else."""
    refused(tokens(clock), jwt.encode(payload(clock, **change), KEY, "HS256", {"kid": "k1"}))


@pytest.mark.parametrize("change", [{"exp": "soon"}, {"exp": [1]}, {"sub": 7}])
def test_claims_of_another_kind(clock: ManualClock, change: dict[str, Any]) -> None:
    """A refusal, no internal error."""
    token = jwt.api_jws.encode(json.dumps(payload(clock, **change)).encode(), KEY, "HS256", {"kid": "k1"})
    refused(tokens(clock), token)


# The key ring.


def test_a_ring_is_made_once(tmp_path: Path, clock: ManualClock) -> None:
    """With mode 0600, in a folder that need not be there, and read by the next relay."""
    path = tmp_path / "deep" / "session.key"
    token, _ = load(path, LIFETIME, clock).sign(CLAIMS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(path, LIFETIME, clock).verify(token) == CLAIMS
    assert list(path.parent.iterdir()) == [path]


def test_two_relays_start_at_once(tmp_path: Path, clock: ManualClock) -> None:
    """One ring stays, whoever made it; every relay reads that one, and nothing is left lying about."""
    path = tmp_path / "session.key"
    with ThreadPoolExecutor(16) as pool:
        rings = list(pool.map(lambda _: load(path, LIFETIME, clock), range(32)))
    token, _ = rings[0].sign(CLAIMS)
    assert all(ring.verify(token) == CLAIMS for ring in rings)
    assert list(tmp_path.iterdir()) == [path]


def test_a_mounted_ring_may_be_readable_by_its_group(tmp_path: Path, clock: ManualClock) -> None:
    """As Kubernetes mounts a secret with `fsGroup`: nobody may write it."""
    path = tmp_path / "session.key"
    token, _ = load(path, LIFETIME, clock).sign(CLAIMS)
    path.chmod(0o440)
    assert load(path, LIFETIME, clock).verify(token) == CLAIMS


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_others_may_read_it(tmp_path: Path, clock: ManualClock, mode: int) -> None:
    """Then it is no secret; the message says what to do."""
    path = tmp_path / "session.key"
    load(path, LIFETIME, clock)
    path.chmod(mode)
    with pytest.raises(StartupError, match="chmod 600"):
        load(path, LIFETIME, clock)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"sesame",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"newest": "k1"}',
        b'{"newest": "k1", "keys": []}',
        b'{"newest": "k1", "keys": ["k1"]}',
        b'{"newest": "k2", "keys": {"k1": "%s"}}' % KEY.encode(),
        b'{"newest": ["k1"], "keys": {"k1": "%s"}}' % KEY.encode(),
        b'{"newest": "k1", "keys": {"k1": "short"}}',
        b'{"newest": "k1", "keys": {"k1": 7}}',
    ],
)
def test_what_is_no_ring(tmp_path: Path, clock: ManualClock, content: bytes) -> None:
    """It is not replaced by a new one, which would make every token invalid: a person decides."""
    path = tmp_path / "session.key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(StartupError, match="is not a session key ring") as caught:
        load(path, LIFETIME, clock)
    assert "sesame" not in str(caught.value).removeprefix(str(path))
    assert path.read_bytes() == content


def test_a_place_where_no_ring_can_be(tmp_path: Path, clock: ManualClock) -> None:
    """One clear line."""
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="cannot read the session keys"):
        load(tmp_path / "file" / "session.key", LIFETIME, clock)
    with pytest.raises(StartupError):
        load(tmp_path, LIFETIME, clock)
