"""What a run's report says: as JSON, as checks that pass or fail, and as figures for a person. Pure."""

import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from filo.simulator.v1 import simulator_pb2 as pb


class Check(NamedTuple):
    """Something that must hold after a run: its name, and whether a report shows it."""

    name: str
    holds: Callable[[pb.Report], bool]


# What "nothing was lost" means. Every value was counted by the simulator, most of them against the emulator's own
# account of what reached it.
CHECKS: Final = (
    Check("every planned turn was completed", lambda r: r.turns_completed == r.turns_planned),
    Check("no turn was lost", lambda r: not r.lost_turns),
    Check("no turn was doubled", lambda r: not r.duplicate_turns),
    Check("no audio frame was lost", lambda r: not r.audio.frames_lost),
    Check("no audio frame was doubled", lambda r: not r.audio.frames_doubled),
    Check("every fact that was asked for was recalled", lambda r: r.facts.recalled == r.facts.asked),
    Check("the agent greeted once", lambda r: not r.regreetings),
)


_KINDS: Final = frozenset(kind.name for kind in pb.WatchRunResponse.DESCRIPTOR.oneofs_by_name["event"].fields)


class Figure(NamedTuple):
    """One row of a summary. `good` is None where there is nothing to judge."""

    name: str
    value: str
    good: bool | None


def failed(report: pb.Report, checks: Iterable[Check] = CHECKS) -> list[str]:
    """The names of the checks that do not hold."""
    return [check.name for check in checks if not check.holds(report)]


def evidence(shown: pb.Evidence) -> str:
    """What shows a finding, with its turn where it has one."""
    return f"turn {shown.turn}: {shown.text}" if shown.turn else shown.text


def plain(message: Message) -> dict[str, Any]:
    """A message as plain values: names as in the contract, every field present, numbers as numbers.

    Times are texts such as ``2026-11-22T02:10:00.25Z``, empty where there is none; a field that may be absent is null
    then. `google.protobuf.json_format` writes 64-bit integers as strings, which no reader of a report expects.
    """
    return {field.name: _value(message, field) for field in message.DESCRIPTOR.fields}


def to_json(message: Message) -> str:
    """``report.json``, ``run.json``, ``suite.json``: a message as JSON."""
    return json.dumps(plain(message), indent=2) + "\n"


def event(message: Message) -> dict[str, Any]:
    """An event of a run as plain values, without the fields of all the kinds that it is not."""
    return {name: value for name, value in plain(message).items() if name not in _KINDS or message.HasField(name)}


def to_transcript(lines: Iterable[pb.TranscriptLine]) -> str:
    """``transcript.txt``: two lines a turn."""
    told = []
    for line in lines:
        mark = "  (asked again after a cut)" if line.restarted else ""
        told.append(f"{line.turn:>4}  prospect  {line.prospect}\n      agent     {line.agent or '(no answer)'}{mark}\n")
    return "".join(told)


def figures(report: pb.Report) -> list[Figure]:
    """The summary that a stranger understands, row by row."""
    facts, audio, tokens = report.facts, report.audio, report.tokens
    whole = report.turns_completed == report.turns_planned
    recalled = facts.recalled == facts.asked
    kept = not (audio.frames_lost or audio.frames_doubled)
    return [
        Figure("turns completed", f"{report.turns_completed} of {report.turns_planned}", whole),
        Figure("completed turns lost", f"{report.lost_turns}", not report.lost_turns),
        Figure("turns doubled", f"{report.duplicate_turns}", not report.duplicate_turns),
        Figure("turns begun again after a cut", f"{report.restarted_turns}", None),
        Figure("facts recalled", f"{facts.recalled} of {facts.asked} asked, {facts.planted} told", recalled),
        Figure("greetings after the first", f"{report.regreetings}", not report.regreetings),
        Figure("connections replaced by the relay", _marks(report.rotations), None),
        Figure("returns of the client's socket", _marks(report.client_reconnects), None),
        Figure(
            "audio frames",
            f"{audio.frames_sent:,} sent, {audio.frames_lost:,} lost, {audio.frames_doubled:,} doubled",
            kept,
        ),
        Figure("tokens", f"{_last(tokens.context_by_turn):,} in the context, {tokens.billed:,} billed", None),
    ]


def counted_by(report: pb.Report) -> str:
    """A sentence that says whose count of lost and doubled it is."""
    if report.counted_by == "emulator":
        return "Lost and doubled are counted against the emulator's own account of what reached it."
    return "Lost and doubled are counted by the agent's own answers."


def spread(gaps: Sequence[int]) -> str:
    """Gaps in milliseconds: from the least to the most, and the median; one number when they are all alike."""
    if min(gaps) == max(gaps):
        return f"gap {gaps[0]:,} ms"
    return f"gap {min(gaps):,} to {max(gaps):,} ms, median {statistics.median(gaps):,.0f}"


def _marks(marks: Sequence[pb.RotationMark] | Sequence[pb.ReconnectMark]) -> str:
    if not marks:
        return "0"
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(mark.reason for mark in marks).items())
    return f"{reasons}; {spread([mark.gap_ms for mark in marks])}"


def _last(numbers: Sequence[int]) -> int:
    return numbers[-1] if numbers else 0


def _value(message: Message, field: Any) -> Any:  # noqa: ANN401 - descriptors have several types
    value, kind = getattr(message, field.name), field.message_type
    if field.has_presence and not kind and not message.HasField(field.name):
        return None
    if kind and kind.GetOptions().map_entry:
        return {key: _single(kind.fields_by_name["value"], value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: Any, value: Any) -> Any:  # noqa: ANN401 - the same
    if isinstance(value, Timestamp):
        return value.ToJsonString() if value.ByteSize() else ""
    return plain(value) if field.message_type else value
