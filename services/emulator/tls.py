"""The emulator's own certificate authority, since google-genai speaks nothing but ``wss``.

At the first start a CA and a server certificate are made; the CA's private key is forgotten at once and never written,
so whoever trusts the CA trusts this server and nothing else. The certificate is used again at the next start, as long
as it holds: a client that trusts it need not notice that the emulator was restarted.
"""

import ipaddress
import os
import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_FILE: Final = "emulator-ca.pem"
SERVER_FILE: Final = "emulator-server.pem"
LIFETIME: Final = timedelta(days=365)
_RENEW_BEFORE: Final = timedelta(days=7)
_CLOCK_SKEW: Final = timedelta(hours=1)


def server_context(directory: Path, host: str, now: datetime) -> ssl.SSLContext:
    """The TLS context of the server, from the certificate in `directory`, which is made if it is missing or stale.

    Args:
        directory: Where ``emulator-ca.pem`` (for clients) and ``emulator-server.pem`` (0600) are; made if missing.
        host: Where the server listens, beside the names of loopback.
        now: The present, UTC.

    Raises:
        OSError: The directory or the files cannot be read or written.
    """
    names = sorted({"localhost", "127.0.0.1", "::1", host})
    directory.mkdir(parents=True, exist_ok=True)
    if not _holds(directory, names, now):
        _make(directory, names, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / SERVER_FILE)
    return context


def client_context(directory: Path) -> ssl.SSLContext:
    """A TLS context that trusts the emulator with this data directory, and nobody else."""
    return ssl.create_default_context(cafile=directory / CA_FILE)


def _holds(directory: Path, names: Sequence[str], now: datetime) -> bool:
    """Whether both files are there, belong together, and are good for `names` for a while."""
    try:
        ca = x509.load_pem_x509_certificate((directory / CA_FILE).read_bytes())
        server = x509.load_pem_x509_certificate((directory / SERVER_FILE).read_bytes())
        server.verify_directly_issued_by(ca)
        alternatives = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001 - whatever is wrong with them, new ones are made
        return False
    good_for = {str(name.value) for name in alternatives}
    return good_for.issuperset(names) and now + _RENEW_BEFORE < min(ca.not_valid_after_utc, server.not_valid_after_utc)


def _make(directory: Path, names: Sequence[str], now: datetime) -> None:
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Filo emulator CA")])
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Filo emulator")])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    ca = (
        _builder(ca_name, ca_name, ca_key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    server = (
        _builder(server_name, ca_name, server_key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(authority, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(directory / CA_FILE, ca.public_bytes(pem), 0o644)
    _write(directory / SERVER_FILE, server.public_bytes(pem) + key, 0o600)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file in one step, never readable by more than `mode` allows."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    draft.replace(path)
