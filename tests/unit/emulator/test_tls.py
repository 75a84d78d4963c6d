"""The emulator's certificate: its own CA, for this server alone, kept over restarts while it holds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from services.emulator import tls

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_a_certificate_is_made_and_kept(tmp_path: Path) -> None:
    """The second start uses the first one's files; the private key is for the owner alone."""
    tls.server_context(tmp_path / "new", "127.0.0.1", NOW)
    files = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    assert files.keys() == {tls.CA_FILE, tls.SERVER_FILE}
    assert (tmp_path / "new" / tls.SERVER_FILE).stat().st_mode & 0o777 == 0o600
    tls.server_context(tmp_path / "new", "localhost", NOW + timedelta(days=300))
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == files


def test_the_authoritys_key_is_forgotten(tmp_path: Path) -> None:
    """What is written can serve, and can sign nothing: the one key is the server's."""
    tls.server_context(tmp_path, "127.0.0.1", NOW)
    assert b"PRIVATE KEY" not in (tmp_path / tls.CA_FILE).read_bytes()
    server = x509.load_pem_x509_certificate((tmp_path / tls.SERVER_FILE).read_bytes())
    assert server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_a_stale_or_broken_certificate_is_replaced(tmp_path: Path) -> None:
    """Near its end, for another name, or unreadable: a new pair is made."""
    tls.server_context(tmp_path, "127.0.0.1", NOW)
    first = (tmp_path / tls.CA_FILE).read_bytes()
    tls.server_context(tmp_path, "127.0.0.1", NOW + timedelta(days=359))
    second = (tmp_path / tls.CA_FILE).read_bytes()
    tls.server_context(tmp_path, "emulator.example", NOW + timedelta(days=359))
    third = (tmp_path / tls.CA_FILE).read_bytes()
    (tmp_path / tls.CA_FILE).write_bytes(first)
    tls.server_context(tmp_path, "emulator.example", NOW + timedelta(days=359))
    (tmp_path / tls.SERVER_FILE).write_text("rubbish")
    tls.server_context(tmp_path, "emulator.example", NOW + timedelta(days=359))
    assert len({first, second, third, (tmp_path / tls.CA_FILE).read_bytes()}) == 4
