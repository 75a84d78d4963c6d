"""The settings: defaults that work, and every problem at once."""

from pathlib import Path

import pytest

from services.common.config import Address, ConfigError
from services.emulator.config import Settings


def test_nothing_set_is_the_default() -> None:
    """An empty environment is one machine's defaults."""
    assert Settings.from_env({}) == Settings()


def test_everything_set() -> None:
    """Every variable reaches its field."""
    settings = Settings.from_env(
        {
            "FILO_DATA_DIR": "/data",
            "FILO_LOG_LEVEL": "DEBUG",
            "FILO_EMULATOR_ADDRESS": "0.0.0.0:1",
            "FILO_EMULATOR_CONTROL_ADDRESS": "127.0.0.1:2",
            "FILO_EMULATOR_LIFETIME": "6s",
            "FILO_EMULATOR_GOAWAY_LEAD": "1500ms",
            "FILO_EMULATOR_LONG_LIVED": "yes",
            "FILO_EMULATOR_SESSION_AUDIO": "1m",
            "FILO_EMULATOR_SESSION_VIDEO": "30s",
            "FILO_EMULATOR_SESSIONS": "7",
            "FILO_EMULATOR_PONG_DELAY": "8s",
            "FILO_EMULATOR_HANDLE_LIFETIME": "24h",
            "FILO_EMULATOR_WINDOW": "32000",
            "FILO_EMULATOR_TEXT_ANSWERED": "no",
            "FILO_EMULATOR_SPEED": "20",
            "FILO_EMULATOR_THINKING": "50ms",
            "FILO_EMULATOR_SILENCE": "300ms",
            "FILO_EMULATOR_REFUSE_RESUME_WHILE_OPEN": "no",
            "FILO_EMULATOR_EXPLICIT_UNRESUMABLE": "yes",
            "FILO_EMULATOR_BAD_KEY": "worse",
            "FILO_EMULATOR_SEED": "3",
            "FILO_EMULATOR_REMEMBERED": "50",
        }
    )
    assert settings == Settings(
        address=Address("0.0.0.0", 1),  # noqa: S104 - nothing listens
        control_address=Address("127.0.0.1", 2),
        data_dir=Path("/data"),
        lifetime=6.0,
        goaway_lead=1.5,
        long_lived=True,
        session_audio=60.0,
        session_video=30.0,
        sessions=7,
        pong_delay=8.0,
        handle_lifetime=86400.0,
        window=32000,
        text_answered=False,
        speed=20.0,
        thinking=0.05,
        silence=0.3,
        refuse_resume_while_open=False,
        explicit_unresumable=True,
        bad_key="worse",
        remembered=50,
        seed=3,
        log_level="DEBUG",
    )


def test_all_problems_are_told_at_once() -> None:
    """Each bad value is named, whatever room it belongs to."""
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(
            {"FILO_EMULATOR_SPEED": "fast", "FILO_EMULATOR_LIFETIME": "5s", "FILO_EMULATOR_GOAWAY_LEAD": "5s"}
            | {"FILO_LOG_LEVEL": "LOUD"},
        )
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "FILO_EMULATOR_SPEED",
        "FILO_LOG_LEVEL",
        "FILO_EMULATOR_GOAWAY_LEAD",
    ]
