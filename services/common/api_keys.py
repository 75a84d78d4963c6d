"""API keys of callers: random secrets of which only hashes are kept, each with a name, roles and quotas.

A line of the file is a key; several are good at once, so that one can be replaced without a gap::

    # name   hash            roles           quotas
    shop     sha256:2c26…    as=platform     conversations=200 creations=60
    shop-2   sha256:fcde…    as=platform

The file is looked at again whenever a caller shows a key; one that cannot be used leaves the old keys in force, and the
log says so. A key has 256 random bits, so a plain SHA-256 keeps it: there is nothing to guess that could be tried.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.common import logs
from services.common.config import Address, Environment
from services.common.grpc_access import Caller
from services.common.lifecycle import StartupError
from services.common.tls import Transport, loopback

AUTHORIZATION: Final = "authorization"
API_KEY: Final = "x-api-key"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH: Final = re.compile(r"sha256:([0-9a-f]{64})")
_QUOTAS: Final = ("conversations", "creations")

_log = logs.get("api_keys")


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key.

    Args:
        name: Whose it is, for logs; unique.
        digest: SHA-256 of it.
        roles: As whom its bearer calls.
        conversations: How many its bearer may have at once; 0 for any number.
        creations: How many it may create a minute; 0 for any number.
    """

    name: str
    digest: bytes = field(repr=False)
    roles: frozenset[Caller] = frozenset({Caller.PLATFORM})
    conversations: int = 0
    creations: int = 0


class UnusableError(ValueError):
    """The keys cannot be used; the text says why, and holds nothing of them."""


def mint() -> str:
    """A new key."""
    return f"filo_{secrets.token_urlsafe(32)}"


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).digest()


def line(name: str, key: str, role: Caller = Caller.PLATFORM, **quotas: int) -> str:
    """The line of the file for a key."""
    words = [name, f"sha256:{digest(key).hex()}", f"as={role}"]
    return " ".join([*words, *(f"{quota}={most}" for quota, most in quotas.items() if most)])


def parse(text: str) -> tuple[Key, ...]:
    """Read keys, a line each (or with ``;`` between them); what follows ``#`` does not count.

    Raises:
        UnusableError: A line is not a key, or a name or a hash is there twice, or there is none at all.
    """
    keys: list[Key] = []
    for number, words in enumerate((part.partition("#")[0].split() for part in re.split(r"[\n;]", text)), 1):
        if words:
            keys.append(_key(number, words))
    if not keys:
        raise UnusableError("there is no key in it; make one with: filo api-key NAME")
    for what in ("name", "digest"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise UnusableError(f"two keys have the same {'hash' if what == 'digest' else what}")
    return tuple(keys)


def _key(number: int, words: Sequence[str]) -> Key:
    if len(words) < 2 or not _NAME.fullmatch(words[0]):  # noqa: PLR2004 - a name and a hash
        raise UnusableError(f"line {number} is not NAME sha256:HASH")
    found = _HASH.fullmatch(words[1])
    if found is None:
        raise UnusableError(f"line {number}: after the name comes sha256: and 64 hex digits, never the key itself")
    roles, quotas = frozenset({Caller.PLATFORM}), dict.fromkeys(_QUOTAS, 0)
    for word in words[2:]:
        name, _, value = word.partition("=")
        if name == "as" and set(value.split(",")) <= set(Caller):
            roles = frozenset(map(Caller, value.split(",")))
        elif name in _QUOTAS and value.isdecimal() and value.isascii():
            quotas[name] = int(value)
        else:
            raise UnusableError(f"line {number}: only as=ROLE, conversations=N and creations=N may follow the hash")
    return Key(words[0], bytes.fromhex(found[1]), roles, **quotas)


class Keys:
    """The keys that are good now.

    Args:
        source: A file, or the lines themselves.

    Raises:
        UnusableError: They cannot be used.
    """

    def __init__(self, source: Path | str) -> None:
        self._source = source
        self._seen = self._stamp()
        self._keys = self._load()

    def find(self, presented: str) -> Key | None:
        """Whose key this is. Takes as long for every wrong key, however much of it is right."""
        shown, found = digest(presented), None
        for key in self.current():
            if hmac.compare_digest(key.digest, shown):
                found = key
        return found

    def current(self) -> tuple[Key, ...]:
        """The keys of the file, or what they were when it could last be used."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._keys = self._load()
                _log.info("API keys changed", names=[key.name for key in self._keys])
            except UnusableError as error:
                _log.error("API keys cannot be used, the old ones stay", why=str(error))
        return self._keys

    def _load(self) -> tuple[Key, ...]:
        if isinstance(self._source, str):
            return parse(self._source)
        try:
            return parse(self._source.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = (error.strerror or "unknown reason").lower() if isinstance(error, OSError) else "it is not UTF-8"
            raise UnusableError(f"cannot read {self._source}: {why}") from error

    def _stamp(self) -> tuple[int, int, int] | None:
        if isinstance(self._source, str):
            return None
        try:
            found = self._source.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def presented(metadata: Iterable[tuple[str, str | bytes]] | None) -> str | None:
    """The key that a caller shows, as ``authorization: Bearer KEY`` or ``x-api-key: KEY``; None for none."""
    return next(_shown(metadata or ()), None)


def _shown(metadata: Iterable[tuple[str, str | bytes]]) -> Iterator[str]:
    for name, value in metadata:
        if isinstance(value, bytes):
            continue
        if name == API_KEY:
            yield value.strip()
        elif name == AUTHORIZATION:
            scheme, _, key = value.partition(" ")
            if scheme.lower() == "bearer":
                yield key.strip()


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in by a key.

    Args:
        api_keys: FILO_API_KEYS. A file with the keys that callers may show, hashed, or its lines themselves (see
            docs/access.md); without one, and without certificates, only this machine is served.
    """

    api_keys: Path | str | None = field(default=None, repr=False)


def opened(access: Access) -> Keys | None:
    """The keys, if callers need one.

    Raises:
        StartupError: They cannot be used any more.
    """
    try:
        return None if access.api_keys is None else Keys(access.api_keys)
    except UnusableError as error:
        raise StartupError(f"FILO_API_KEYS: {error}") from error


def read(env: Environment, transport: Transport, sockets: Mapping[str, Address]) -> Access:
    """Read the settings, the keys with them.

    Args:
        env: With the prefix ``FILO_``.
        transport: What encrypts the calls: certificates say who calls, too.
        sockets: Where callers are listened for, by the setting that says so.
    """
    text = env.text("API_KEYS", "")
    source = None if not text else text if "sha256:" in text else Path(text).expanduser()
    access = Access(source)
    try:
        opened(access)
    except StartupError as error:
        env.problems.append(str(error))
    if source is None and not transport.encrypted:
        for name, address in sockets.items():
            if not loopback(address.host):
                env.wrong(
                    name,
                    f"{address} is not on this machine alone, and whoever reaches it could do everything; set "
                    "FILO_API_KEYS, or FILO_TLS_CERT, FILO_TLS_KEY and FILO_TLS_CA",
                    None,
                )
    return access
