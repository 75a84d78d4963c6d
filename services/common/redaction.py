"""Secrets blotted out of what is about to be logged, wherever they are in it: the net under everybody's care.

Nobody logs a secret on purpose. One arrives under its own name among a line's fields, deeper within one of them, or in
a text: an exception that quotes a request, a URL with a password in it, a traceback that shows a line of JSON. Names
are known, and so are the shapes of the secrets that have one. Better a word too many is blotted out than one too few.
"""

import re
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final

BLOT: Final = "[redacted]"

_ALWAYS: Final = (
    "authorization",
    "password",
    "apikey",
    "accesstoken",
    "sessiontoken",
    "sharetoken",
    "resumehandle",
    "upstreamhandle",
    "clientsecret",
    "privatekey",
)
_QUOTED: Final = ("handle", "token", "key", "secret", "keys")
NAMES: Final = frozenset({*_ALWAYS, *_QUOTED, "xapikey", "cookie", "setcookie", "geminiapikey", "xgoogapikey"})
"""Names of fields whose values are never written, without the signs between their words and in small letters."""

_DEEPEST: Final = 6


def _spelt(name: str) -> str:
    """A name however its words are parted: ``sharetoken`` is ``share_token``, ``share-token`` and ``shareToken``."""
    words = re.sub(r"(api|access|session|share|resume|upstream|client|private)", r"\1[_ -]?", name)
    return words.removesuffix("[_ -]?")


_IS: Final = r"""\\?["']?\s*(?:[:=]|(?<=["']),)\s*"""
_STRING: Final = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_BARE: Final = r"(?:Bearer|Basic)\s+[^\s,;&'\"]+|[^\s,;&)}\]'\"]+"
_BY_NAME: Final = re.compile(
    rf"""(?ix)
    (?P<kept>\b(?:x[_-])?(?:{"|".join(map(_spelt, _ALWAYS))}){_IS}) \\?(?:{_STRING}|{_BARE})
    | (?P<quoted>\b(?:{"|".join(_QUOTED)}){_IS}) \\?(?:{_STRING})
    | (?P<query>[?&](?:key|token|handle)=) [^\s&'"]+
    """
)
_BY_SHAPE: Final = re.compile(
    r"""(?x)
    (?<=://)(?P<user>[^\s/:@]*):[^\s/@]+(?=@)          # a URL's password
    | \bBearer\s+[^\s,;'"]+
    | \beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+   # a signed token, as session tokens are
    | \brh_[A-Za-z0-9_-]{20,}                          # a resume handle
    | \bfilo_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])        # an API key of ours
    | \bAIza[A-Za-z0-9_-]{20,}                         # one of Google's
    | \bya29\.[A-Za-z0-9._-]+                          # an access token of Google's
    | -----BEGIN[^-]*PRIVATE\ KEY-----[\s\S]*?(?:-----END[^-]*-----|\Z)
    """
)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog's; put it after whatever makes text, before whatever writes it."""
    for name, value in event.items():
        event[name] = _value(name, value, _DEEPEST)
    return event


def text(written: str) -> str:
    """A text without the secrets in it."""
    named = _BY_NAME.sub(lambda found: f"{found['kept'] or found['quoted'] or found['query']}{BLOT}", written)
    return _BY_SHAPE.sub(lambda found: BLOT if found["user"] is None else f"{found['user']}:{BLOT}", named)


def secret(name: object) -> bool:
    """Whether what has this name is never written."""
    return isinstance(name, str) and re.sub(r"[^a-z]", "", name.lower()) in NAMES


def _value(name: object, value: Any, depth: int) -> Any:  # noqa: ANN401 - whatever is logged
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if secret(name):
        return BLOT
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} bytes]"
    if depth and isinstance(value, Mapping):
        return {str(key): _value(key, each, depth - 1) for key, each in value.items()}
    if depth and isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, str):
        return [_value(None, each, depth - 1) for each in value]
    return text(str(value) if isinstance(value, (str, BaseException)) else repr(value))
