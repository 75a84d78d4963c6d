"""What a client can say, once decoded: the inputs of a session."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.emulator.context import Role, Turn


@dataclass(frozen=True, slots=True)
class Detection:
    """How the client wants activity to be detected; None leaves a value to the server.

    Attributes:
        automatic: The server finds speech itself; otherwise ``activityStart`` and ``activityEnd`` mark it.
        silence: Seconds of silence that end an activity.
        prefix: Seconds of speech that begin one.
        interrupts: The start of an activity cuts the answer off.
    """

    automatic: bool = True
    silence: float | None = None
    prefix: float | None = None
    interrupts: bool = True


@dataclass(frozen=True, slots=True)
class Resumption:
    """The client wants handles, and may bring one; `transparent` tells what each holds of its messages (Vertex)."""

    handle: str | None = None
    transparent: bool = False


@dataclass(frozen=True, slots=True)
class Compression:
    """The client wants the context compressed; None leaves a number of tokens to the server."""

    trigger: int | None = None
    target: int | None = None


class Coverage(StrEnum):
    """What of the live input between two answers belongs to the user's turn."""

    ACTIVITY = "TURN_INCLUDES_ONLY_ACTIVITY"
    EVERYTHING = "TURN_INCLUDES_ALL_INPUT"
    ACTIVITY_AND_VIDEO = "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO"


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message of a connection."""

    model: str
    modalities: tuple[str, ...] = ()
    instruction: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    resumption: Resumption | None = None
    compression: Compression | None = None
    detection: Detection = Detection()
    coverage: Coverage = Coverage.ACTIVITY_AND_VIDEO
    transcribes_input: bool = False
    transcribes_output: bool = False
    brings_history: bool = False


@dataclass(frozen=True, slots=True)
class AudioInput:
    """PCM16 mono, little-endian, at `rate` samples a second."""

    data: bytes
    rate: int = 16_000


@dataclass(frozen=True, slots=True)
class VideoInput:
    """One image."""

    mime_type: str


@dataclass(frozen=True, slots=True)
class TextInput:
    """Text typed in the flow of the conversation."""

    text: str


@dataclass(frozen=True, slots=True)
class ActivityStart:
    """The user begins to speak, says the client."""


@dataclass(frozen=True, slots=True)
class ActivityEnd:
    """The user has spoken, says the client."""


@dataclass(frozen=True, slots=True)
class AudioStreamEnd:
    """The microphone is off; whatever was being said is complete."""


RealtimeItem = AudioInput | VideoInput | TextInput | ActivityStart | ActivityEnd | AudioStreamEnd


@dataclass(frozen=True, slots=True)
class RealtimeInput:
    """Something live; only the deprecated ``mediaChunks`` holds more than one item."""

    items: tuple[RealtimeItem, ...]


@dataclass(frozen=True, slots=True)
class ContentTurn:
    """A turn handed over as content.

    Attributes:
        role: Whose it is; None for the role ``system``.
        text: The text of all its parts.
        pieces: What it is in the context, part by part (see `parts`); nothing for the role ``system``.
    """

    role: Role | None
    text: str
    pieces: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientContent:
    """Content for the context; `complete` asks for an answer."""

    turns: tuple[ContentTurn, ...]
    complete: bool


class Scheduling(StrEnum):
    """What the result of a tool that does not block does to the conversation."""

    WHEN_IDLE = "WHEN_IDLE"
    INTERRUPT = "INTERRUPT"
    SILENT = "SILENT"


@dataclass(frozen=True, slots=True)
class FunctionResponse:
    """What a tool returned; the last two count only for a tool that does not block.

    Attributes:
        id: The call.
        name: The function.
        response: The result.
        scheduling: When the model reacts to it.
        continues: There is more to come.
    """

    id: str
    name: str
    response: Mapping[str, Any]
    scheduling: Scheduling = Scheduling.WHEN_IDLE
    continues: bool = False


@dataclass(frozen=True, slots=True)
class ToolResponse:
    """Answers to a tool call."""

    responses: tuple[FunctionResponse, ...]


@dataclass(frozen=True, slots=True)
class ContextUpdate:
    """A change of the preamble; None leaves a part as it is."""

    instruction: str | None
    tools: tuple[Mapping[str, Any], ...] | None


ClientMessage = Setup | RealtimeInput | ClientContent | ToolResponse | ContextUpdate
