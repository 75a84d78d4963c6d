"""What is left of a run and a suite goes where it is wanted, and is compared with what it can be compared with."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import main
from services.cli.reading import RecordError
from services.cli.records import Wanted, save_run, save_suite
from tests.unit.simulator.html.recorded import good_run, suite


def test_a_directory_gets_everything(tmp_path: Path) -> None:
    """The page, the record, the report, the transcript; a suite also each run of its own."""
    written = Wanted(tmp_path / "run").keep_run(good_run())
    assert [path.name for path in written] == ["report.html", "run.json", "report.json", "transcript.txt"]
    Wanted(tmp_path / "suite").keep_suite(suite(good_run(), error="gone"))
    assert sorted(str(path.relative_to(tmp_path / "suite")) for path in (tmp_path / "suite").rglob("*.*")) == [
        "001-run-1/report.html", "001-run-1/report.json", "001-run-1/run.json", "001-run-1/transcript.txt",
        "junit.xml", "report.html", "suite.json",
    ]  # fmt: skip


def test_a_page_alone_is_one_file(tmp_path: Path) -> None:
    """Named as asked for, its directory made, nothing beside it."""
    wanted = Wanted(tmp_path / "deep" / "mine.html")
    wanted.prepare()
    assert wanted.keep_run(good_run()) == [tmp_path / "deep" / "mine.html"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["mine.html"]
    assert wanted.keep_suite(suite(good_run()))[0].read_text("utf-8").startswith("<!doctype html>")


def test_nothing_is_written_where_nothing_is_wanted() -> None:
    """No path, no file."""
    wanted = Wanted()
    wanted.prepare()
    assert (wanted.keep_run(good_run()), wanted.keep_suite(suite()), wanted.baseline_run()) == ([], [], None)


def test_like_is_compared_with_like(tmp_path: Path) -> None:
    """A run with a run, a suite with a suite, and neither without a report to show it in."""
    save_run(good_run(), tmp_path / "run")
    save_suite(suite(good_run()), tmp_path / "suite")
    page = tmp_path / "page.html"
    assert Wanted(page, tmp_path / "run").baseline_run() == good_run()
    assert Wanted(page, tmp_path / "suite" / "suite.json").baseline_suite() is not None
    with pytest.raises(RecordError, match="is a suite"):
        Wanted(page, tmp_path / "suite").baseline_run()
    with pytest.raises(RecordError, match="is a run"):
        Wanted(page, tmp_path / "run").baseline_suite()
    with pytest.raises(RecordError, match="--report"):
        Wanted(None, tmp_path / "run").baseline_run()


def test_a_page_is_made_of_a_record_without_a_simulator(tmp_path: Path) -> None:
    """`filo runs report FILE`: with a baseline it compares; what cannot be used is one line and exit code 2."""
    save_run(good_run(), tmp_path / "run")
    save_run(good_run(2), tmp_path / "other")
    page = tmp_path / "page.html"
    ask = ["runs", "report", str(tmp_path / "run"), "--html", str(page)]
    done = CliRunner().invoke(main.app, [*ask, "--baseline", str(tmp_path / "other" / "run.json")])
    assert (done.exit_code, done.output.strip()) == (0, str(page))
    assert "This run beside the baseline" in page.read_text("utf-8")
    refused = CliRunner().invoke(main.app, [*ask, "--baseline", str(tmp_path / "none.json")])
    assert refused.exit_code == 2
    assert "none.json: No such file" in refused.stderr
