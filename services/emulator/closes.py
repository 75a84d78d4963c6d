"""Why the server ends a connection: every close code and reason it can send, as data.

Marks as in GEMINI-LIVE.md: [OBS] a third party's report of the real service, [?] assumed. The verbatim reasons were
observed on the public endpoint in 2026 by several clients (wrong key, no key, unknown model, unknown field, audio
before setup, empty activity, dead handle, end of life); a close frame holds 123 bytes of reason, and Google cuts there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

REASON_BYTES: Final = 123
"""RFC 6455, section 5.5: a control frame carries 125 bytes, two of them the code."""


@dataclass(frozen=True, slots=True)
class Close:
    """A close frame: its code and its reason as written, before it is cut to fit."""

    code: int
    reason: str

    @property
    def wire_reason(self) -> bytes:
        """The reason as it fits into the frame, cut at a whole character."""
        return self.reason.encode()[:REASON_BYTES].decode(errors="ignore").encode()


class RefusedError(Exception):
    """What the client sent ends the connection with this close."""

    def __init__(self, close: Close) -> None:
        super().__init__(close.reason)
        self.close = close


KEY_MISSING: Final = Close(  # [OBS]
    1008,
    "Method doesn't allow unregistered callers (callers without established identity). "
    "Please use API Key or other form of API consumer identity to call this API.",
)
KEY_INVALID: Final = Close(1007, "API key not valid. Please pass a valid API key.")  # [OBS]
INVALID_ARGUMENT: Final = Close(1007, "Request contains an invalid argument.")  # [OBS]
PRECONDITION: Final = Close(1007, "Precondition check failed.")  # [OBS]
LIFETIME: Final = Close(  # [OBS]
    1008,
    "Connection aborted because the client failed to close the connection after receiving a GoAway signal "
    "once the session duration expired.",
)
DEADLINE: Final = Close(1011, "Deadline expired")  # [OBS]
SESSION_LIMIT: Final = Close(1008, "The session has reached its maximum duration.")  # that it ends [DOC], how [?]
TOO_MANY_SESSIONS: Final = Close(  # that there is a limit [DOC]; the code [?], the sentence is that of a quota
    1011, "Resource has been exhausted (e.g. check quota)."
)
HANDLE_NOT_FOUND: Final = Close(1008, "BidiGenerateContent session not found")  # [OBS]
STILL_OPEN: Final = Close(1011, "Internal error encountered.")  # the code [OBS], the reason [?]
SHUTDOWN: Final = Close(1001, "The server is going away.")  # [?]
INTERNAL: Final = Close(1011, "Internal error encountered.")  # [OBS]
EXPLICIT_ACTIVITY: Final = Close(  # [OBS]
    1007, "Explicit activity control is not supported when automatic activity detection is enabled."
)


BROKEN: Final[Mapping[int, Close]] = {  # RFC 6455, section 7.4.1; the reasons [?]
    close.code: close
    for close in (
        Close(1002, "The frame is not one of RFC 6455."),
        Close(1007, "The text of the frame is not valid UTF-8."),
        Close(1009, "The message is too big."),
    )
}
"""What ends a connection whose WebSocket frames themselves are broken, by code."""


def unknown_name(name: str, path: str) -> Close:
    """The client sent a field that does not exist; `path` names the message it is in, empty at the top ([OBS])."""
    where = f" at '{path}'" if path else ""
    return Close(1007, f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.')


def invalid_json(detail: str) -> Close:
    """The client sent what is not JSON. [OBS] the beginning, [?] the detail."""
    return Close(1007, f"Invalid JSON payload received. {detail}")


def invalid_value(path: str, kind: str, value: object) -> Close:
    """A field holds a value of the wrong kind, for example ``TYPE_STRING``: as Google's JSON parser says it."""
    return Close(1007, f"Invalid value at '{path}' ({kind}), {str(value)[:60]!r}")


