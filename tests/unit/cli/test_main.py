"""The command line: what is accepted, what is refused, and with which exit code."""

import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType

import pytest
from typer.testing import CliRunner

from filo.handles.v1.resources_pb2 import FEEDBACK_POLICY_JUST_IN_TIME
from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import main, settings, train, up
from services.cli.stack import Choices, Upstream
from services.common.config import Address

runner = CliRunner()


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the commands would have run."""
    orders: list[object] = []

    def remember(*order: object, **_: object) -> int:
        orders.extend(order)
        return 0

    monkeypatch.setattr(train, "run", remember)
    monkeypatch.setattr(up, "run", remember)
    for name in ("FILO_SIMULATOR_ADDRESS", "FILO_DATA_DIR", "FILO_EMULATOR_LIFETIME", "FILO_EMULATOR_GOAWAY_LEAD"):
        monkeypatch.delenv(name, raising=False)
    return orders


def test_the_command_alone_lists_every_subcommand() -> None:
    """`filo` is help enough to find the rest."""
    shown = runner.invoke(main.app, []).output
    for name in (*main.SERVICES, "up", "train", "runs", "demo", "version"):
        assert f"  {name} " in shown


def test_version() -> None:
    """`filo version` says which."""
    assert runner.invoke(main.app, ["version"]).output.startswith("filo 0.")


def test_train_turns_its_options_into_a_run(ordered: list[object]) -> None:
    """Every option ends up in the order for the simulator."""
    words = "train --turns 9 --persona p --seed 3 --no-resume --rotation client --cut-client-at 7,19 --channel text"
    more = "--manager rules --feedback-policy just_in_time --speed 8 --address h:1 --agent a --faults f --chaos 0.25"
    rest = "--prospect gemini --judge --threshold longest_gap_ms=2000 --threshold lost_turns=1"
    done = runner.invoke(main.app, [*words.split(), *more.split(), *rest.split()])
    assert done.exit_code == 0, done.output
    assert ordered[:2] == [
        Address("h", 1),
        pb.RunSpec(
            turns=9,
            persona="p",
            seed=3,
            no_resume=True,
            rotation=pb.ROTATION_CLIENT,
            cut_client_at_turns=[7, 19],
            channel=pb.CHANNEL_TEXT,
            speed=8,
            agent="a",
            fault_plan="f",
            chaos=0.25,
            prospect=pb.PROSPECT_KIND_GEMINI,
            judge=True,
            thresholds={"longest_gap_ms": 2000, "lost_turns": 1},
            manager=pb.MANAGER_KIND_RULES,
            feedback_policy=FEEDBACK_POLICY_JUST_IN_TIME,
        ),
    ]


@pytest.mark.parametrize(
    "words",
    [
        "train --turns 0",
        "train --turns many",
        "train --cut-client-at 3,x",
        "train --threshold lost_turns",
        "train --threshold lost_turns=nan",
        "train --threshold lost_turns=inf",
        "train --seed 9223372036854775808",
        "train --seed -9223372036854775809",
        "train --chaos 1.5",
        "train --suite s.yaml --turns 3",
        "train --suite s.yaml --judge --threshold lost_turns=1",
        "train --cut-client-at 0",
        "train --cut-client-at 2147483648",
        "train --rotation both",
        "train --channel smoke",
        "train --manager nobody",
        "train --feedback-policy none",
        "train --speed 0",
        "train --address nowhere",
        "up --upstream other",
        "up --connection-lifetime soon",
        "runs watch 1 --after 99999999999999999999",
        "runs watch 1 --after -1",
        "trian",
    ],
)
def test_bad_input_is_refused_with_2_and_a_sentence(words: str, ordered: list[object]) -> None:
    """Nothing is run, and the person is told what was wrong."""
    done = runner.invoke(main.app, words.split())
    assert (done.exit_code, ordered) == (2, [])
    assert "Error: " in done.output
    assert "Traceback" not in done.output


def test_up_reads_durations_and_the_environment(ordered: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """An option wins over the environment, the environment over the default."""
    monkeypatch.setenv("FILO_EMULATOR_LIFETIME", "20s")
    monkeypatch.setenv("FILO_EMULATOR_GOAWAY_LEAD", "3s")
    done = runner.invoke(main.app, ["up", "--connection-lifetime", "10m", "--speed", "2"])
    assert done.exit_code == 0, done.output
    assert ordered[0] == Choices(Upstream.EMULATOR, connection_lifetime=600.0, goaway_lead=3.0, speed=2.0)


def test_a_service_runs_with_the_environment_and_its_exit_code_is_the_command_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`filo relay` is the relay's own `main`, nothing in between."""
    given: list[Mapping[str, str]] = []

    def start(environ: Mapping[str, str]) -> int:
        given.append(environ)
        return 2

    room = ModuleType("services.relay.service")
    room.main = start  # type: ignore[attr-defined]  # a module as the command line expects it
    monkeypatch.setitem(sys.modules, "services.relay.service", room)
    monkeypatch.setenv("FILO_TEST_MARK", "here")
    assert runner.invoke(main.app, ["relay"]).exit_code == 2
    assert given[0]["FILO_TEST_MARK"] == "here"


def test_the_help_of_a_service_lists_its_settings() -> None:
    """Name, meaning and default of each, as the service's own code has them."""
    shown = runner.invoke(main.app, ["emulator", "--help"]).output
    assert "FILO_EMULATOR_CONTROL_ADDRESS" in shown
    assert "[127.0.0.1:7443]" in shown


@pytest.mark.parametrize("service", main.SERVICES)
def test_every_setting_of_every_service_is_explained(service: str) -> None:
    """Each variable that is read has a sentence in the docstring of its settings."""
    assert [setting.name for setting in settings.settings(service) if not setting.meaning] == []


@pytest.mark.parametrize(("words", "code", "said"), [("version", 0, "filo "), ("nothing", 2, "No such command")])
def test_nobody_waits_for_the_end_of_the_interpreter(words: str, code: int, said: str) -> None:
    """What gRPC does there may take a minute; whatever was printed is out, through a pipe too, and the code is kept."""
    late = "import atexit; atexit.register(lambda: print('too late'))"
    program = f"{late}; import sys; sys.argv[1:] = ['{words}']; from services.cli import main; main.main()"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert said in ended.stdout + ended.stderr
    assert "too late" not in ended.stdout
