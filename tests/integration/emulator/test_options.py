"""Everything that google-genai lets its user ask for goes through; what does not exist is refused by its path."""

import json
from typing import Any, Final

import pytest
from google import genai
from google.genai import types
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.emulator import RunningEmulator
from tests.support.genai import Talk, answer, client, turn_complete
from tests.support.session import setup

PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k"
MODEL: Final = "gemini-3.8-live"
PLACE: Final = types.Schema(
    type=types.Type.OBJECT,
    properties={"town": types.Schema(type=types.Type.STRING, enum=["Rome", "Milan"], nullable=True)},
    required=["town"],
)
FUNCTION: Final = types.FunctionDeclaration(
    name="weather", description="Tells it.", parameters=PLACE, behavior=types.Behavior.BLOCKING
)
EVERYTHING: Final[dict[str, Any]] = {
    "response_modalities": [types.Modality.AUDIO],
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "max_output_tokens": 500,
    "media_resolution": types.MediaResolution.MEDIA_RESOLUTION_LOW,
    "seed": 7,
    "speech_config": types.SpeechConfig(
        language_code="it-IT",
        voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Puck")),
    ),
    "thinking_config": types.ThinkingConfig(thinking_budget=0, include_thoughts=False),
    "enable_affective_dialog": True,
    "system_instruction": types.Content(parts=[types.Part(text="Your name is Ada.")]),
    "tools": [
        types.Tool(function_declarations=[FUNCTION]),
        types.Tool(google_search=types.GoogleSearch()),
        types.Tool(code_execution=types.ToolCodeExecution()),
        types.Tool(url_context=types.UrlContext()),
    ],
    "session_resumption": types.SessionResumptionConfig(),
    "input_audio_transcription": types.AudioTranscriptionConfig(language_codes=["it-IT"]),
    "output_audio_transcription": types.AudioTranscriptionConfig(),
    "realtime_input_config": types.RealtimeInputConfig(
        automatic_activity_detection=types.AutomaticActivityDetection(
            disabled=False,
            start_of_speech_sensitivity=types.StartSensitivity.START_SENSITIVITY_HIGH,
            end_of_speech_sensitivity=types.EndSensitivity.END_SENSITIVITY_LOW,
            prefix_padding_ms=20,
            silence_duration_ms=200,
        ),
        activity_handling=types.ActivityHandling.START_OF_ACTIVITY_INTERRUPTS,
        turn_coverage=types.TurnCoverage.TURN_INCLUDES_ONLY_ACTIVITY,
    ),
    "context_window_compression": types.ContextWindowCompressionConfig(
        trigger_tokens=100_000, sliding_window=types.SlidingWindow(target_tokens=50_000)
    ),
    "proactivity": types.ProactivityConfig(proactive_audio=True),
    "safety_settings": [
        types.SafetySetting(
            category=types.HarmCategory.HARM_CATEGORY_HARASSMENT, threshold=types.HarmBlockThreshold.BLOCK_NONE
        )
    ],
}


@pytest.mark.parametrize("vertex", [False, True], ids=["developer", "vertex"])
async def test_everything_that_the_sdk_can_ask_for(emulator: RunningEmulator, vertex: bool) -> None:  # noqa: FBT001 - drawn
    """A configuration with every option is accepted on both APIs, and so is content with every kind of part."""
    options = types.HttpOptions(base_url=emulator.url, async_client_args={"ssl": emulator.ssl_context})
    google = genai.Client(vertexai=True, api_key="any", http_options=options) if vertex else client(emulator)
    config = types.LiveConnectConfig(**EVERYTHING)
    parts = [
        types.Part(text="My dog is Rex."),
        types.Part.from_bytes(data=b"png", mime_type="image/png"),
        types.Part.from_uri(file_uri="gs://bucket/file", mime_type="application/pdf"),
        types.Part.from_function_call(name="weather", args={"town": "Rome"}),
        types.Part.from_function_response(name="weather", response={"sky": "clear"}),
        types.Part(text="What is my dog?"),
    ]
    async with google.aio.live.connect(model=MODEL, config=config) as session:
        talk = Talk(session)
        await session.send_client_content(turns=types.Content(role="user", parts=parts))
        await talk.until(turn_complete)
    assert "You told me your dog is Rex." in answer(talk.received)
    usage = next(message.usage_metadata for message in talk.received if message.usage_metadata)
    counted = {detail.modality: detail.token_count for detail in usage.prompt_tokens_details or []}
    assert counted[types.MediaModality.IMAGE] == 258
    assert counted[types.MediaModality.DOCUMENT] == 258


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"generationConfig": {"heat": 1}}, "Unknown name \"heat\" at 'setup.generation_config': Cannot find field."),
        (
            {"generationConfig": {"topK": "a"}},
            "Invalid value at 'setup.generation_config.top_k' (TYPE_DOUBLE), 'a'",
        ),
        (
            {"generation_config": {"speech_config": {"voice": {}}}},
            "Unknown name \"voice\" at 'setup.generation_config.speech_config': Cannot find field.",
        ),
        ({"tools": [{"functions": []}]}, "Unknown name \"functions\" at 'setup.tools[0]': Cannot find field."),
        (
            {"tools": [{"functionDeclarations": [{"nam": "f"}]}]},
            "Unknown name \"nam\" at 'setup.tools[0].function_declarations[0]': Cannot find field.",
        ),
        ({"proactivity": {"audio": True}}, "Unknown name \"audio\" at 'setup.proactivity': Cannot find field."),
        ({"inputAudioTranscription": True}, "Invalid value at 'setup.input_audio_transcription' (MESSAGE), 'True'"),
        (
            {"realtimeInputConfig": {"activityHandling": "MAYBE"}},
            "Invalid value at 'setup.realtime_input_config.activity_handling' (TYPE_ENUM), 'MAYBE'",
        ),
        (
            {"contextWindowCompression": {"slidingWindow": 5}},
            "Invalid value at 'setup.context_window_compression.sliding_window' (MESSAGE), '5'",
        ),
        (
            {"sessionResumption": {"token": "h"}},
            "Unknown name \"token\" at 'setup.session_resumption': Cannot find field.",
        ),
        (
            {"systemInstruction": {"parts": [{"words": "Hi."}]}},
            "Unknown name \"words\" at 'setup.system_instruction.parts[0]': Cannot find field.",
        ),
    ],
)
async def test_what_does_not_exist_is_refused_by_its_path(
    emulator: RunningEmulator, asked: dict[str, Any], reason: str
) -> None:
    """At every level of a setup: 1007, and the reason ends in the place of the mistake, as far as a reason goes."""
    async with connect(emulator.url + PATH, ssl=emulator.ssl_context) as socket:
        await socket.send(json.dumps(setup(**asked)))
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1007
    said = reason if reason.startswith("Invalid value") else f"Invalid JSON payload received. {reason}"
    assert caught.value.rcvd.reason == said[:123]
