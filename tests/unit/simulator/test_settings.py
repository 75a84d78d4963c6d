"""Settings and specs: defaults that work, and every mistake named."""

from pathlib import Path

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.config import Address, ConfigError
from services.common.errors import Reason, ServiceError
from services.simulator import persona, spec
from services.simulator.config import Settings
from services.simulator.documents import DocumentError


def test_the_defaults_work_on_one_machine() -> None:
    """An empty environment is enough."""
    settings = Settings.from_env({})
    assert settings == Settings()
    assert settings.address == Address("127.0.0.1", 7403)
    assert settings.database == "sqlite+aiosqlite:///.filo/runs.db"
    policy = settings.reconnect
    assert (policy.attempts, policy.shortest_wait, policy.first_wait, policy.greeting_timeout) == (3, 1.0, 2.0, 10.0)


def test_everything_can_be_set() -> None:
    """By its own name."""
    settings = Settings.from_env(
        {
            "FILO_SIMULATOR_ADDRESS": "127.0.0.1:0",
            "FILO_SIMULATOR_METRICS_ADDRESS": "127.0.0.1:1",
            "FILO_RELAY_CONTROL_ADDRESS": "relay:2",
            "FILO_ALLOW_PLAINTEXT": "true",
            "FILO_RELAY_CLIENT_URL": "wss://relay:3/",
            "FILO_SIMULATOR_EMULATOR_URL": "http://emulator:4",
            "FILO_DATA_DIR": "/data",
            "FILO_SIMULATOR_SPEED": "5",
            "FILO_SIMULATOR_MODEL": "models/x",
            "FILO_SIMULATOR_CHANNEL": "text",
            "FILO_SIMULATOR_TURN_TIMEOUT": "1m",
            "FILO_SIMULATOR_PAUSE": "100ms",
            "FILO_SIMULATOR_SILENCE": "1s",
            "FILO_SIMULATOR_RECONNECT_ATTEMPTS": "5",
            "FILO_SIMULATOR_RECONNECT_SHORTEST_WAIT": "10ms",
            "FILO_SIMULATOR_RECONNECT_FIRST_WAIT": "20ms",
            "FILO_SIMULATOR_RECONNECT_LONGEST_WAIT": "1s",
            "FILO_SIMULATOR_GREETING_TIMEOUT": "2s",
            "FILO_LOG_LEVEL": "DEBUG",
        }
    )
    assert (settings.relay_control_address, settings.relay_client_url) == (Address("relay", 2), "wss://relay:3")
    assert settings.database == f"sqlite+aiosqlite:///{Path('/data/runs.db')}"
    assert (settings.speed, settings.channel, settings.turn_timeout, settings.pause) == (5, "text", 60, 0.1)
    policy = settings.reconnect
    assert (policy.attempts, policy.shortest_wait, policy.first_wait) == (5, 0.01, 0.02)
    assert (policy.longest_wait, policy.greeting_timeout) == (1, 2)


def test_every_mistake_is_told_at_once() -> None:
    """One start shows them all, shared settings included."""
    with pytest.raises(ConfigError) as raised:
        Settings.from_env(
            {
                "FILO_SIMULATOR_ADDRESS": "nowhere",
                "FILO_RELAY_CLIENT_URL": "http://relay",
                "FILO_SIMULATOR_EMULATOR_URL": "emulator",
                "FILO_SIMULATOR_SPEED": "0",
                "FILO_SIMULATOR_CHANNEL": "smoke",
                "FILO_SIMULATOR_RECONNECT_SHORTEST_WAIT": "3s",
                "FILO_SIMULATOR_RECONNECT_FIRST_WAIT": "1s",
            }
        )
    told = "\n".join(raised.value.problems)
    for name in (
        "FILO_SIMULATOR_ADDRESS",
        "FILO_RELAY_CLIENT_URL",
        "FILO_SIMULATOR_EMULATOR_URL",
        "FILO_SIMULATOR_SPEED",
        "FILO_SIMULATOR_CHANNEL",
        "FILO_SIMULATOR_RECONNECT_FIRST_WAIT",
    ):
        assert name in told


def test_an_empty_spec_gets_every_default() -> None:
    """Nothing is left open."""
    complete = spec.complete(pb.RunSpec(), Settings())
    assert complete == pb.RunSpec(
        persona="enthusiastic",
        turns=20,
        rotation=pb.ROTATION_RELAY,
        channel=pb.CHANNEL_VOICE,
        speed=10,
        model="models/gemini-2.5-flash-native-audio",
        agent="ada",
        prospect=pb.PROSPECT_KIND_SCRIPTED,
        text_model="gemini-2.5-flash",
        manager=pb.MANAGER_KIND_NONE,
    )


