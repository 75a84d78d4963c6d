"""How services speak to each other: by mutual TLS from files, or in the clear where nobody else listens; with a key.

A certificate says which service its holder is, by the service's name as a DNS name (``handles``, ``relay``,
``simulator``); an address proves nothing, and a replica that is dialled by its IP needs no certificate for it. Who
serves asks every caller for a certificate of the same authority. The files are looked at for each new connection, so
that a renewed certificate needs no restart; files that cannot be used (half written, not a pair) leave the old ones in
force, and the log says so.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.common import logs
from services.common.config import Address, Environment

_OTHERS: Final = 0o007
_KEY: Final = re.compile(r"[\x21-\x7e]{16,512}")

_log = logs.get("tls")


@dataclass(frozen=True, slots=True)
class Transport:
    """What encrypts the calls between services; the three files go together.

    Args:
        certificate: FILO_TLS_CERT. PEM file with this service's certificate, which has the service's name as a DNS
            name; intermediates may follow. Read again when it changes.
        key: FILO_TLS_KEY. PEM file with the private key of the certificate.
        authority: FILO_TLS_CA. PEM file with the authority that certificates of the other services must come from.
        plaintext: FILO_ALLOW_PLAINTEXT. Speak in the clear with other machines too: something else encrypts there.
        api_key: FILO_API_KEY. The API key that is shown to other services of Filo which ask for one.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    plaintext: bool = False
    api_key: str = field(default="", repr=False)

    @property
    def encrypted(self) -> bool:
        """Whether there are certificates."""
        return self.certificate is not None


class Pem(NamedTuple):
    """What the files hold: the certificates, the private key, and the authority."""

    certificate: bytes
    key: bytes
    authority: bytes

    def __repr__(self) -> str:
        return f"Pem({len(self.certificate)} bytes of certificates)"


class UnusableError(ValueError):
    """A file cannot be used; the text says why, without what is in it."""

    def __init__(self, setting: str, why: str) -> None:
        super().__init__(why)
        self.setting = setting


def read(env: Environment, service: str, sockets: Mapping[str, Address], *, calls: bool = True) -> Transport:
    """Read the settings, the files with them.

    Args:
        env: With the prefix ``FILO_``.
        service: The name that the certificate must have.
        sockets: Where other services are listened for or dialled, by the setting that says so.
        calls: Whether it calls others, and so shows them a key.
    """
    given = {name: env.text(name, "") for name in ("TLS_CERT", "TLS_KEY", "TLS_CA")}
    certificate, key, authority = (Path(text).expanduser() if text else None for text in given.values())
    plaintext = env.flag("ALLOW_PLAINTEXT", default=False)
    transport = Transport(certificate, key, authority, plaintext, _own_key(env) if calls else "")
    missing = [name for name, text in given.items() if not text]
    if len(missing) == len(given):
        _in_the_clear(env, transport, sockets)
        return transport
    for name in missing:
        env.wrong(name, "is missing; FILO_TLS_CERT, FILO_TLS_KEY and FILO_TLS_CA go together", None)
    if not missing:
        try:
            _check_name(load(transport), service)
        except UnusableError as error:
            env.wrong(error.setting, str(error), None)
    return transport


def _own_key(env: Environment) -> str:
    key = (env.secret("API_KEY") or "").strip()
    if key and not _KEY.fullmatch(key):
        return env.wrong("API_KEY", "is no key: it has at least 16 characters of ASCII, and no blank", "")
    return key


def loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load(transport: Transport) -> Pem:
    """What the files hold now.

    Raises:
        UnusableError: A file cannot be read or holds something else, or key and certificate are not a pair.
    """
    pem = Pem(
        _content("TLS_CERT", transport.certificate),
        _content("TLS_KEY", transport.key),
        _content("TLS_CA", transport.authority),
    )
    public = _certificate("TLS_CERT", pem.certificate).public_key()
    _certificate("TLS_CA", pem.authority)
    try:
        key = load_pem_private_key(pem.key, password=None)
    except (ValueError, TypeError) as error:
        raise UnusableError("TLS_KEY", "this file does not hold an unencrypted private key in PEM") from error
    if key.public_key() != public:
        raise UnusableError("TLS_KEY", "this key does not belong to the certificate")
    return pem


