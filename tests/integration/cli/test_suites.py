"""`filo train` with services of its own, suites, and `filo runs`, as a user runs them."""

import json
import os
import re
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.stack import environment, filo, up

pytestmark = pytest.mark.timeout(170)

SUITE = """
name: small
stack: {connection_lifetime: 2s, goaway_lead: 600ms, speed: 20}
defaults: {turns: 8, thresholds: {longest_gap_ms: 60000, longest_silence_s: 60}}
runs:
  - {persona: [enthusiastic, italiana], faults: [none, mine.yaml], seeds: [1]}
  - {name: away, persona: skeptical, faults: dies.yaml}
"""
MINE = "name: mine\nfaults: [{at: network, do: cut, when: speech, turn: 4}]"
DIES = "name: dies\nfaults: [{at: service, do: kill, when: answer, turn: 4, service: relay}]"


def alone(directory: Path) -> dict[str, str]:
    """An environment that names no simulator: a suite starts its own services."""
    return {name: value for name, value in environment(directory).items() if name != "FILO_SIMULATOR_ADDRESS"}


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Path:
    """A directory with a suite in it."""
    for name, text in (("small.yaml", SUITE), ("mine.yaml", MINE), ("dies.yaml", DIES)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_suite_passes_and_leaves_its_results(place: Path) -> None:
    """In services of its own, one of which is killed in the middle: exit code 0, a table, JSON, JUnit, every record."""
    done = filo("train", "--suite", "small.yaml", "--parallel", "3", "--report", "out", environ=alone(place), cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 of 5 runs passed" in done.stdout
    result = json.loads((place / "out" / "suite.json").read_text("utf-8"))
    assert result["passed"] is True
    assert [run["title"] for run in result["runs"]][:2] == ["enthusiastic, none, seed 1", "enthusiastic, mine, seed 1"]
    killed = result["runs"][-1]["run"]["report"]
    assert [(fault["target"], fault["kind"], fault["service"]) for fault in killed["faults"]] == [
        ("service", "kill", "relay")
    ]
    assert killed["client_reconnects"]
    assert killed["lost_turns"] == killed["audio"]["frames_lost"] == 0
    cases = ET.parse(place / "out" / "junit.xml").getroot().findall("testcase")  # noqa: S314 - our own
    assert len(cases) == 5
    assert not any(case.find("failure") is not None for case in cases)
    kept = sorted(path.name for path in (place / "out").iterdir() if path.is_dir())
    assert kept[0] == "001-enthusiastic-none-seed-1"
    assert {path.name for path in (place / "out" / kept[0]).iterdir()} >= {"run.json", "report.json", "transcript.txt"}
    page = (place / "out" / "report.html").read_text("utf-8")
    assert "Passed, 5 of 5 runs" in page
    assert all(run["title"] in page for run in result["runs"])


def test_the_same_suite_fails_in_the_world_before_filo(place: Path) -> None:
    """Exit code 1, and the checks that fail are those one would expect."""
    done = filo("train", "--suite", "small.yaml", "--parallel", "3", "--no-resume", environ=alone(place), cwd=place)
    assert done.returncode == 1, done.stdout + done.stderr
    result = json.loads((place / "reports" / "small" / "suite.json").read_text("utf-8"))
    for run in result["runs"]:
        failed = {check["name"] for check in run["run"]["report"]["checks"] if not check["passed"]}
        assert "turns_completed" in failed, run["title"]
        assert failed <= {"turns_completed", "phases_reached", "frames_lost", "faults_struck"}
        assert "does not resume" in run["run"]["reason"]


def test_bad_input_is_told_before_anything_starts(place: Path) -> None:
    """Exit code 2: of a suite, of a document, of a plan that needs services of one's own."""
    (place / "bad.yaml").write_text("name: bad\nruns: [{persona: nobody}]", encoding="utf-8")
    for words, told in (
        (["--suite", "bad.yaml"], "bad.yaml: persona nobody: there is none of that name"),
        (["--persona", "gone.yaml"], "persona gone.yaml: cannot be read"),
        (["--persona", "mine.yaml"], "persona mine.yaml: faults: is not a field of this"),
        (["--faults", "dies.yaml"], "breaks services, which is possible only with --own"),
    ):
        done = filo("train", *words, environ=environment(place), cwd=place)
        assert done.returncode == 2, done.stdout + done.stderr
        assert told in done.stderr
        assert "Starting" not in done.stdout


def test_nothing_to_run_in_is_exit_code_3(place: Path) -> None:
    """No simulator answers there."""
    done = filo("train", "--address", "127.0.0.1:1", environ=environment(place), cwd=place)
    assert done.returncode == 3
    assert "no simulator answers at 127.0.0.1:1" in done.stderr
    began = time.monotonic()
    words = ("--suite", "small.yaml", "--parallel", "1", "--address", "127.0.0.1:1")
    suite = filo("train", *words, environ=environment(place), cwd=place)
    assert (suite.returncode, suite.stdout) == (3, "")
    assert suite.stderr == "filo train: no simulator answers at 127.0.0.1:1; start the services first: filo up\n"
    assert time.monotonic() - began < 30, "it is found out once, and not by each of five runs"
    listed = filo("runs", "ls", "--address", "127.0.0.1:1", environ=environment(place), cwd=place)
    assert listed.returncode == 3


def test_one_run_in_services_of_its_own(place: Path) -> None:
    """With faults of the emulator: every event on a line of its own, the checks as a table, exit code 0."""
    words = "train --own --turns 10 --faults closes --connection-lifetime 30s --goaway-lead 5s --speed 20 --report out"
    patient = "--threshold longest_gap_ms=60000 --threshold longest_silence_s=60"
    done = filo(*words.split(), *patient.split(), environ=environment(place), cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("fault      emulator: close at answer", "-- cut --", "resumed", "facts_recalled", "Report: out/"):
        assert said in done.stdout
    assert not re.search(r"NOT OK", done.stdout)


def test_runs_are_listed_read_watched_and_stopped(tmp_path: Path) -> None:
    """Against `filo up`: readable, and as JSON that a program reads."""
    with up(tmp_path, "--connection-lifetime", "60s", "--goaway-lead", "5s", "--speed", "20") as running:
        running.wait_ready()
        environ = {**os.environ, "FILO_SIMULATOR_ADDRESS": running.simulator()}

        def runs(*words: str) -> tuple[int, str]:
            done = filo("runs", *words, environ=environ, cwd=tmp_path)
            return done.returncode, done.stdout + done.stderr

        trained = filo("train", "--turns", "3", environ=environ, cwd=tmp_path)
        assert trained.returncode == 0, trained.stdout + trained.stderr
        code, printed = runs("ls", "--json")
        (listed,) = (json.loads(line) for line in printed.splitlines())
        assert (code, listed["turns_completed"], listed["report"]["run_id"]) == (0, 3, "")
        name = listed["name"]
        assert name in runs("ls")[1]
        code, printed = runs("show", name.removeprefix("runs/"), "--json")
        assert (code, json.loads(printed)["report"]["passed"]) == (0, True)
        assert "facts recalled" in runs("show", name)[1]
        code, printed = runs("watch", name, "--after", "2", "--json")
        events = [json.loads(line) for line in printed.splitlines()]
        assert (code, [event["sequence"] for event in events]) == (0, list(range(3, len(events) + 3)))
        assert "finished" in events[-1]
        assert "agent" in runs("watch", name)[1]
        assert runs("stop", name) == (0, f"{name} has ended: completed\n")
        assert runs("show", "nothing")[0] == 2
        assert runs("report", name, "--html", "pages/mine.html") == (0, "pages/mine.html\n")
        assert "All 3 turns were completed." in (tmp_path / "pages" / "mine.html").read_text("utf-8")
        assert runs("report", "nothing")[0] == 2
        assert not (tmp_path / "report.html").exists()
        again = filo("train", "--turns", "2", "--report", "two.html", environ=environ, cwd=tmp_path)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "Report: two.html" in again.stdout
        assert "All 2 turns were completed." in (tmp_path / "two.html").read_text("utf-8")


def test_the_transcript_of_the_documentation_is_what_is_printed(tmp_path: Path) -> None:
    """The page shows what `filo train` says of a persona that cannot be used."""
    page = (Path(__file__).parents[3] / "docs" / "personas.md").read_text("utf-8")
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    example = re.search(r"```yaml\n(# persona\n.*?)```", page, re.DOTALL)
    assert example is not None
    text = example[1].replace("interrupts: 0.1 ", "interrupts: 7 ")
    facts = re.findall(r"  - \{phrase: .*\n", text)
    text = text.replace("".join(facts[2:]), "")
    text = text.replace("- name: doubts\n    share: 0.3\n", "- name: doubts\n    share: 0.3\n    until: whenever\n")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    done = filo("train", "--persona", "mine.yaml", environ=environment(tmp_path), cwd=tmp_path)
    assert done.stderr == shown[1]
