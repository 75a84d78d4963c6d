"""The relay's settings from the environment."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from services.common import api_keys
from services.common.config import Address, ConfigError
from services.relay.config import GEMINI_URL, DrainPolicy, Settings
from services.relay.core.model import FeedbackPolicy, FeedbackSignal, Policy
from services.relay.upstream.breaker import BreakerPolicy

KEY = "AIza-made-up"
ENOUGH = {"GEMINI_API_KEY": KEY}


def problems(values: dict[str, str]) -> list[str]:
    """The names of the variables that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(values)
    assert KEY not in str(caught.value)
    assert all(len(problem.split()) > 3 for problem in caught.value.problems)
    return [problem.split(":")[0] for problem in caught.value.problems]


def test_a_key_is_enough() -> None:
    """Everything else works as it is on one machine, and the defaults are written once."""
    assert Settings.from_env(ENOUGH) == replace(Settings(), api_key=KEY)
    assert Settings().upstream_url == GEMINI_URL


def test_every_setting_is_read(tmp_path: Path) -> None:
    """Each variable reaches its field: none keeps its default."""
    ca = tmp_path / "ca.pem"
    ca.touch()
    named = {"feedback_policy", "feedback_signal", "cached_price", "compression"}
    numbers = [field.name for field in fields(Policy) if field.name not in named]
    settings = Settings.from_env(
        {
            **ENOUGH,
            "FILO_RELAY_CLIENT_ADDRESS": "0.0.0.0:1",
            "FILO_RELAY_CONTROL_ADDRESS": "0.0.0.0:2",
            "FILO_RELAY_METRICS_ADDRESS": "0.0.0.0:3",
            "FILO_RELAY_ADVERTISE_ADDRESS": "10.0.0.1:2",
            "FILO_RELAY_HEALTH_ADDRESS": "0.0.0.0:5",
            "FILO_HANDLES_ADDRESS": "[::1]:4",
            "FILO_RELAY_UPSTREAM_URL": "wss://localhost:7443/",
            "FILO_RELAY_UPSTREAM_CA": str(ca),
            "FILO_RELAY_SESSION_KEYS": "/keys/session.key",
            "FILO_RELAY_SESSION_TTL": "10m",
            "FILO_RELAY_AUTH_TIMEOUT": "1s",
            "FILO_RELAY_ORIGINS": "https://a.example, https://b.example,",
            "FILO_RELAY_CONNECT_TIMEOUT": "1s",
            "FILO_RELAY_CLOSE_TIMEOUT": "50ms",
            "FILO_RELAY_REPLAY": "1s",
            "FILO_RELAY_OUTBOX_BYTES": "65536",
            "FILO_RELAY_SESSION_METRICS": "7",
            "FILO_RELAY_CONVERSATIONS": "8",
            "FILO_RELAY_BACKEND": "vertex",
            "FILO_RELAY_TRANSPORT": "picows",
            "FILO_RELAY_ACCESS_TOKEN": "ya29.token",
            "FILO_RELAY_BREAKER_FAILURES": "3",
            "FILO_RELAY_BREAKER_PROBE_INTERVAL": "4s",
            "FILO_RELAY_DIALS_A_SECOND": "5",
            "FILO_ALLOW_PLAINTEXT": "true",
            "FILO_API_KEYS": api_keys.line("shop", "filo_key-of-the-shop"),
            "FILO_API_KEY": "filo_key-of-a-relay",
            "FILO_LOG_LEVEL": "DEBUG",
            "OTEL_TRACES_EXPORTER": "otlp",
            **{f"FILO_RELAY_{name.upper()}": "2" for name in numbers},
            "FILO_RELAY_FEEDBACK_POLICY": "rebase",
            "FILO_RELAY_FEEDBACK_SIGNAL": "upstream",
            "FILO_RELAY_CACHED_PRICE": "0.1",
            "FILO_RELAY_COMPRESSION": "false",
            "FILO_RELAY_TAKEOVER_TIMEOUT": "3s",
            "FILO_RELAY_DRAIN_TIMEOUT": "12s",
            "FILO_RELAY_DRAIN_SPREAD": "2s",
            "FILO_RELAY_DIALS": "3",
            "FILO_RELAY_OVERLOADED_LAG": "1s",
        }
    )
    default = Settings()
    kept = [field.name for field in fields(Settings) if getattr(settings, field.name) == getattr(default, field.name)]
    assert kept == ["api_key", "summary_model"], "which Vertex AI does not take"
    assert [getattr(settings.policy, name) for name in numbers] == [2] * len(numbers)
    assert settings.policy.feedback_policy is FeedbackPolicy.REBASE
    assert settings.policy.feedback_signal is FeedbackSignal.UPSTREAM
    assert (settings.policy.cached_price, settings.policy.compression) == (0.1, False)
    assert settings.breaker == BreakerPolicy(failures=3, probe_interval=4.0, dials_a_second=5.0)
    assert (settings.takeover_timeout, settings.drain) == (3.0, DrainPolicy(timeout=12.0, spread=2.0))
    assert settings.handles_address == Address("::1", 4)
    assert settings.upstream_url == "wss://localhost:7443"
    assert settings.origins == ("https://a.example", "https://b.example")
    assert (settings.session_ttl, settings.close_timeout) == (600.0, 0.05)
    assert (settings.dials, settings.overloaded_lag) == (3, 1.0)


