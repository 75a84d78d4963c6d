"""Session tokens: who may attach to which conversation, signed by a key ring that all relays share.

A token is a JWT (RFC 7519) that names conversation, mode and, for a user's conversation, the user; a share token is not
in it, since anybody can read a JWT. The key ring is a JSON file of mode 0600, ``{"newest": "k1", "keys": {"k1":
"…"}}``: the newest key signs, every key verifies, so that a key can be replaced without a token becoming invalid before
its time.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import jwt

from services.common.clock import Clock
from services.common.errors import Reason, ServiceError
from services.common.lifecycle import StartupError
from services.common.secret_files import mode_problem

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "filo"
_KEY_BYTES: Final = 32
_REFUSED: Final = "the session token is missing, forged or expired; create a session and use its token"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says.

    Args:
        conversation: ``conversations/{id}``.
        mode: The conversation's mode, in the client protocol's words.
        user_id: The owner, where a user owns it.
    """

    conversation: str
    mode: str
    user_id: str | None = None


class SessionTokens:
    """Signs and verifies.

    Args:
        keys: Key id to secret.
        newest: The id of the key that signs.
        lifetime: Seconds that a token is good for.
        clock: Judges expiry.
    """

    def __init__(self, keys: Mapping[str, str], newest: str, lifetime: float, clock: Clock) -> None:
        self._keys = dict(keys)
        self._newest = newest
        self._clock = clock
        self.lifetime = lifetime

    def sign(self, claims: Claims) -> tuple[str, datetime]:
        """Make a token.

        Returns:
            The token, and when it expires.
        """
        now = self._clock.now()
        expires = now + timedelta(seconds=self.lifetime)
        payload: dict[str, Any] = {
            "iss": _ISSUER,
            "sub": claims.conversation,
            "mode": claims.mode,
            "iat": int(now.timestamp()),
            "exp": int(expires.timestamp()),
        }
        if claims.user_id is not None:
            payload["user"] = claims.user_id
        return jwt.encode(payload, self._keys[self._newest], _ALGORITHM, {"kid": self._newest}), expires

    def verify(self, token: str | None) -> Claims:
        """Read a token.

        Raises:
            ServiceError: TOKEN_INVALID: it is missing, forged, malformed or expired, all alike.
        """
        try:
            key = self._keys[str(jwt.get_unverified_header(token or "").get("kid"))]
            payload = jwt.decode(
                token or "",
                key,
                [_ALGORITHM],
                issuer=_ISSUER,
                options={"require": ["sub", "mode", "exp"], "verify_exp": False, "verify_iat": False},
            )
            if payload["exp"] <= self._clock.now().timestamp():
                raise ServiceError(Reason.TOKEN_INVALID, _REFUSED)
            return Claims(payload["sub"], payload["mode"], payload.get("user"))
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise ServiceError(Reason.TOKEN_INVALID, _REFUSED) from error


def load(path: Path, lifetime: float, clock: Clock) -> SessionTokens:
    """Read the key ring, or make one where there is none.

    Raises:
        StartupError: It cannot be read or made, is no key ring, or others may read it.
    """
    try:
        _make_missing(path)
        status = path.stat()
        problem = mode_problem(status.st_mode, own=status.st_uid == os.geteuid())
        if problem:
            raise StartupError(f"{path}: the file with the session keys {problem}; run: chmod 600 {path}")
        ring = json.loads(path.read_text())
        keys, newest = ring["keys"], ring["newest"]
        sound = newest in keys and all(isinstance(key, str) and len(key) >= _KEY_BYTES for key in keys.values())
    except OSError as error:
        raise StartupError(f"{path}: cannot read the session keys: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise StartupError(f"{path}: is not a session key ring; restore it, or remove it to make a new one")
    return SessionTokens(keys, newest, lifetime, clock)


def _make_missing(path: Path) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    ring = {"newest": "k1", "keys": {"k1": secrets.token_urlsafe(_KEY_BYTES)}}
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")  # in containers every process may be number 1
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_text(json.dumps(ring))
        os.link(temporary, path)  # two relays may start at once: the first ring stays
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
