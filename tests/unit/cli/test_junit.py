"""JUnit XML: what CI shows of a suite."""

from xml.etree import ElementTree as ET

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import junit, records
from tests.unit.cli import recorded


def result() -> pb.SuiteResult:
    """One run that passed, one with two failed checks, one that could not be run, one that was lost unjudged."""
    good = recorded.good_run()
    good.report.passed = True
    good.report.checks.add(name="lost_turns", passed=True)
    bad = recorded.good_run()
    bad.report.checks.add(
        name="facts_recalled",
        finding="1 of 2 questions <was> answered.",
        evidence=[pb.Evidence(turn=7, text="What is my company? & so on")],
    )
    bad.report.checks.add(name="lost_turns", finding="2 turns are lost.")
    lost = pb.Run(name="runs/x", reason="The simulator failed.")
    made = pb.SuiteResult(name="limits", parallel=2)
    made.start_time.FromSeconds(1_000)
    made.end_time.FromSeconds(1_090)
    made.runs.add(title="good one", persona="hostile", run=good)
    made.runs.add(title="bad one", persona="hostile", run=bad)
    made.runs.add(title="not run", persona="italiana", error="SERVICE_UNAVAILABLE: away")
    made.runs.add(title="lost", persona="italiana", run=lost)
    return made


def test_each_run_is_a_case_and_each_failed_check_a_failure() -> None:
    """With the finding as its message and the evidence as its text."""
    suite = ET.fromstring(junit.to_xml(result()))  # noqa: S314 - our own
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("4", "2")
    assert (suite.attrib["errors"], suite.attrib["time"]) == ("1", "90.000")
    good, bad, not_run, lost = suite.findall("testcase")
    assert (good.attrib["classname"], good.attrib["name"]) == ("limits.hostile", "good one")
    assert good.find("failure") is None
    assert [failure.attrib["type"] for failure in bad.findall("failure")] == ["facts_recalled", "lost_turns"]
    assert bad.find("failure").text == "turn 7: What is my company? & so on"  # type: ignore[union-attr]
    assert not_run.find("error").attrib["message"] == "SERVICE_UNAVAILABLE: away"  # type: ignore[union-attr]
    assert lost.find("failure").attrib["message"] == "The simulator failed."  # type: ignore[union-attr]


@pytest.mark.parametrize("outcome", [pb.OUTCOME_FAILED, pb.OUTCOME_LOST])
@pytest.mark.parametrize("passed", [True, False])
def test_the_reports_verdict_alone_decides(outcome: pb.Outcome.ValueType, *, passed: bool) -> None:
    """A lost run whose thresholds allow it is no failure; one that failed is, although no check says so."""
    run = pb.Run(outcome=outcome, reason="The simulator failed.", report=pb.Report(passed=passed))
    run.report.checks.add(name="turns_completed", passed=True)
    made = pb.SuiteResult(runs=[pb.SuiteRun(title="one", run=run)])
    suite = ET.fromstring(junit.to_xml(made))  # noqa: S314 - our own
    told = [failure.attrib["message"] for failure in suite.findall(".//failure")]
    assert (suite.attrib["failures"], told) == (("0", []) if passed else ("1", ["The simulator failed."]))


def test_what_xml_cannot_hold_is_replaced() -> None:
    """A control character in somebody's words leaves the file readable."""
    made = result()
    made.name = "bell\x07"
    made.runs[1].run.report.checks[-1].evidence.add(turn=3, text="a\x00b\ufffe")
    suite = ET.fromstring(junit.to_xml(made))  # noqa: S314 - our own
    assert suite.attrib["name"] == "bell\ufffd"
    assert suite.findall(".//failure")[1].text == "turn 3: a\ufffdb\ufffd"


def test_a_directory_of_a_run_has_a_name_for_file_systems() -> None:
    """Number and title, nothing that a path does not like."""
    assert records.run_directory(7, pb.SuiteRun(title="wild: a/b, seed 3 * \u00c4")) == "007-wild-a-b-seed-3"
