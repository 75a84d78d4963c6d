"""Who is let in: the key, the model, what the setup asks of it, and the handle it brings."""

from dataclasses import dataclass, replace
from typing import Final

from services.emulator import closes, profiles
from services.emulator.closes import RefusedError
from services.emulator.config import Settings
from services.emulator.handles import HandleStore, Snapshot
from services.emulator.messages import Compression, Setup
from services.emulator.profiles import Backend, Profile

_MODALITIES: Final = frozenset({"AUDIO", "TEXT"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened the connection.

    Attributes:
        connection: The connection's id.
        key: The API key, empty if there was none.
        version: The API version in the path.
        backend: Whose API the path belongs to.
    """

    connection: str
    key: str
    version: str = "v1beta"
    backend: Backend = Backend.DEVELOPER


def check_key(caller: Caller, settings: Settings) -> None:
    """Look at the caller's key.

    Raises:
        RefusedError: There is none, or it is the one that is refused.
    """
    if not caller.key:
        raise RefusedError(closes.KEY_MISSING)
    if caller.key == settings.bad_key:
        raise RefusedError(closes.KEY_INVALID)


def check_setup(setup: Setup, caller: Caller, settings: Settings, open_sessions: int) -> Profile:
    """The profile of the setup's model, as the settings would have it.

    Raises:
        RefusedError: There is no such model, it cannot do what the setup asks, or there are too many sessions.
    """
    profile = profiles.find(setup.model, caller.backend)
    if profile is None and caller.backend is Backend.VERTEX:
        raise RefusedError(closes.publisher_model_not_found(setup.model))
    if profile is None:
        raise RefusedError(closes.model_not_found(caller.version, setup.model))
    if not _MODALITIES.issuperset(setup.modalities) or ("TEXT" in setup.modalities and not profile.text_output):
        raise RefusedError(closes.INVALID_ARGUMENT)
    check_compression(setup.compression, profile)
    if open_sessions >= settings.sessions:
        raise RefusedError(closes.TOO_MANY_SESSIONS)
    return _adjusted(profile, settings)


def check_compression(wanted: Compression | None, profile: Profile) -> None:
    """Look at the numbers of tokens between which the context is compressed.

    Raises:
        RefusedError: There is nothing to compress to, or it would never begin [?].
    """
    if wanted is None:
        return
    trigger = profile.window if wanted.trigger is None else wanted.trigger
    target = 0 if wanted.target is None else wanted.target
    if not 0 <= target < trigger <= profile.window:
        raise RefusedError(closes.INVALID_ARGUMENT)


def _adjusted(profile: Profile, settings: Settings) -> Profile:
    """The profile as the settings would have it."""
    answers, lifetime = settings.text_answered, settings.handle_lifetime
    return replace(
        profile,
        window=settings.window or profile.window,
        realtime_text_answers=profile.realtime_text_answers if answers is None else answers,
        handle_lifetime=profile.handle_lifetime if lifetime is None else lifetime,
    )


def redeem(handle: str, model: str, backend: Backend, handles: HandleStore, now: float) -> Snapshot:
    """What the handle stands for.

    Raises:
        RefusedError: It cannot be redeemed, is not known to this API, or not with this model, whatever it is called:
            anything else may change at a resume [DOC].
    """
    known = handles.peek(handle)
    if known is not None and known.backend is not backend:
        raise RefusedError(closes.HANDLE_NOT_FOUND)
    snapshot = handles.redeem(handle, now)
    if profiles.bare(snapshot.model) != profiles.bare(model):
        raise RefusedError(closes.INVALID_ARGUMENT)
    return snapshot
