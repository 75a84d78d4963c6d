"""A suite's result as JUnit XML, which every CI system reads. Pure."""

import re
from typing import Final
from xml.etree import ElementTree as ET

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import report

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped (section 2.2)."""


def to_xml(result: pb.SuiteResult) -> str:
    """``junit.xml``: a test case for each run; a failed check is a failure, a run that could not be run an error."""
    failed = [run for run in result.runs if not run.error and not run.run.report.passed]
    errors = [run for run in result.runs if run.error]
    suite = ET.Element(
        "testsuite",
        name=result.name,
        tests=str(len(result.runs)),
        failures=str(len(failed)),
        errors=str(len(errors)),
        skipped="0",
        time=f"{_seconds(result):.3f}",
        timestamp=result.start_time.ToDatetime().isoformat(timespec="seconds"),
    )
    for run in result.runs:
        suite.append(_case(result.name, run))
    ET.indent(suite)
    text = _NOT_XML.sub("\ufffd", ET.tostring(suite, encoding="unicode"))
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _case(suite: str, run: pb.SuiteRun) -> ET.Element:
    case = ET.Element("testcase", classname=f"{suite}.{run.persona}", name=run.title, time=f"{_took(run.run):.3f}")
    if run.error:
        ET.SubElement(case, "error", message=run.error)
        return case
    for check in run.run.report.checks:
        if not check.passed:
            failure = ET.SubElement(case, "failure", message=f"{check.name}: {check.finding}", type=check.name)
            failure.text = "\n".join(report.evidence(shown) for shown in check.evidence)
    if not run.run.report.passed and all(check.passed for check in run.run.report.checks):
        ET.SubElement(case, "failure", message=run.run.reason, type="outcome")
    ET.SubElement(case, "system-out").text = f"{run.run.name}: {run.run.reason}"
    return case


def _seconds(result: pb.SuiteResult) -> float:
    return (result.end_time.ToDatetime() - result.start_time.ToDatetime()).total_seconds()


def _took(run: pb.Run) -> float:
    if not run.HasField("end_time"):
        return 0.0
    return (run.end_time.ToDatetime() - run.create_time.ToDatetime()).total_seconds()
