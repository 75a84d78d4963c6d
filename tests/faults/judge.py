"""What must be true of a conversation after anything: judged from what the client was told and what Gemini has."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

from filo.client import Audio, Event, Reconnected
from filo.client import messages as told
from services.common import voice
from tests.support.client import Speaker

_WORST_FIRST: Final = ("none", "transcript", "rebased", "handle", "started")


def context(account: Mapping[str, Any], speaker: Speaker) -> Iterator[str]:
    """Whether Gemini's context holds every turn exactly once, in order, and each that is there as audio frame by frame.

    Args:
        account: The emulator's account of the voice.
        speaker: Who spoke.
    """
    turns = [turn for turn in account["context"] if turn["role"] == "user" and turn["kind"] != "tool"]
    if (texts := [turn["text"].strip() for turn in turns]) != speaker.lines:
        yield f"the context has the turns {texts}"
        return
    for number, (turn, frames) in enumerate(zip(turns, _spoken(speaker.lines), strict=True), start=1):
        if turn["kind"] == "audio" and turn["frames"] != [frames]:
            yield f"of turn {number}, frames {frames}, the context has {turn['frames']}"
    if repeated := account["frames"]["repeated_in_context"]:
        yield f"{repeated} frames are in the context twice"


def _spoken(lines: Sequence[str]) -> list[list[int]]:
    """The first and the last frame of each line."""
    ends = list(accumulate(voice.frame_count(line) for line in lines))
    return [[first, end - 1] for first, end in zip([0, *ends], ends, strict=False)]


def turns(events: Sequence[Event], count: int, greeted: int = 0) -> Iterator[str]:
    """Whether each of so many turns was told to be complete, once; the newest before a newcomer in its greeting."""
    done = [event.turn for event in events if isinstance(event, told.TurnComplete | told.TurnMissed)]
    if greeted and greeted not in done:
        done = sorted([*done, greeted])
    if done != list(range(1, count + 1)):
        yield f"the turns {done} were told to be complete, not 1 to {count}"


def answers(events: Sequence[Event]) -> Iterator[str]:
    """Whether each answer was heard whole, once; one that was interrupted, without holes as far as it came."""
    for turn, frames in _heard(events):
        whole = sum(frame.last for frame in frames)
        if whole != 1 and not (turn.interrupted and whole == 0):
            yield f"the answer of turn {turn.turn} was heard whole {whole} times"
        elif any(after.frame != before.frame + 1 for before, after in pairwise(frames)):
            yield f"the answer of turn {turn.turn} has holes"


def interruptions(events: Sequence[Event]) -> Iterator[str]:
    """Whether no answer was interrupted, where nobody speaks into one."""
    for event in events:
        if isinstance(event, told.TurnComplete | told.TurnMissed) and event.interrupted:
            yield f"the answer of turn {event.turn} was interrupted, though nobody spoke into it"


def begun_again(events: Sequence[Event]) -> Iterator[bool]:
    """Each turn of which something was heard and that began again, told or by a new epoch.

    Yields:
        Whether its answer had been heard to the end.
    """
    ear = voice.Listener(24_000)
    epoch = heard = complete = 0
    whole = False
    for event in events:
        match event:
            case Audio(pcm):
                whole |= any(isinstance(sound, voice.Heard) and sound.last for sound in ear.feed(pcm))
            case told.Transcript():
                whole = whole and heard == event.turn
                heard = event.turn
            case told.TurnComplete() | told.TurnMissed():
                complete = event.turn
            case told.TurnRestarted():
                yield whole and complete < event.turn
                heard, whole = 0, False
            case told.SessionStarted() | told.SessionResumed():
                if epoch != event.epoch:
                    if epoch and heard > event.turn:
                        yield whole
                    epoch, heard, whole = event.epoch, 0, False
            case _:
                pass


def _heard(events: Sequence[Event]) -> Iterator[tuple[told.TurnComplete, list[voice.Heard]]]:
    """The spoken frames of every turn, without what the client was told to forget.

    A new epoch says it too: a turn that is not complete there begins again.
    """
    ear = voice.Listener(24_000)
    frames: list[voice.Heard] = []
    epoch = 0
    for event in events:
        match event:
            case Audio(pcm):
                frames += [sound for sound in ear.feed(pcm) if isinstance(sound, voice.Heard)]
            case told.SessionStarted() | told.SessionResumed():
                frames = frames if event.epoch == epoch else []
                epoch = event.epoch
            case told.TurnRestarted() if not any(frame.last for frame in frames):
                frames = []
            case told.TurnComplete():
                yield event, frames
                frames = []
            case _:
                pass


def inputs(events: Sequence[Event]) -> Iterator[str]:
    """Whether the relay has asked for nothing that it had called covered."""
    for event in events:
        if isinstance(event, Reconnected) and event.lost_inputs:
            yield f"the relay asked for {event.lost_inputs} inputs again that it had called covered"


def greetings(events: Sequence[Event]) -> int:
    """How often the agent introduced itself, in what the client did not have to forget."""
    said: dict[int, str] = {}
    epoch = 0
    for event in events:
        match event:
            case told.SessionResumed():
                said = {turn: text for turn, text in said.items() if turn <= event.turn or event.epoch == epoch}
                epoch = event.epoch
            case told.SessionStarted():
                epoch = event.epoch
            case told.TurnRestarted():
                said[event.turn] = ""
            case told.Transcript(role="agent"):
                said[event.turn] = said.get(event.turn, "") + event.text
            case _:
                pass
    return sum(text.count("Hello, this is") for text in said.values())


def continuity(events: Sequence[Event]) -> str:
    """The worst that the client was told of how the context survived."""
    found = [
        "started" if isinstance(event, told.SessionStarted) else event.continuity
        for event in events
        if isinstance(event, told.SessionStarted | told.SessionResumed | told.Rotated)
    ]
    return min(found, key=_WORST_FIRST.index, default="")


def gap(events: Sequence[Event]) -> float:
    """The longest time without an upstream or a socket that was told, in seconds."""
    rotated = [event.gap_ms / 1000 for event in events if isinstance(event, told.Rotated)]
    return max((*rotated, *(event.gap for event in events if isinstance(event, Reconnected))), default=0.0)
