"""Logs: structured, on standard error, and never a secret in them."""

import json
import logging
import subprocess
import sys

import pytest

from services.common import logs

pytestmark = pytest.mark.usefixtures("logging_as_before")


def last(captured: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The newest line of standard error, as JSON."""
    line: dict[str, object] = json.loads(captured.readouterr().err.splitlines()[-1])
    return line


def test_without_a_terminal_a_line_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Room, event, level, time in UTC, and what was bound."""
    logs.configure()
    logs.get("relay").bind(conversation="c1").info("rotated", gap_ms=84)
    line = last(capsys)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"room": "relay", "conversation": "c1", "event": "rotated", "gap_ms": 84, "level": "info"}


@pytest.mark.parametrize(
    "name", ["handle", "resume_handle", "upstream_handle", "token", "session_token", "share_token", "api_key", "key"]
)
def test_a_value_under_a_secret_s_name_is_blotted_out(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One careless call does not leak, bound or given with the event."""
    logs.configure()
    logs.get("relay").info("opened", **{name: "hunter2"})
    logs.get("relay").bind(**{name: "hunter2"}).info("opened")
    assert "hunter2" not in (written := capsys.readouterr().err)
    assert written.count("[redacted]") == 2


def test_a_logger_made_before_logging_is_set_up_obeys_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A module makes its logger at import; what it logs later is structured all the same."""
    early = logs.get("emulator")
    logs.configure()
    early.info("opened", token="hunter2")
    assert last(capsys)["token"] == "[redacted]"


def test_an_exception_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback is a field, so that whoever collects lines has it whole."""
    logs.configure()
    logs.get("relay").error("failed", exc_info=ValueError("broken"))
    written = capsys.readouterr().err.splitlines()
    assert len(written) == 1
    assert "ValueError: broken" in str(json.loads(written[0])["exception"])


def test_what_libraries_log_is_structured_too_and_only_from_a_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Websockets logs query strings, with tokens in them, at INFO and below: that is never written."""
    logs.configure("DEBUG")
    logging.getLogger("websockets.server").info("GET /ws/ai-voice?sessionToken=hunter2")
    logging.getLogger("websockets.server").warning("slow")
    written = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["event"] for line in written] == ["slow"]


def test_the_level_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    """Below the level nothing is written."""
    logs.configure("WARNING")
    logs.get("relay").info("opened")
    logs.get("relay").warning("slow")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_fingerprint_tells_secrets_apart_and_gives_none_away() -> None:
    """The same for the same secret, another for another, and nothing of the secret in it."""
    assert logs.fingerprint("hunter2") == logs.fingerprint("hunter2") != logs.fingerprint("hunter3")
    assert len(logs.fingerprint("hunter2")) == 8
    assert "hunter" not in logs.fingerprint("hunter2")


def test_nothing_goes_to_standard_output() -> None:
    """Standard output belongs to the ready line."""
    code = "from services.common import logs; logs.configure(); logs.get('x').warning('told')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert json.loads(done.stderr)["event"] == "told"
