"""The first message of a connection."""

import json
from typing import Any

from google.genai import types
from google.protobuf import struct_pb2
from google.protobuf.json_format import ParseDict

from filo.handles.v1.resources_pb2 import AgentConfig
from services.relay.upstream.setup import setup

MODEL = "models/gemini-2.5-flash-native-audio"
TOOL = {
    "functionDeclarations": [
        {"name": "lookup", "description": "Looks up.", "parameters": {"type": "OBJECT", "properties": {}}}
    ]
}


def rendered(agent: AgentConfig, *, handle: str | None = None, history: bool = False) -> dict[str, Any]:
    """The setup as Gemini reads it."""
    message = json.loads(setup(agent, handle=handle, history=history))
    assert list(message) == ["setup"]
    fields: dict[str, Any] = message["setup"]
    return fields


def full() -> AgentConfig:
    """An agent with everything."""
    agent = AgentConfig(
        model=MODEL, system_instruction="Sell the thread.", voice="Puck", language_code="it-IT", temperature=0.0
    )
    agent.tools.append(ParseDict(TOOL, struct_pb2.Struct()))
    return agent


def test_a_short_setup() -> None:
    """What Filo always wants: audio, resumption, compression, both transcripts."""
    fields = rendered(AgentConfig(model=MODEL))
    assert fields == {
        "model": MODEL,
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "sessionResumption": {},
        "contextWindowCompression": {"slidingWindow": {}},
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
    }


def test_a_client_that_marks_its_own_activity() -> None:
    """Gemini's own detection is off."""
    fields = rendered(AgentConfig(model=MODEL, manual_activity=True))
    assert fields["realtimeInputConfig"] == {"automaticActivityDetection": {"disabled": True}}


def test_a_full_setup() -> None:
    """Everything that an agent can be configured with; a temperature of 0 is a temperature."""
    fields = rendered(full())
    assert fields["systemInstruction"]["parts"] == [{"text": "Sell the thread."}]
    assert fields["generationConfig"]["temperature"] == 0.0
    assert fields["generationConfig"]["speechConfig"] == {
        "languageCode": "it-IT",
        "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}},
    }
    (declaration,) = fields["tools"][0]["functionDeclarations"]
    assert declaration["name"] == "lookup"
    assert declaration["parameters"]["type"] == "OBJECT"


def test_a_language_without_a_voice() -> None:
    """Each alone is a speech configuration."""
    agent = AgentConfig(model=MODEL, language_code="it-IT")
    assert rendered(agent)["generationConfig"]["speechConfig"] == {"languageCode": "it-IT"}


def test_a_resumed_connection_sends_everything_again() -> None:
    """No document says that anything but the context persists: only the handle is new."""
    fresh, resumed = rendered(full()), rendered(full(), handle="h1")
    assert resumed.pop("sessionResumption") == {"handle": "h1"}
    assert fresh.pop("sessionResumption") == {}
    assert fresh == resumed


def test_history_is_announced() -> None:
    """Only where it follows."""
    assert rendered(full(), history=True)["historyConfig"] == {"initialHistoryInClientContent": True}
    assert "historyConfig" not in rendered(full())


def test_it_is_what_the_sdk_means() -> None:
    """google-genai reads its own type back."""
    message = types.LiveClientMessage.model_validate_json(setup(full(), handle="h1", history=True))
    assert message.setup is not None
    assert message.setup.session_resumption is not None
    assert message.setup.session_resumption.handle == "h1"


def test_without_compression() -> None:
    """The context then ends where the window does, and a session with audio after 15 minutes."""
    message = json.loads(setup(AgentConfig(model=MODEL), handle=None, history=False, compression=False))
    assert "contextWindowCompression" not in message["setup"]
