"""`filo up` and `filo train`, as processes: what starts, what stops, what is left."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import stack

pytestmark = pytest.mark.timeout(150)

SERVICES = ["emulator", "handles", "relay", "simulator"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.Up]:
    """All services, for the tests that leave them running."""
    with stack.up(
        tmp_path_factory.mktemp("up"), "--speed", "20", "--connection-lifetime", "3s", "--goaway-lead", "1s"
    ) as up:
        up.wait_ready()
        yield up


def test_every_service_is_ready_with_one_line_in_order(running: stack.Up) -> None:
    """A line a service, then what to do next; each is a process of its own."""
    started = [line.split()[0] for line in running.printed if line.startswith("  ")]
    assert started == SERVICES
    assert "train --turns 10" in running.printed[-1]
    assert sorted(running.children()) == SERVICES


def test_train_shows_a_run_and_writes_its_report(running: stack.Up, tmp_path: Path) -> None:
    """Exit code 0; every turn on the screen; report.json says what the screen says, with numbers as numbers."""
    words = ["train", "--turns", "6", "--report", "r", "--address", running.simulator()]
    done = stack.filo(*words, environ=os.environ, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "r" / "report.json").read_text("utf-8"))
    assert (report["turns_planned"], report["turns_completed"], report["lost_turns"]) == (6, 6, 0)
    assert isinstance(report["tokens"]["billed"], int)
    assert report["counted_by"] == "emulator"
    assert done.stdout.count("  prospect   ") == 6
    assert done.stdout.count("on a new one") == len(report["rotations"])
    transcript = (tmp_path / "r" / "transcript.txt").read_text("utf-8").splitlines()
    assert [line.split()[0] for line in transcript[::2]] == ["1", "2", "3", "4", "5", "6"]


def test_train_without_resumption_is_lost_and_says_so(running: stack.Up, tmp_path: Path) -> None:
    """The control: exit code 1, the run ends at the first cut, the report is written all the same."""
    words = ["train", "--turns", "200", "--no-resume", "--report", "r", "--address", running.simulator()]
    done = stack.filo(*words, environ=os.environ, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "lost" in done.stdout
    report = json.loads((tmp_path / "r" / "report.json").read_text("utf-8"))
    assert report["outcome"] == "lost"
    assert report["turns_completed"] < 200


def test_ctrl_c_in_train_stops_the_run_and_shows_its_summary(running: stack.Up, tmp_path: Path) -> None:
    """The run ends after its turn, is kept as stopped, and the exit code says that it was not completed."""
    command = [*stack.FILO, "train", "--turns", "1000", "--report", "r", "--address", running.simulator()]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as train:
        assert train.stdout is not None
        for line in train.stdout:
            if "  agent  " in line:
                break
        train.send_signal(signal.SIGINT)
        rest = train.communicate(timeout=60)[0]
    assert train.returncode == 1
    assert "turns completed" in rest
    assert json.loads((tmp_path / "r" / "report.json").read_text("utf-8"))["outcome"] == "stopped"


def test_an_unknown_persona_is_bad_input(running: stack.Up, tmp_path: Path) -> None:
    """What cannot be used, and a line for each problem; exit code 2, no report."""
    words = ["train", "--persona", "nobody", "--address", running.simulator()]
    done = stack.filo(*words, environ=os.environ, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("filo train: ")
    assert "nobody" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_report_that_cannot_be_written_is_told_before_the_run(running: stack.Up, tmp_path: Path) -> None:
    """Nobody waits for forty turns to learn that: exit code 2 at once."""
    (tmp_path / "r").write_text("in the way", encoding="utf-8")
    done = stack.filo("train", "--report", "r", "--address", running.simulator(), environ=os.environ, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "filo train: r: File exists\n"


def test_train_without_services_says_what_to_do(tmp_path: Path) -> None:
    """Exit code 3 and one line."""
    done = stack.filo("train", "--address", "127.0.0.1:1", environ=os.environ, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "filo train: no simulator answers at 127.0.0.1:1; start the services first: filo up\n"


@pytest.mark.parametrize(
    ("number", "arguments", "environ", "services"),
    [
        (signal.SIGINT, [], {}, SERVICES),
        (signal.SIGTERM, ["--upstream", "gemini"], {"GEMINI_API_KEY": "not a real one"}, SERVICES[1:]),
    ],
)
def test_a_signal_stops_everything_within_three_seconds(
    number: signal.Signals, arguments: list[str], environ: dict[str, str], services: list[str], tmp_path: Path
) -> None:
    """Exit code 0, and no process is left; with Gemini there is no emulator in the first place."""
    with stack.up(tmp_path, *arguments, **environ) as up:
        up.wait_ready()
        children = up.children()
        assert sorted(children) == services
        code, seconds = up.end(number)
        assert (code, up.printed[-1]) == (0, "Stopped.")
        assert seconds < 3
        assert stack.gone(list(children.values()), within=0)


def test_a_killed_supervisor_leaves_nothing(tmp_path: Path) -> None:
    """SIGKILL of `filo up` alone, which it cannot answer: its services go with it."""
    with stack.up(tmp_path) as up:
        up.wait_ready()
        children = list(up.children().values())
        up.process.kill()
        assert stack.gone(children, within=3)


def test_a_service_that_dies_is_named_and_the_rest_is_stopped(tmp_path: Path) -> None:
    """Exit code 1, the name of the service, where its log is, and nothing left running."""
    with stack.up(tmp_path) as up:
        up.wait_ready()
        children = up.children()
        os.kill(children["handles"], signal.SIGKILL)
        rest, _ = up.process.communicate(timeout=30)
        assert up.process.returncode == 1
        assert "handles has ended: killed by SIGKILL" in rest
        assert str(tmp_path / "logs" / "handles.log") in rest
        assert stack.gone(list(children.values()), within=0)


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    """The service's own sentence and its exit code, 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environ = stack.environment(tmp_path, FILO_EMULATOR_ADDRESS=address)
        done = stack.filo("up", environ=environ, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"emulator: cannot listen on {address}: ")


@pytest.mark.parametrize(
    ("arguments", "environ", "line"),
    [
        (
            ["--upstream", "gemini"],
            {},
            "filo up: GEMINI_API_KEY is not set; --upstream gemini needs a key for the Gemini API",
        ),
        (
            [],
            {"FILO_RELAY_CONTROL_ADDRESS": "nowhere"},
            "filo up: FILO_RELAY_CONTROL_ADDRESS: 'nowhere' is not HOST:PORT with a port from 0 to 65535",
        ),
        (["--data-dir", "/dev/null/x"], {}, "filo up: /dev/null/x: Not a directory"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    arguments: list[str], environ: dict[str, str], line: str, tmp_path: Path
) -> None:
    """One line, exit code 2."""
    done = stack.filo("up", *arguments, environ=stack.environment(tmp_path, **environ), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"{line}\n")
