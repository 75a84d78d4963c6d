"""Finding the user's turns in a stream of audio.

Two small parts: the `Ear` turns PCM into sounds of at most 20 ms (the test voice, or ordinary audio judged by its
energy), and the `ActivityDetector` finds where an activity begins and ends among them.

As observed on the real service, an activity ends only by silence that arrives *as audio*: when a client simply stops
sending, the server waits. Durations are therefore counted in audio, never by a clock, and audio sent faster than real
time gives the same turns. By default a turn holds only activity, no silence (``TurnCoverage``, [DOC]).
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from services.common.voice import FRAME_SECONDS, FRAMES_PER_SECOND, Event, Heard, Listener, Unknown
from services.emulator.messages import AudioInput, Detection

DEFAULT_SILENCE: Final = 0.5
"""Seconds of silence that end an activity when neither the setup nor the settings say otherwise [?]."""
DEFAULT_PREFIX: Final = 0.1
"""Seconds of loud ordinary audio that begin an activity when the setup says nothing [?]."""
LOUD: Final = 500
"""Mean amplitude above which ordinary audio counts as speech: about -36 dBFS [?]."""

SAMPLE_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class Sound:
    """A short piece of audio: speech of the test voice, other speech, or neither. `seconds` long."""

    seconds: float
    speech: bool
    heard: Heard | None = None


class Ear:
    """Turns PCM16 mono into sounds of at most 20 ms, each judged by its own samples: how the stream is cut is nothing.

    One ear a connection. The rate may change between pieces, and begins a new stream where it does.
    """

    def __init__(self) -> None:
        """Hear nothing yet."""
        self._listeners = {rate: Listener(rate) for rate in (16_000, 24_000)}
        self._rate = 0
        self._rest = b""

    def hear(self, audio: AudioInput) -> list[Sound]:
        """The sounds in the next piece of audio; a rate unknown to the test voice is judged by energy alone."""
        listener = self._listeners.get(audio.rate)
        return self._measure(audio) if listener is None else [_sound(event) for event in listener.feed(audio.data)]

    def _measure(self, audio: AudioInput) -> list[Sound]:
        """The 20 ms pieces of audio at any other rate; what is less waits for the next piece."""
        rest = self._rest if self._rate == audio.rate else b""
        data, size = rest + audio.data, audio.rate // FRAMES_PER_SECOND * SAMPLE_BYTES
        whole = len(data) // size * size
        self._rate, self._rest = audio.rate, data[whole:]
        seconds = size / SAMPLE_BYTES / audio.rate
        return [Sound(seconds, _is_loud(data[at : at + size])) for at in range(0, whole, size)]


def _sound(event: Event) -> Sound:
    if isinstance(event, Heard):
        return Sound(FRAME_SECONDS, speech=True, heard=event)
    return Sound(event.duration, isinstance(event, Unknown) and _is_loud(event.audio))


def _is_loud(data: bytes) -> bool:
    samples = memoryview(data[: len(data) // SAMPLE_BYTES * SAMPLE_BYTES]).cast("h")
    return sum(map(abs, samples)) > LOUD * len(samples)


class Edge(Enum):
    """Where an activity begins or ends."""

    STARTED = auto()
    ENDED = auto()


class ActivityDetector:
    """Automatic detection: says where activities begin and end among the sounds.

    The test voice begins an activity with its first frame; ordinary audio has to be loud for a while first.
    """

    def __init__(self, detection: Detection, silence: float = DEFAULT_SILENCE) -> None:
        """Detect as the setup asks; `silence` is the server's own patience in seconds."""
        self._silence = silence if detection.silence is None else detection.silence
        self._prefix = DEFAULT_PREFIX if detection.prefix is None else detection.prefix
        self._active = False
        self._quiet = 0.0
        self._onset: list[Sound] = []

    def take(self, sound: Sound) -> list[Sound | Edge]:
        """What this sound adds: the edge before it, the sounds that now belong to the activity, the edge after it."""
        if not self._active:
            return self._wait(sound)
        self._quiet = 0.0 if sound.speech else self._quiet + sound.seconds
        if self._quiet < self._silence:
            return [sound]
        return [sound, *self.end()]

    def end(self) -> list[Sound | Edge]:
        """The stream ends here, and with it the activity, if there is one."""
        was_active, self._active, self._quiet, self._onset = self._active, False, 0.0, []
        return [Edge.ENDED] if was_active else []

    def _wait(self, sound: Sound) -> list[Sound | Edge]:
        if not sound.speech:
            self._onset = []
            return []
        self._onset.append(sound)
        if sound.heard is None and sum(heard.seconds for heard in self._onset) < self._prefix:
            return []
        self._active = True
        onset, self._onset = self._onset, []
        return [Edge.STARTED, *onset]
