"""The settings of TLS, and what is said about files that cannot be used."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import structlog

from services.common import tls
from services.common.config import Address, Environment
from services.common.tls import Material, Transport, UnusableError
from tests.support.certificates import Authority, environ

HERE = {"HANDLES_ADDRESS": Address("127.0.0.1", 7402)}
EVERYWHERE = {"HANDLES_ADDRESS": Address("0.0.0.0", 7402)}  # noqa: S104 - nothing listens


def problems(values: Mapping[str, str], sockets: Mapping[str, Address] = HERE) -> list[str]:
    """The names of the variables that cannot be used."""
    env = Environment(values)
    tls.read(env, "handles", sockets)
    return [problem.partition(":")[0] for problem in env.problems]


@pytest.fixture(name="issued")
def _issued(tmp_path: Path) -> Transport:
    return Authority().issue(tmp_path, "handles")


def test_no_setting_is_no_tls_on_this_machine() -> None:
    """Nothing needs to be set on one machine."""
    assert problems({}) == []
    assert tls.read(Environment({}), "handles", HERE) == Transport()
    assert not Transport().encrypted


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "handles.example"])  # noqa: S104 - nothing listens
def test_other_machines_are_not_spoken_to_in_the_clear(host: str) -> None:
    """Neither listened to nor dialled, unless it is allowed in so many words."""
    sockets = {"HANDLES_ADDRESS": Address(host, 1), "RELAY_CONTROL_ADDRESS": Address("localhost", 2)}
    assert problems({}, sockets) == ["FILO_HANDLES_ADDRESS"]
    assert problems({"FILO_ALLOW_PLAINTEXT": "yes"}, sockets) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_this_machine(host: str) -> None:
    """All of 127/8, and its IPv6 and spelled forms."""
    assert tls.loopback(host)


def test_the_files_are_read(issued: Transport) -> None:
    """Three good files are TLS, wherever it listens."""
    assert problems(environ(issued), EVERYWHERE) == []
    assert tls.read(Environment(environ(issued)), "handles", EVERYWHERE) == issued
    assert issued.encrypted


@pytest.mark.parametrize("given", [("CERT",), ("KEY",), ("CA",), ("CERT", "KEY"), ("KEY", "CA")])
def test_the_files_go_together(issued: Transport, given: tuple[str, ...]) -> None:
    """Half a setting is a mistake, never silently no TLS; each missing one is named."""
    values = {name: path for name, path in environ(issued).items() if name.removeprefix("FILO_TLS_") in given}
    assert set(problems(values, EVERYWHERE)) == environ(issued).keys() - values.keys()


def test_a_certificate_of_another_service_is_refused(issued: Transport) -> None:
    """It would be found out by the first caller otherwise."""
    env = Environment(environ(issued))
    tls.read(env, "relay", {})
    assert env.problems == ["FILO_TLS_CERT: this certificate is not relay's; issue it with the DNS name relay"]


def test_a_certificate_without_names_is_nobodys(tmp_path: Path) -> None:
    """A common name is not enough for who serves: clients no longer look at it."""
    assert problems(environ(Authority().issue(tmp_path, common_name="handles"))) == ["FILO_TLS_CERT"]


@pytest.mark.parametrize("setting", ["FILO_TLS_CERT", "FILO_TLS_KEY", "FILO_TLS_CA"])
def test_a_file_that_cannot_be_used_is_named_and_not_shown(issued: Transport, setting: str) -> None:
    """Garbage and nothing at all."""
    file = Path(environ(issued)[setting])
    file.write_bytes(b"the content is secret")
    env = Environment(environ(issued))
    tls.read(env, "handles", HERE)
    assert [problem.partition(":")[0] for problem in env.problems] == [setting]
    assert "secret" not in env.problems[0]
    file.unlink()
    assert problems(environ(issued)) == [setting]


def test_a_key_must_be_the_certificate_s_own_and_private(issued: Transport, tmp_path: Path) -> None:
    """A wrong pair, and a key that everybody may read."""
    assert issued.key is not None
    issued.key.chmod(0o644)
    assert problems(environ(issued)) == ["FILO_TLS_KEY"]
    other = Authority().issue(tmp_path / "other", "handles").key
    assert other is not None
    with pytest.raises(UnusableError, match="does not belong"):
        tls.load(Transport(issued.certificate, other, issued.authority))


def test_changed_files_are_seen_and_bad_ones_leave_the_old_in_force(tmp_path: Path) -> None:
    """A renewal is taken at the next look; a half-written one is told once, and waited out."""
    authority = Authority()
    transport = authority.issue(tmp_path, "handles")
    material = Material(transport)
    first = material.current()
    assert material.current() is first
    authority.issue(tmp_path, "handles")
    second = material.current()
    assert second != first
    assert transport.certificate is not None
    transport.certificate.write_bytes(second.certificate[:100])
    with structlog.testing.capture_logs() as logged:
        assert material.current() is second
        assert material.current() is second
    assert [entry["log_level"] for entry in logged] == ["error"]
    authority.issue(tmp_path, "handles")
    assert material.current() not in (first, second)


def test_secrets_are_not_shown(issued: Transport) -> None:
    """Not by accident either."""
    assert "PRIVATE" not in repr(tls.load(issued))


def test_a_caller_is_who_its_certificate_says() -> None:
    """DNS names of the alternative ones; a common name only where there are none; in the clear nobody is anybody."""
    cn = {"x509_common_name": [b"operator"]}
    dns = {"x509_subject_alternative_name": [b"relay", b"r.example", b"e@mail"], "peer_dns": [b"relay", b"r.example"]}
    uri = {"x509_subject_alternative_name": [b"relay"], "peer_uri": [b"relay"]}
    assert tls.names({**dns, **cn}) == {"relay", "r.example"}
    assert tls.names({**uri, **cn}) == frozenset()
    assert tls.names(cn) == {"operator"}
    assert tls.names({"transport_security_type": [b"ssl"]}) == frozenset()
