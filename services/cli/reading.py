"""Records of runs and suites, read back from their JSON: the inverse of `report.plain`."""

import json
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from filo.simulator.v1 import simulator_pb2 as pb

_M = TypeVar("_M", bound=Message)


class RecordError(ValueError):
    """A file is no record of a run or of a suite; says why, in one line."""


def load(path: Path) -> pb.Run | pb.SuiteResult:
    """Read ``run.json`` or ``suite.json``.

    Args:
        path: The file, or a directory that holds one of them.

    Raises:
        RecordError: It cannot be read, or is neither.
    """
    found = path
    if path.is_dir():
        found = next((path / name for name in ("suite.json", "run.json") if (path / name).exists()), path / "run.json")
    try:
        values = json.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{found}: {getattr(error, 'strerror', None) or 'is not JSON'}") from error
    if not isinstance(values, dict) or not {"runs", "transcript"} & values.keys():
        raise RecordError(f"{found}: is neither the record of a run (run.json) nor of a suite (suite.json)")
    try:
        return restore(values, pb.SuiteResult() if "runs" in values else pb.Run())
    except (TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{found}: {error}") from error


def restore(values: dict[str, Any], into: _M) -> _M:
    """Fill a message from plain values; names that it does not know are left out, as those of a newer Filo.

    A message with nothing in it is left out too: plain values do not tell it from none.

    Raises:
        TypeError: A value is of another kind than its field.
        ValueError: A value is outside what its field can hold.
        AttributeError: The same, of a whole message.
    """
    for field in into.DESCRIPTOR.fields:
        value = values.get(field.name)
        if value is None or value in ("", [], {}):
            continue
        target = getattr(into, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            target.update(value)
        elif field.is_repeated:
            for item in value:
                restore(item, target.add()) if field.message_type else target.append(item)
        elif isinstance(target, Timestamp):
            target.FromJsonString(value)
        elif field.message_type:
            part = restore(value, type(target)())
            if part.ByteSize():
                target.CopyFrom(part)
        else:
            setattr(into, field.name, value)
    return into
