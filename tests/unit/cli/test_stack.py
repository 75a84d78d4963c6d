"""All of Filo on one machine, as decided before anything starts."""

import socket
from pathlib import Path

import pytest

from services.cli import stack
from services.cli.stack import Choices, MissingKeyError, Upstream
from services.common.config import Address, ConfigError


def planned(choices: Choices, environ: dict[str, str]) -> dict[str, dict[str, str]]:
    """The environment of each service, in order."""
    return {
        service.name: dict(service.environ) for service in stack.services(choices, environ, stack.addresses(environ))
    }


def test_each_service_is_started_after_those_it_needs() -> None:
    """The order is emulator, handles, relay, simulator."""
    assert list(planned(Choices(), {})) == ["emulator", "handles", "relay", "simulator"]


def test_every_service_is_told_where_the_others_are() -> None:
    """The relay finds emulator and handles, the simulator finds relay and emulator."""
    plan = planned(Choices(data_dir=Path("/d"), connection_lifetime=6, goaway_lead=1.5), {"PATH": "/bin"})
    assert plan["emulator"]["FILO_EMULATOR_LIFETIME"] == "6s"
    assert plan["emulator"]["FILO_EMULATOR_GOAWAY_LEAD"] == "1.5s"
    assert plan["relay"]["FILO_RELAY_UPSTREAM_URL"] == "wss://127.0.0.1:7443"
    assert plan["relay"]["FILO_RELAY_UPSTREAM_CA"] == "/d/emulator-ca.pem"
    assert plan["simulator"]["FILO_RELAY_CLIENT_URL"] == "ws://127.0.0.1:7400"
    assert plan["simulator"]["FILO_SIMULATOR_EMULATOR_URL"] == "http://127.0.0.1:7444"
    for environ in plan.values():
        assert environ["FILO_DATA_DIR"] == "/d"
        assert environ["FILO_HANDLES_ADDRESS"] == "127.0.0.1:7402"
        assert environ["PATH"] == "/bin"


def test_the_emulator_plays_either_api() -> None:
    """The relay is told which, and has what that wants of a caller."""
    developer, vertex = planned(Choices(), {})["relay"], planned(Choices(backend="vertex"), {})["relay"]
    assert (developer["FILO_RELAY_BACKEND"], "FILO_RELAY_ACCESS_TOKEN" in developer) == ("developer", False)
    assert (vertex["FILO_RELAY_BACKEND"], vertex["FILO_RELAY_ACCESS_TOKEN"]) == ("vertex", "emulator")


def test_what_the_user_sets_wins() -> None:
    """A setting of the environment reaches its service, and those that must find it."""
    plan = planned(Choices(), {"FILO_EMULATOR_ADDRESS": "0.0.0.0:9001", "FILO_EMULATOR_SPEED": "4"})
    assert plan["emulator"]["FILO_EMULATOR_ADDRESS"] == "0.0.0.0:9001"
    assert plan["emulator"]["FILO_EMULATOR_SPEED"] == "4"
    assert plan["relay"]["FILO_RELAY_UPSTREAM_URL"] == "wss://127.0.0.1:9001"


def test_a_real_key_reaches_only_who_calls_gemini_and_never_the_emulator() -> None:
    """With Gemini the relay and the simulator, for its text models, have the key; with the emulator nobody has."""
    key = {"GEMINI_API_KEY": "real"}
    gemini = planned(Choices(upstream=Upstream.GEMINI), key)
    assert [name for name, environ in gemini.items() if "real" in environ.values()] == ["relay", "simulator"]
    assert not any("real" in environ.values() for environ in planned(Choices(), key).values())


def test_gemini_needs_no_emulator_and_is_spoken_to_in_text() -> None:
    """Three services, the prospect writes, and nothing points to an emulator."""
    plan = planned(Choices(upstream=Upstream.GEMINI), {"GEMINI_API_KEY": "real"})
    assert list(plan) == ["handles", "relay", "simulator"]
    assert plan["simulator"]["FILO_SIMULATOR_CHANNEL"] == "text"
    assert "FILO_SIMULATOR_EMULATOR_URL" not in plan["simulator"]
    assert "FILO_RELAY_UPSTREAM_URL" not in plan["relay"]


def test_gemini_without_a_key_is_refused() -> None:
    """The sentence names the variable."""
    with pytest.raises(MissingKeyError, match="GEMINI_API_KEY is not set"):
        planned(Choices(upstream=Upstream.GEMINI), {"GEMINI_API_KEY": ""})


def test_all_bad_addresses_are_told_at_once() -> None:
    """Two mistakes, two sentences, each with the name of its variable."""
    with pytest.raises(ConfigError) as caught:
        stack.addresses({"FILO_HANDLES_ADDRESS": "nowhere", "FILO_RELAY_CLIENT_ADDRESS": "h:70000"})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "FILO_HANDLES_ADDRESS",
        "FILO_RELAY_CLIENT_ADDRESS",
    ]


def test_port_0_becomes_a_free_one_that_the_others_know() -> None:
    """A port that nobody can know before is chosen here, once."""
    environ = {"FILO_HANDLES_ADDRESS": "127.0.0.1:0"}
    where = stack.addresses(environ, lambda count: list(range(9000, 9000 + count)))
    assert where["FILO_HANDLES_ADDRESS"] == Address("127.0.0.1", 9000)
    assert where["FILO_RELAY_CONTROL_ADDRESS"].port == 7401


def test_free_ports_are_different_and_can_be_listened_on() -> None:
    """Twenty at once: no two alike, each one bindable."""
    ports = stack.free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as probe:
            probe.bind((stack.LOOPBACK, port))