class Material:
    """The files, looked at again each time they are needed. May be used from several threads.

    Args:
        transport: Which files.

    Raises:
        UnusableError: They cannot be used.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._seen = self._stamps()
        self._pem = load(transport)

    def current(self) -> Pem:
        """What the files hold, or held when they could last be used; the same object until they change."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._pem = load(self._transport)
                _log.info("certificate changed", file=str(self._transport.certificate))
            except UnusableError as error:
                _log.error("certificate cannot be used, the old one stays", setting=error.setting, why=str(error))
        return self._pem

    def _stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        files = (self._transport.certificate, self._transport.key, self._transport.authority)
        return tuple(_stamp(path) for path in files if path)


def server_credentials(transport: Transport) -> grpc.ServerCredentials:
    """Credentials that ask each caller for a certificate and follow the files.

    Raises:
        UnusableError: The files cannot be used.
    """
    material = Material(transport)
    latest = material.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal latest
        pem = material.current()
        if pem is latest:
            return None
        latest = pem
        return _configuration(pem)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(latest),
        changed,  # type: ignore[arg-type]  # None means: as before
        require_client_authentication=True,
    )


def client_credentials(pem: Pem) -> grpc.ChannelCredentials:
    """Credentials of one connection."""
    return grpc.ssl_channel_credentials(pem.authority, pem.key, pem.certificate)


def names(auth: Mapping[str, object]) -> frozenset[str]:
    """Who a caller is by its certificate: its DNS names or, without any alternative name, its common name (RFC 6125).

    An e-mail address, a URI or an IP among the alternative names makes nobody a service.

    Args:
        auth: ``auth_context()`` of the call; empty of names in the clear. gRPC gives the DNS names as ``peer_dns``, and
            all alternative names, whatever their kind, as ``x509_subject_alternative_name``.
    """
    found = auth.get("peer_dns" if auth.get("x509_subject_alternative_name") else "x509_common_name")
    values = found if isinstance(found, (list, tuple)) else ()
    return frozenset(value.decode("utf-8", "replace") for value in values if isinstance(value, bytes))


def _in_the_clear(env: Environment, transport: Transport, sockets: Mapping[str, Address]) -> None:
    for name, address in sockets.items():
        if not (transport.plaintext or loopback(address.host)):
            env.wrong(
                name,
                f"{address} is not on this machine alone; set FILO_TLS_CERT, FILO_TLS_KEY and FILO_TLS_CA, "
                "or FILO_ALLOW_PLAINTEXT=true where something else encrypts",
                None,
            )


def _check_name(pem: Pem, service: str) -> None:
    extensions = _certificate("TLS_CERT", pem.certificate).extensions
    try:
        alternatives = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        has: list[str] = []
    else:
        has = alternatives.get_values_for_type(x509.DNSName)
    if service not in has:
        raise UnusableError("TLS_CERT", f"this certificate is not {service}'s; issue it with the DNS name {service}")


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.authority)


def _content(setting: str, path: Path | None) -> bytes:
    if path is None:
        raise UnusableError(setting, "is missing")
    try:
        mode, content = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise UnusableError(setting, f"cannot read {path}: {(error.strerror or 'unknown reason').lower()}") from error
    if setting == "TLS_KEY" and mode & _OTHERS:
        raise UnusableError(setting, f"everybody can read {path}; run: chmod o= {path}")
    return content


def _certificate(setting: str, content: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except ValueError as error:
        raise UnusableError(setting, "this file does not hold a certificate in PEM") from error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