def not_repeated(name: str, path: str) -> Close:
    """A list stands where one value is expected ([OBS])."""
    where = f" at '{path}'" if path else ""
    return Close(
        1007,
        f'Invalid JSON payload received. Unknown name "{name}"{where}: Proto field is not repeating, '
        "cannot start list.",
    )


def already_set(path: str, group: str, name: str) -> Close:
    """Two fields of a group of which a message has one at most; the sentence is Google's, where it applies is [?]."""
    return Close(1007, f"Invalid value at '{path}' (oneof), oneof field '{group}' is already set. Cannot set '{name}'")


def model_not_found(version: str, model: str) -> Close:
    """No such model, or not for the Live API ([OBS])."""
    return Close(
        1008,
        f"{model} is not found for API version {version}, or is not supported for bidiGenerateContent. "
        "Call ModelService.ListModels to see the list of available models and their supported methods.",
    )


def publisher_model_not_found(model: str) -> Close:
    """The same on Vertex ([OBS])."""
    return Close(
        1008,
        f"Publisher Model `{model}` was not found or your project does not have access to it. Please ensure you are "
        "using a valid model version.",
    )


def context_overflow(tokens: int, window: int) -> Close:
    """The context outgrew the window with compression off. [?] the code; the sentence is that of generateContent."""
    return Close(1007, f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({window}).")


EVERY: Final[tuple[tuple[str, Close, str], ...]] = (
    ("no API key", KEY_MISSING, "observed"),
    ("the key that is configured as bad", KEY_INVALID, "observed"),
    ("an unknown model", model_not_found("v1beta", "models/x"), "observed"),
    ("an unknown model on Vertex", publisher_model_not_found("publishers/google/models/x"), "observed"),
    ("a frame that is not JSON", invalid_json("..."), "observed, the detail assumed"),
    ("a field that does not exist", unknown_name("x", "setup"), "observed"),
    ("a value of the wrong kind", invalid_value("setup.model", "TYPE_STRING", 5), "as in Google's REST API"),
    ("a list where one value is expected", not_repeated("model", "setup"), "observed over REST"),
    (
        "two messages in one frame, two kinds of live input in one message, two kinds of data in one part",
        already_set("", "message_type", "setup"),
        "documented for messages, the SDK's rule for live input; the sentence as in Google's REST API",
    ),
    (
        (
            "anything before the setup, a second setup, content or a context update that the model refuses, a turn of "
            "role system, an output modality that the model lacks, numbers of tokens between which nothing can be "
            "compressed, another model at a resume, a resume after the end at 58 minutes"
        ),
        INVALID_ARGUMENT,
        "observed; the modality, the numbers and the other model assumed",
    ),
    ("activityStart or activityEnd while detection is automatic", EXPLICIT_ACTIVITY, "observed"),
    ("an activity without any audio", PRECONDITION, "observed"),
    (
        "the context outgrew the window, with the setup or with anything that is said, compression off",
        context_overflow(40_000, 32_000),
        "assumed",
    ),
    ("a handle that is unknown or dead", HANDLE_NOT_FOUND, "observed"),
    ("a resume while the old socket is open", STILL_OPEN, "observed, the reason assumed"),
    ("the end of the connection's life", LIFETIME, "observed"),
    ("the same after 58 minutes (`FILO_EMULATOR_LONG_LIVED`)", DEADLINE, "observed"),
    ("the end of a session without compression", SESSION_LIMIT, "documented that it ends, assumed how"),
    ("more sessions at once than `FILO_EMULATOR_SESSIONS`", TOO_MANY_SESSIONS, "documented; the close assumed"),
    *(("a broken WebSocket frame", close, "RFC 6455, the reason assumed") for close in BROKEN.values()),
    ("the emulator stops", SHUTDOWN, "assumed"),
    ("a defect in the emulator", INTERNAL, "observed on the real service"),
)
"""When each close is sent, with an example of it and how it is known: the table in docs/emulator.md."""