def test_relays_that_are_called_by_key_have_one_themselves() -> None:
    """Without certificates other relays tell each other by a key; on one machine there are no others."""
    keys = {**ENOUGH, "FILO_API_KEYS": api_keys.line("shop", "filo_key-of-the-shop")}
    assert Settings.from_env(keys).transport.api_key == ""
    anywhere = {**keys, "FILO_RELAY_CONTROL_ADDRESS": "0.0.0.0:1", "FILO_ALLOW_PLAINTEXT": "true"}
    assert problems(anywhere) == ["FILO_API_KEY"]
    assert Settings.from_env({**anywhere, "FILO_API_KEY": "filo_key-of-a-relay"}).transport.api_key
    assert problems({**anywhere, "FILO_API_KEY": "a b"}) == ["FILO_API_KEY"] * 2


def test_the_keys_are_in_the_data_directory() -> None:
    """Unless they are named."""
    assert Settings.from_env({**ENOUGH, "FILO_DATA_DIR": "/data"}).session_keys == Path("/data/session.key")


def test_all_problems_at_once() -> None:
    """One start shows every mistake."""
    wrong = {
        "FILO_RELAY_CLIENT_ADDRESS": "nowhere",
        "FILO_HANDLES_ADDRESS": "host:99999",
        "FILO_RELAY_UPSTREAM_URL": "https://host",
        "FILO_RELAY_UPSTREAM_CA": "/no/such/file",
        "FILO_RELAY_SESSION_TTL": "1s",
        "FILO_RELAY_REPLAY": "soon",
        "FILO_RELAY_OUTBOX_BYTES": "1",
        "FILO_RELAY_DIALS_A_DROP": "0",
        "FILO_RELAY_GRACE": "-1",
        "FILO_LOG_LEVEL": "LOUD",
    }
    assert sorted(problems(wrong)) == sorted([*wrong, "GEMINI_API_KEY"])


@pytest.mark.parametrize("key", ["", " \n", "schlüssel", "two\nlines"])
def test_what_is_no_key(key: str) -> None:
    """Missing, or not to be put into a header; its value is not shown."""
    assert problems({"GEMINI_API_KEY": key}) == ["GEMINI_API_KEY"]


def test_a_key_from_a_file_ends_with_a_newline() -> None:
    """As secrets that were made with echo do."""
    assert Settings.from_env({"GEMINI_API_KEY": f"{KEY}\n"}).api_key == KEY


@pytest.mark.parametrize(
    "url", ["host", "https://host", "wss://", "wss:///path", "wss://host:port", "wss://a b", "ws://h?q"]
)
def test_what_is_no_base_url(url: str) -> None:
    """Found at the start, not at the first dial."""
    assert problems({**ENOUGH, "FILO_RELAY_UPSTREAM_URL": url}) == ["FILO_RELAY_UPSTREAM_URL"]


@pytest.mark.parametrize("url", ["ws://127.0.0.1:7443", "wss://[::1]:1", "wss://proxy.example/gemini", GEMINI_URL])
def test_base_urls(url: str) -> None:
    """With and without a port or a path."""
    assert Settings.from_env({**ENOUGH, "FILO_RELAY_UPSTREAM_URL": url}).upstream_url == url


def test_no_secret_is_shown() -> None:
    """A settings object may end up in a log."""
    assert KEY not in repr(Settings.from_env(ENOUGH))


def test_vertex_needs_no_api_key() -> None:
    """It takes an access token, or the machine's own credentials; a token is never shown."""
    settings = Settings.from_env({"FILO_RELAY_BACKEND": "vertex", "FILO_RELAY_ACCESS_TOKEN": "ya29.token"})
    assert (settings.backend, settings.api_key, settings.access_token) == ("vertex", "", "ya29.token")
    assert "ya29" not in repr(settings)


def test_a_drain_must_have_time_for_its_end() -> None:
    """Beginnings that are spread too far leave none for open turns and the last writes."""
    with pytest.raises(ConfigError, match="FILO_RELAY_DRAIN_SPREAD: is more than 12 s"):
        Settings.from_env({"GEMINI_API_KEY": "k", "FILO_RELAY_DRAIN_TIMEOUT": "20s", "FILO_RELAY_DRAIN_SPREAD": "15s"})
    assert DrainPolicy(timeout=4.0).latest == 2.0