def test_a_run_that_does_not_resume_is_a_client_of_the_old_kind() -> None:
    """The relay passes goAway on, and nobody acts on it."""
    assert spec.complete(pb.RunSpec(no_resume=True), Settings()).rotation == pb.ROTATION_CLIENT


def test_cuts_are_sorted_and_once_each() -> None:
    """However they were given."""
    asked = pb.RunSpec(turns=9, cut_client_at_turns=[7, 2, 7])
    assert list(spec.complete(asked, Settings()).cut_client_at_turns) == [2, 7]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (pb.RunSpec(persona="nobody"), "spec.persona"),
        (pb.RunSpec(turns=-1), "spec.turns"),
        (pb.RunSpec(turns=10_001), "spec.turns"),
        (pb.RunSpec(speed=0.05), "spec.speed"),
        (pb.RunSpec(speed=1001), "spec.speed"),
        (pb.RunSpec(speed=float("nan")), "spec.speed"),
        (pb.RunSpec(thresholds={"lost_turns": float("nan")}), "spec.thresholds"),
        (pb.RunSpec(thresholds={"lost_turns": float("inf")}), "spec.thresholds"),
        (pb.RunSpec(rotation=9), "spec.rotation"),  # type: ignore[arg-type]  # what the wire may bring
        (pb.RunSpec(channel=9), "spec.channel"),  # type: ignore[arg-type]  # the same
        (pb.RunSpec(turns=5, cut_client_at_turns=[6]), "spec.cut_client_at_turns"),
        (pb.RunSpec(cut_client_at_turns=[0]), "spec.cut_client_at_turns"),
        (pb.RunSpec(manager=9), "spec.manager"),  # type: ignore[arg-type]  # the same
        (pb.RunSpec(manager=pb.MANAGER_KIND_GEMINI), "spec.manager"),
        (pb.RunSpec(manager_document="[]"), "spec.manager_document"),
        (pb.RunSpec(manager_document="x" * 262_145), "spec.manager_document"),
        (pb.RunSpec(feedback_policy=9), "spec.feedback_policy"),  # type: ignore[arg-type]  # the same
    ],
)
def test_a_bad_spec_names_its_field(asked: pb.RunSpec, field: str) -> None:
    """INVALID_ARGUMENT, with the field in words and in the metadata."""
    with pytest.raises(ServiceError) as raised:
        spec.complete(asked, Settings())
    assert raised.value.reason is Reason.INVALID_ARGUMENT
    assert raised.value.metadata == {"field": field}


def test_a_manager_comes_with_rules_or_with_the_persona() -> None:
    """By rules of one's own or those that the persona names, unless the spec says otherwise; else nobody comes."""
    own = "name: own\nrules:\n- {advice: [Be brief.]}"
    named = f"{persona.SHIPPED.joinpath('enthusiastic.yaml').read_text(encoding='utf-8')}\nmanager: default\n"
    kinds = {
        pb.MANAGER_KIND_NONE: (pb.RunSpec(), pb.RunSpec(persona_document=named, manager=pb.MANAGER_KIND_NONE)),
        pb.MANAGER_KIND_RULES: (
            pb.RunSpec(manager_document=own),
            pb.RunSpec(persona_document=named),
            pb.RunSpec(manager=pb.MANAGER_KIND_RULES),
        ),
        pb.MANAGER_KIND_GEMINI: (pb.RunSpec(manager=pb.MANAGER_KIND_GEMINI, manager_document=own),),
    }
    for kind, specs in kinds.items():
        for asked in specs:
            assert spec.complete(asked, Settings(api_key="key")).manager == kind
    assert spec.read(pb.RunSpec(persona="enthusiastic", agent="ada", manager_document=own)).rules.name == "own"
    with pytest.raises(DocumentError, match="manager: must be one of default"):
        persona.parse(named.replace("manager: default", "manager: nobody"), "p.yaml")


@pytest.mark.parametrize("speed", [0.1, 1000.0])
def test_the_bounds_of_speed_are_within(speed: float) -> None:
    """Also after a float of 32 bits has carried them."""
    assert spec.complete(pb.RunSpec(speed=speed), Settings()).speed == pytest.approx(speed)
