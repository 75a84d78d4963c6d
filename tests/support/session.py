"""One emulated session under a hand-moved clock: say something, let time pass, look at what came."""

import base64
import json
import random
from collections.abc import Callable
from itertools import count
from typing import Any

from services.common import voice
from services.emulator.admission import Caller
from services.emulator.brain import Brain
from services.emulator.closes import Close
from services.emulator.config import Settings
from services.emulator.context import Context
from services.emulator.effects import Action, ContextChanged, Effect, End, Fact, Send
from services.emulator.faults import Plan
from services.emulator.handles import HandleStore
from services.emulator.profiles import Backend
from services.emulator.replies import Message
from services.emulator.session import Session, Shared

MODEL = "models/gemini-live-2.5-flash-native-audio"
TEXT_MODEL = "models/gemini-live-2.5-flash-preview"
QUIET = 30
"""Frames of silence that end the user's turn."""


def setup(model: str = MODEL, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A setup message that asks for handles and both transcriptions, and for whatever else is given."""
    asked: dict[str, Any] = {"sessionResumption": {}, "inputAudioTranscription": {}, "outputAudioTranscription": {}}
    return {"setup": {"model": model, **asked, **fields}}


def audio(data: bytes, rate: int = 16_000) -> dict[str, Any]:
    """A realtime audio message."""
    blob = {"data": base64.b64encode(data).decode(), "mimeType": f"audio/pcm;rate={rate}"}
    return {"realtimeInput": {"audio": blob}}


def text(said: str) -> dict[str, Any]:
    """A realtime text message."""
    return {"realtimeInput": {"text": said}}


def activity(edge: str) -> dict[str, Any]:
    """An activityStart or activityEnd message."""
    return {"realtimeInput": {edge: {}}}


def content(*turns: tuple[str, str], complete: bool = True) -> dict[str, Any]:
    """Client content: turns as (role, text)."""
    listed = [{"role": role, "parts": [{"text": said}]} for role, said in turns]
    return {"clientContent": {"turns": listed, "turnComplete": complete}}


def snake(value: object) -> object:
    """The same JSON with every name in snake_case."""
    if isinstance(value, dict):
        return {
            "".join(f"_{c.lower()}" if c.isupper() else c for c in name): snake(item) for name, item in value.items()
        }
    return [snake(item) for item in value] if isinstance(value, list) else value


class House:
    """What the sessions of one test share."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - any field of Settings
        numbers = count(1)
        self.settings = Settings(**{"speed": 10.0, "thinking": 0.1, **settings})
        self.handles = HandleStore(
            lambda: f"handle-{next(numbers)}",
            refuse_while_open=self.settings.refuse_resume_while_open,
        )
        self.faults = Plan(self.settings.faults)
        self._connections = count(1)

    def call(
        self,
        *,
        now: float = 0.0,
        key: str = "a key",
        vertex: bool = False,
        **options: Any,  # noqa: ANN401 - any of setup
    ) -> "Call":
        """Open a connection; with `options` for its setup unless ``greet=False``."""
        backend = Backend.VERTEX if vertex else Backend.DEVELOPER
        call = Call(self, Caller(f"c{next(self._connections)}", key, backend=backend), now)
        if options.pop("greet", True):
            call.send(setup(**options))
        return call


class Call:
    """One connection, and everything that came of it."""

    def __init__(self, house: House, caller: Caller, now: float) -> None:
        self.now = now
        self.effects: list[tuple[float, Effect]] = []
        self.frame = 0
        self.utterance = 0
        shared = Shared(house.settings, Brain(), house.handles, house.faults)
        self.session = Session(shared, caller, random.Random(caller.connection), now)  # noqa: S311 - repeatable

    def send(self, message: dict[str, Any] | str | bytes) -> "Call":
        """Let the client send a message, or a raw frame, at this moment."""
        frame = json.dumps(message) if isinstance(message, dict) else message
        self.session.receive(frame, self.now)
        self._collect()
        return self

    def wait(self, seconds: float) -> "Call":
        """Let time pass: everything due happens at its own moment."""
        until = self.now + seconds
        while (due := self.session.due) is not None and due <= until:
            self.now = due
            self.session.advance(due)
            self._collect()
        self.now = until
        return self

    def wait_for(self, found: Callable[[Message], bool], within: float = 60.0) -> Message:
        """Let time pass until such a message is sent, and no further."""
        start, until = len(self.effects), self.now + within
        while (due := self.session.due) is not None and due <= until:
            self.now = due
            self.session.advance(due)
            self._collect()
            for _, effect in self.effects[start:]:
                if isinstance(effect, Send) and found(effect.message):
                    return effect.message
        raise AssertionError(f"no such message within {within} s: {self.messages}")

    def speak(self, said: str, *, stream: int = 7) -> "Call":
        """Say something with the test voice, without the silence after it."""
        frames = voice.speak(said, stream=stream, first_frame=self.frame, utterance=self.utterance)
        self.frame += len(frames)
        self.utterance += 1
        return self.send(audio(b"".join(frames)))

    def hush(self, frames: int = QUIET) -> "Call":
        """Silence."""
        return self.send(audio(voice.silence(frames)))

    def ask(self, said: str) -> str:
        """Say something, and hear the answer out, with its handle; returns what the model said."""
        start = len(self.effects)
        self.speak(said).hush().wait_for(is_turn_complete)
        self.wait(0.08)
        return heard([effect.message for _, effect in self.effects[start:] if isinstance(effect, Send)])

    def hang_up(self) -> "Call":
        """Let the socket be closed."""
        self.session.disconnected(self.now)
        return self

    def _collect(self) -> None:
        self.effects += [(self.now, effect) for effect in self.session.effects()]

    @property
    def messages(self) -> list[Message]:
        """What was sent to the client."""
        return [effect.message for _, effect in self.effects if isinstance(effect, Send)]

    @property
    def facts(self) -> list[Fact]:
        """What was told to the account."""
        return [effect for _, effect in self.effects if not isinstance(effect, Action)]

    @property
    def close(self) -> Close | None:
        """How the connection was closed."""
        return next((effect.close for _, effect in self.effects if isinstance(effect, End)), None)

    @property
    def context(self) -> Context:
        """What the model knows."""
        known = [fact for fact in self.facts if isinstance(fact, ContextChanged)]
        return known[-1].context

    @property
    def handle(self) -> str:
        """The newest handle the client was told."""
        updates = [
            message["sessionResumptionUpdate"] for message in self.messages if "sessionResumptionUpdate" in message
        ]
        handle: str = [update["newHandle"] for update in updates if update.get("resumable")][-1]
        return handle

    def time_of(self, found: Callable[[Message], bool]) -> float:
        """When the last such message was sent."""
        return [at for at, effect in self.effects if isinstance(effect, Send) and found(effect.message)][-1]


def kind(message: Message) -> str:
    """A short name for a message: its field, or the field of its server content."""
    name = next(iter(message))
    return str(next(iter(message[name]))) if name == "serverContent" else str(name)


def is_turn_complete(message: Message) -> bool:
    """Whether a turn ends with it."""
    return "turnComplete" in message.get("serverContent", {})


def is_audio(message: Message) -> bool:
    """Whether it carries a part of the answer."""
    return "modelTurn" in message.get("serverContent", {})


def is_update(message: Message) -> bool:
    """Whether it tells a handle."""
    return "newHandle" in message.get("sessionResumptionUpdate", {})


def heard(messages: list[Message]) -> str:
    """What the test voice says in the audio of these messages."""
    listener = voice.Listener(24_000)
    parts = [message["serverContent"]["modelTurn"]["parts"][0] for message in messages if is_audio(message)]
    events = [event for part in parts for event in listener.feed(part["inlineData"]["data"])]
    return "".join(event.text for event in events if isinstance(event, voice.Heard))


def transcribed(messages: list[Message], name: str) -> str:
    """All pieces of a transcription, joined."""
    contents = [message["serverContent"] for message in messages if "serverContent" in message]
    return "".join(part[name]["text"] for part in contents if name in part)
