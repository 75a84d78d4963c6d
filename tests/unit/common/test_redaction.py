"""No secret in a line of the log: by its field's name, deeper in a field, in a text, in an exception."""

import json
import logging
from collections.abc import Callable

import pytest
from google.protobuf import json_format, text_format

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import resources_pb2 as resources
from services.common import api_keys, logs, redaction
from services.handles.digests import mint_resume_handle

pytestmark = pytest.mark.usefixtures("logging_as_before")

SECRET = "hunter2-hunter2"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjMSJ9.c2lnbmF0dXJl-_A"


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """The one line that was logged."""

    def only() -> str:
        (written,) = capsys.readouterr().err.splitlines()
        json.loads(written)
        return str(written)

    return only


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "password",
        "api_key",
        "apiKey",
        "x-api-key",
        "session_token",
        "sessionToken",
        "share_token",
        "shareToken",
        "upstream_handle",
        "resume_handle",
        "resumeHandle",
        "handle",
        "token",
        "key",
        "secret",
        "access_token",
        "GEMINI_API_KEY",
    ],
)
def test_by_the_name_of_a_field(name: str, line: Callable[[], str]) -> None:
    """However it is spelt, at the top or deep within."""
    logs.configure()
    request = {"headers": [{name: SECRET}], "path": "/ws/ai-voice"}
    logs.get("relay").bind(**{name: SECRET}).info("asked", request=request, pairs=({name: SECRET},))
    written = line()
    assert SECRET not in written
    assert "/ws/ai-voice" in written


TEXTS = {
    "a header": f"authorization: Bearer {SECRET}",
    "basic": f"Authorization: Basic {SECRET}",
    "metadata": f"(('authorization', 'Bearer {SECRET}'), ('x', 'y'))",
    "other metadata": f"(('x-api-key', '{SECRET}'), ('token', \"{SECRET}\"))",
    "a query": f"GET /ws?mode=x&sessionToken={SECRET}&shareToken={SECRET}&resumeHandle={SECRET} HTTP/1.1",
    "Google's query": f"https://generativelanguage.googleapis.com/v1beta/x?key={SECRET}&alt=sse",
    "JSON": json.dumps({"setup": {"sessionResumption": {"handle": SECRET}}, "auth": {"sessionToken": SECRET}}),
    "JSON in JSON": json.dumps(json.dumps({"sessionToken": SECRET, "handle": SECRET})),
    "a dict": repr({"share_token": SECRET, "handle": SECRET, "token": SECRET}),
    "a call": f"OpenUpstream(handle='{SECRET}', api_key='{SECRET}', password={SECRET})",
    "a database": f"cannot connect to postgresql://filo:{SECRET}@db.example.com:5432/filo",
    "a session token": f"no such session {JWT}",
    "a resume handle": f"refused {mint_resume_handle()}",
    "an API key": f"whose is {api_keys.mint()}?",
    "Google's key": "whose is AIzaSyA-1234567890_abcdefghijklmnopqrs?",
    "Google's token": "whose is ya29.a0AfH6SMBx-1234567890?",
    "a key file": f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----",
    "a checkpoint": text_format.MessageToString(
        pb.CheckpointRequest(upstream_handle=resources.UpstreamHandle(secret=SECRET)), as_one_line=True
    ),
    "an attach": text_format.MessageToString(
        pb.AttachConversationRequest(owner=resources.Owner(share_token=SECRET), resume_handle=SECRET)
    ),
    "an attach as JSON": json_format.MessageToJson(
        pb.AttachConversationRequest(owner=resources.Owner(share_token=SECRET), resume_handle=SECRET)
    ),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_in_a_text(text: str, line: Callable[[], str]) -> None:
    """As the event itself, in a field, as bytes in one, in an object that shows it, and in a library's words."""
    logs.configure()
    shown = type("Shown", (), {"__repr__": lambda _: text})()
    logging.getLogger("somebody").warning(text)
    first = line()
    logs.get("relay").warning(text, why=text, frame=text.encode(), shown=shown, error=ValueError(text))
    for written in (first, line()):
        assert redaction.BLOT in written
        for secret in (SECRET, JWT, "rh_", "filo_", "AIza", "ya29", "c2lnbmF0dXJl"):
            assert secret not in written, written


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_in_an_exception(text: str, line: Callable[[], str]) -> None:
    """Its text, that of what caused it, and a note to it: the whole traceback."""
    logs.configure()
    cause, error = ValueError(text), RuntimeError(text)
    cause.add_note(text)
    error.__cause__ = cause
    logs.get("relay").error("failed", exc_info=error)
    written = line()
    assert "RuntimeError" in written
    assert SECRET not in written
    assert JWT not in written
    assert "rh_" not in written


def test_on_a_terminal_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And no variables are shown there beside a traceback, with what is in them."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    logs.configure()

    def fail(password: str) -> None:
        raise ValueError(f"password={password}")

    with pytest.raises(ValueError, match="password") as caught:
        fail(SECRET)
    logs.get("relay").error("failed", authorization=SECRET, exc_info=caught.value)
    written = capsys.readouterr().err
    assert "Traceback" in written
    assert SECRET not in written


@pytest.mark.parametrize(
    "text",
    [
        "the token has expired",
        "handle: unknown to Gemini",
        "a new key is needed",
        "conversations/0123456789abcdef0123456789abcdef",
        "filo_relay_session_context_tokens",
        "upstream handle is older than the turn",
        "https://example.com/a:b@c",
        "keys: 2 read from /etc/filo/keys",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """The words around secrets are what a reader needs."""
    assert redaction.text(text) == text


def test_what_is_logged_keeps_its_kind(line: Callable[[], str]) -> None:
    """Numbers stay numbers and lists lists; a frame is told by its size."""
    logs.configure()
    logs.get("relay").info("x", n=1, f=0.5, yes=True, none=None, many=[1, "a"], frame=b"\0\1", deep={"a": {"b": 1}})
    told = json.loads(line())
    assert {name: told[name] for name in ("n", "f", "yes", "none", "many", "frame", "deep")} == {
        "n": 1,
        "f": 0.5,
        "yes": True,
        "none": None,
        "many": [1, "a"],
        "frame": "[2 bytes]",
        "deep": {"a": {"b": 1}},
    }
