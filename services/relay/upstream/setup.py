"""The setup message, from google-genai's public types.

It is sent whole at every connection, resumed or not: no document says that anything but the context persists.
"""

from typing import Any, Final

import msgspec
from google.genai import types
from google.protobuf.json_format import MessageToDict

from filo.handles.v1 import resources_pb2 as resources

_MANUAL: Final = types.RealtimeInputConfig(automatic_activity_detection=types.AutomaticActivityDetection(disabled=True))


def setup(
    agent: resources.AgentConfig,
    *,
    handle: str | None,
    history: bool,
    transparent: bool = False,
    compression: bool = True,
) -> bytes:
    """Render the first message of a connection.

    Args:
        agent: The conversation's own configuration.
        handle: The upstream handle to resume from, or None.
        history: History follows as content before the talk begins.
        transparent: Ask that handles tell what they hold of the client's messages; only Vertex AI can.
        compression: Let Gemini drop the oldest turns when the context window fills; without, the session ends then.
    """
    message = types.LiveClientMessage(
        setup=types.LiveClientSetup(
            model=agent.model,
            generation_config=_generation(agent),
            system_instruction=types.Content(parts=[types.Part(text=agent.system_instruction)])
            if agent.system_instruction
            else None,
            tools=[types.Tool.model_validate(MessageToDict(tool)) for tool in agent.tools] or None,
            session_resumption=types.SessionResumptionConfig(handle=handle, transparent=transparent or None),
            context_window_compression=types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow())
            if compression
            else None,
            input_audio_transcription=types.AudioTranscriptionConfig(),
            output_audio_transcription=types.AudioTranscriptionConfig(),
            history_config=types.HistoryConfig(initial_history_in_client_content=True) if history else None,
        )
    )
    return msgspec.json.encode(_rendered(message, agent))


def _rendered(message: types.LiveClientMessage, agent: resources.AgentConfig) -> dict[str, Any]:
    rendered = message.model_dump(mode="json", by_alias=True, exclude_none=True)
    if agent.manual_activity:  # google-genai's setup has no such field; `live.connect` adds it in the same way
        rendered["setup"]["realtimeInputConfig"] = _MANUAL.model_dump(mode="json", by_alias=True, exclude_none=True)
    return rendered


def warm_up() -> None:
    """Let pydantic build what it needs: at the first setup it would stop every conversation for 0.1 s."""
    setup(resources.AgentConfig(model="models/none"), handle=None, history=True)


def _generation(agent: resources.AgentConfig) -> types.GenerationConfig:
    speech = types.SpeechConfig(
        language_code=agent.language_code or None,
        voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=agent.voice))
        if agent.voice
        else None,
    )
    return types.GenerationConfig(
        response_modalities=[types.Modality.AUDIO],
        temperature=agent.temperature if agent.HasField("temperature") else None,
        speech_config=speech if agent.voice or agent.language_code else None,
    )
