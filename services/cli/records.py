"""What is left of a run and of a suite: files in a directory."""

from pathlib import Path

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import junit, report


def save_run(run: pb.Run, directory: Path) -> None:
    """Write ``run.json`` (the whole record), ``report.json`` and ``transcript.txt``.

    Raises:
        OSError: The directory cannot be written to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "run.json").write_text(report.to_json(run), encoding="utf-8")
    (directory / "report.json").write_text(report.to_json(run.report), encoding="utf-8")
    (directory / "transcript.txt").write_text(report.to_transcript(run.transcript), encoding="utf-8")


def save_suite(result: pb.SuiteResult, directory: Path) -> None:
    """Write ``suite.json``, ``junit.xml``, and for each run a directory as `save_run` does.

    Raises:
        OSError: The directory cannot be written to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "suite.json").write_text(report.to_json(result), encoding="utf-8")
    (directory / "junit.xml").write_text(junit.to_xml(result), encoding="utf-8")
    for number, run in enumerate(result.runs, start=1):
        if not run.error:
            save_run(run.run, directory / run_directory(number, run))


def run_directory(number: int, run: pb.SuiteRun) -> str:
    """The name of a run's directory: its number in the suite, and its title as far as a file system likes it."""
    title = run.title.encode("ascii", "ignore").decode()
    words = "".join(char if char.isalnum() else " " for char in title).split()
    return f"{number:03}-{'-'.join(words).lower()[:80]}".rstrip("-")
