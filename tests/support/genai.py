"""google-genai, unmodified, pointed at an emulator in this process."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from google.genai.live import AsyncSession

from services.common import voice
from tests.support.emulator import RunningEmulator

MODEL = "gemini-live-2.5-flash-native-audio"
EVENT = 10.0
"""Seconds within which whatever is awaited has to come."""


def client(emulator: RunningEmulator, key: str = "any key") -> genai.Client:
    """A client as anybody would make it: public options only."""
    trust = {"ssl": emulator.ssl_context}
    options = types.HttpOptions(base_url=emulator.url, api_version="v1beta", async_client_args=trust)
    return genai.Client(api_key=key, http_options=options)


def config(**fields: Any) -> types.LiveConnectConfig:  # noqa: ANN401 - any field of the configuration
    """A configuration that asks for audio, handles and both transcriptions, and for whatever else is given."""
    asked = {
        "response_modalities": [types.Modality.AUDIO],
        "session_resumption": types.SessionResumptionConfig(),
        "input_audio_transcription": types.AudioTranscriptionConfig(),
        "output_audio_transcription": types.AudioTranscriptionConfig(),
    }
    return types.LiveConnectConfig(**{**asked, **fields})


class Talk:
    """One session of the SDK, with a voice to speak with and everything it received."""

    def __init__(self, session: AsyncSession, stream: int = 7, first_frame: int = 0) -> None:
        self.session = session
        self.received: list[types.LiveServerMessage] = []
        self.frame = first_frame
        self._stream = stream
        self._utterance = 0

    async def say(self, text: str, silence: int = 30) -> None:
        """Speak, in 20 ms messages as a microphone would, and fall silent."""
        frames = voice.speak(text, stream=self._stream, first_frame=self.frame, utterance=self._utterance)
        self.frame += len(frames)
        self._utterance += 1
        for frame in [*frames, *[voice.silence(1)] * silence]:
            await self.session.send_realtime_input(audio=types.Blob(data=frame, mime_type="audio/pcm;rate=16000"))

    async def until(self, found: Callable[[types.LiveServerMessage], object]) -> types.LiveServerMessage:
        """Receive until such a message comes; raises what the SDK raises when the connection is closed."""
        async with asyncio.timeout(EVENT):
            while True:
                async for message in self.session.receive():
                    self.received.append(message)
                    if found(message):
                        return message

    async def ask(self, text: str) -> str:
        """Speak, hear the answer out, and take the handle that follows; returns what was answered."""
        start = len(self.received)
        await self.say(text)
        await self.until(turn_complete)
        await self.until(has_handle)
        return answer(self.received[start:])

    async def closed(self) -> errors.APIError:
        """Receive until the connection is closed, and give the SDK's error."""
        with pytest.raises(errors.APIError) as caught:
            await self.until(lambda _: False)
        return caught.value

    @property
    def handle(self) -> str:
        """The newest handle."""
        updates = [message.session_resumption_update for message in self.received if has_handle(message)]
        return updates[-1].new_handle or "" if updates and updates[-1] else ""


def turn_complete(message: types.LiveServerMessage) -> bool:
    """Whether a turn ends with it."""
    return bool(message.server_content and message.server_content.turn_complete)


def interrupted(message: types.LiveServerMessage) -> bool:
    """Whether it says that the answer was cut off."""
    return bool(message.server_content and message.server_content.interrupted)


def has_handle(message: types.LiveServerMessage) -> bool:
    """Whether it tells a handle."""
    return bool(message.session_resumption_update and message.session_resumption_update.new_handle)


def answer(messages: list[types.LiveServerMessage]) -> str:
    """What the test voice says in the audio of these messages."""
    listener = voice.Listener(24_000)
    events = [event for message in messages if message.data for event in listener.feed(message.data)]
    return "".join(event.text for event in events if isinstance(event, voice.Heard))


def transcript(messages: list[types.LiveServerMessage], name: str) -> str:
    """All pieces of a transcription, joined."""
    pieces = [getattr(message.server_content, name) for message in messages if message.server_content]
    return "".join(piece.text for piece in pieces if piece)
