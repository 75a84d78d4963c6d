"""An authority of the tests, and the certificates it gives out."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.common.tls import Transport

_PEM: Final = serialization.Encoding.PEM
_DAY: Final = timedelta(days=1)


class Authority:
    """A certificate authority in memory.

    Args:
        name: Its own.
    """

    def __init__(self, name: str = "Filo tests") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(
        self, directory: Path, *names: str | x509.GeneralName, common_name: str = "", expired: bool = False
    ) -> Transport:
        """Write a certificate, its key and the authority into `directory`, over what is there.

        Args:
            directory: Made when missing.
            names: DNS names, or names of another kind; none at all gives a certificate without alternative names.
            common_name: The subject.
            expired: It ended yesterday.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or "somebody")])
        builder = _builder(subject, self._name, key, ends=-_DAY if expired else _DAY)
        if names:
            builder = builder.add_extension(_alternatives(names), critical=False)
        directory.mkdir(parents=True, exist_ok=True)
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        transport = Transport(directory / "tls.crt", directory / "tls.key", directory / "ca.crt")
        _write(directory / "tls.key", private)
        _write(directory / "tls.crt", builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM))
        _write(directory / "ca.crt", self.certificate.public_bytes(_PEM))
        return transport


def environ(transport: Transport) -> dict[str, str]:
    """The settings that name these files."""
    files = {"CERT": transport.certificate, "KEY": transport.key, "CA": transport.authority}
    return {f"FILO_TLS_{name}": str(path) for name, path in files.items()}


def _write(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)


def _alternatives(names: Sequence[str | x509.GeneralName]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(name) if isinstance(name, str) else name for name in names])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, ends: timedelta = _DAY
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(now + ends)
    )
