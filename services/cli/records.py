"""What is left of a run and of a suite: files in a directory, or one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import junit, reading, report
from services.cli.reading import RecordError
from services.simulator.html import run as run_report
from services.simulator.html import suite as suite_report

PAGE: Final = "report.html"
"""The page's name within a directory."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where what is left shall go.

    Attributes:
        path: A directory for everything, or a file that ends in `.html` for the page alone; None for nowhere.
        baseline: The record of a run or a suite to compare with; None for none.
    """

    path: Path | None = None
    baseline: Path | None = None

    @property
    def page(self) -> Path | None:
        """Where the page goes."""
        return self.path if self.path is None or self.path.suffix == ".html" else self.path / PAGE

    def prepare(self) -> None:
        """Make the directory.

        Raises:
            OSError: It cannot be made.
        """
        if self.page:
            self.page.parent.mkdir(parents=True, exist_ok=True)

    def baseline_run(self) -> pb.Run | None:
        """The run to compare with.

        Raises:
            RecordError: There is no page to compare it on, or it is no run.
        """
        found = self._baseline()
        if isinstance(found, pb.SuiteResult):
            raise RecordError(f"{self.baseline}: is a suite; a run is compared with a run")
        return found

    def baseline_suite(self) -> pb.SuiteResult | None:
        """The suite to compare with.

        Raises:
            RecordError: The same.
        """
        found = self._baseline()
        if isinstance(found, pb.Run):
            raise RecordError(f"{self.baseline}: is a run; a suite is compared with a suite")
        return found

    def keep_run(self, run: pb.Run, baseline: pb.Run | None = None) -> list[Path]:
        """Write what is wanted of a run; returns what was written.

        Raises:
            OSError: It cannot be written.
        """
        if self.path is None:
            return []
        if self.path == self.page:
            self.path.write_text(run_report.page(run, baseline), encoding="utf-8")
            return [self.path]
        return save_run(run, self.path, baseline)

    def keep_suite(self, result: pb.SuiteResult, baseline: pb.SuiteResult | None = None) -> list[Path]:
        """Write what is wanted of a suite; returns what was written, without the runs' own files.

        Raises:
            OSError: It cannot be written.
        """
        if self.path is None:
            return []
        if self.path == self.page:
            self.path.write_text(suite_report.page(result, baseline), encoding="utf-8")
            return [self.path]
        return save_suite(result, self.path, baseline)

    def _baseline(self) -> pb.Run | pb.SuiteResult | None:
        if self.baseline is None:
            return None
        if self.path is None:
            raise RecordError("--baseline compares in the report: say with --report where that goes")
        return reading.load(self.baseline)


def save_run(run: pb.Run, directory: Path, baseline: pb.Run | None = None) -> list[Path]:
    """Write ``report.html``, ``run.json`` (the whole record), ``report.json`` and ``transcript.txt``; returns them.

    Raises:
        OSError: The directory cannot be written to.
    """
    return _write(
        directory,
        {
            PAGE: run_report.page(run, baseline),
            "run.json": report.to_json(run),
            "report.json": report.to_json(run.report),
            "transcript.txt": report.to_transcript(run.transcript),
        },
    )


def save_suite(result: pb.SuiteResult, directory: Path, baseline: pb.SuiteResult | None = None) -> list[Path]:
    """Write ``report.html``, ``suite.json``, ``junit.xml`` and return them; each run gets a directory by `save_run`.

    Raises:
        OSError: The directory cannot be written to.
    """
    texts = {
        PAGE: suite_report.page(result, baseline),
        "suite.json": report.to_json(result),
        "junit.xml": junit.to_xml(result),
    }
    written = _write(directory, texts)
    for number, run in enumerate(result.runs, start=1):
        if not run.error:
            save_run(run.run, directory / run_directory(number, run))
    return written


def run_directory(number: int, run: pb.SuiteRun) -> str:
    """The name of a run's directory: its number in the suite, and its title as far as a file system likes it."""
    title = run.title.encode("ascii", "ignore").decode()
    words = "".join(char if char.isalnum() else " " for char in title).split()
    return f"{number:03}-{'-'.join(words).lower()[:80]}".rstrip("-")


def _write(directory: Path, texts: dict[str, str]) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in texts]
