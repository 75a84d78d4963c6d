"""Records that were written are read back as they were."""

import json
from pathlib import Path

import pytest
from google.protobuf import json_format

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import reading, records, report
from tests.unit.cli import recorded
from tests.unit.simulator.html.recorded import good_run, suite


@pytest.mark.parametrize("run", [good_run(), recorded.good_run(), pb.Run()])
def test_a_run_is_read_back_as_it_was_written(run: pb.Run, tmp_path: Path) -> None:
    """Times, maps, enums, what is present and what is not: through `run.json`, named or found in its directory."""
    records.save_run(run, tmp_path)
    assert reading.load(tmp_path / "run.json") == run
    assert reading.load(tmp_path) == run


def test_a_suite_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """With all its runs."""
    result = suite(good_run(), good_run(2), error="gone")
    records.save_suite(result, tmp_path)
    found = reading.load(tmp_path)
    assert json_format.MessageToDict(found) == json_format.MessageToDict(result)


def test_names_of_a_newer_filo_are_left_out() -> None:
    """What is not known is no reason to read nothing."""
    assert reading.restore({"name": "runs/r1", "mood": "good"}, pb.Run()) == pb.Run(name="runs/r1")


NO_RECORDS = (
    "",
    "[]",
    "{}",
    "not json",
    '{"transcript": 7}',
    '{"transcript": [{"turn": "one"}]}',
    '{"transcript": [], "report": 3}',
    '{"transcript": [], "end_time": "noon"}',
    '{"runs": [{"run": []}, 3]}',
)


@pytest.mark.parametrize("text", NO_RECORDS)
def test_what_is_no_record_is_refused(text: str, tmp_path: Path) -> None:
    """In one line that names the file."""
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(reading.RecordError, match=r"x\.json: \S"):
        reading.load(tmp_path / "x.json")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    """The same."""
    with pytest.raises(reading.RecordError, match="No such file"):
        reading.load(tmp_path / "run.json")


def test_the_record_is_plain_json(tmp_path: Path) -> None:
    """What is read back is what `report.plain` says."""
    run = good_run()
    (tmp_path / "run.json").write_text(json.dumps(report.plain(run)), encoding="utf-8")
    assert reading.load(tmp_path / "run.json") == run
