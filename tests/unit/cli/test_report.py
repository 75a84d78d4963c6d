"""What a report says: as JSON, as checks, as figures."""

import json

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import report
from tests.unit.cli import recorded


def test_the_json_has_every_field_of_the_contract_and_numbers_as_numbers() -> None:
    """Names as in the contract, zeros included, and a 64-bit number is a number."""
    written = json.loads(report.to_json(recorded.good_report()))
    assert list(written) == [field.name for field in pb.Report.DESCRIPTOR.fields]
    assert written["lost_turns"] == 0
    assert written["audio"] == {"frames_sent": 1234, "frames_lost": 0, "frames_doubled": 0}
    assert written["tokens"] == {
        "context_by_turn": [300, 610, 905],
        "billed": 2**40,
        "by_category": {"model": 505, "user": 400},
    }
    assert written["rotations"] == [
        {"at_turn": 2, "reason": "go_away", "continuity": "handle", "gap_ms": 84, "time": ""}
    ]


def test_an_empty_report_has_every_field_too() -> None:
    """A run that failed at once still writes the whole shape."""
    written = json.loads(report.to_json(pb.Report()))
    assert written["facts"] == {"planted": 0, "asked": 0, "recalled": 0}
    assert written["rotations"] == []


def test_a_good_report_fails_no_check() -> None:
    """Nothing lost, nothing doubled, all recalled."""
    assert report.failed(recorded.good_report()) == []


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (pb.Report(turns_planned=4), "every planned turn was completed"),
        (pb.Report(lost_turns=1), "no turn was lost"),
        (pb.Report(duplicate_turns=1), "no turn was doubled"),
        (pb.Report(audio=pb.Audio(frames_lost=1)), "no audio frame was lost"),
        (pb.Report(audio=pb.Audio(frames_doubled=1)), "no audio frame was doubled"),
        (pb.Report(facts=pb.Facts(asked=9)), "every fact that was asked for was recalled"),
        (pb.Report(regreetings=1), "the agent greeted once"),
    ],
)
def test_each_check_catches_its_own_harm(harm: pb.Report, name: str) -> None:
    """One thing wrong in a good report fails exactly one check, and one row of the summary is not ok."""
    wrong = recorded.good_report()
    wrong.MergeFrom(harm)
    assert report.failed(wrong) == [name]
    assert [figure.good for figure in report.figures(wrong)].count(False) == 1


def test_every_check_is_tried() -> None:
    """The test above has a case for each row of the table."""
    assert len(report.CHECKS) == 7


def test_the_transcript_is_two_lines_a_turn() -> None:
    """Prospect and agent, a mark where a cut made the turn start again, and no answer is said to be none."""
    assert report.to_transcript(recorded.good_run().transcript) == (
        "   1  prospect  Hello.\n"
        "      agent     Hello, this is Ada.\n"
        "   2  prospect  My budget is 40 euros.\n"
        "      agent     Noted.  (asked again after a cut)\n"
        "   3  prospect  What is my budget?\n"
        "      agent     (no answer)\n"
    )


@pytest.mark.parametrize(
    ("gaps", "words"),
    [([84], "gap 84 ms"), ([84, 84], "gap 84 ms"), ([80, 95, 1400], "gap 80 to 1,400 ms, median 95")],
)
def test_gaps_are_told_by_their_spread(gaps: list[int], words: str) -> None:
    """One number when there is one, else least, median and most."""
    assert report.spread(gaps) == words


def test_who_counted_is_told() -> None:
    """Without an emulator the summary does not claim its account."""
    assert "emulator" in report.counted_by(pb.Report(counted_by="emulator"))
    assert "emulator" not in report.counted_by(pb.Report(counted_by="client"))
