"""Every row of the table of close codes that clients must cope with, played to google-genai unmodified.

Rows that follow from what the client does are provoked by doing it; those that come out of the blue are asked for.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from google.genai import errors, types

from services.emulator import closes
from services.emulator.faults import CloseFault, CutFault, Fault, Moment
from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.genai import MODEL, Talk, client, config, has_handle

PRECONDITION = "Precondition check failed."
QUOTA = "You exceeded your current quota, please check your plan and billing details. RESOURCE_EXHAUSTED"


class Played(NamedTuple):
    """How one row is played: the close that is to come, and what makes it come.

    Attributes:
        code: The code that the SDK has to tell.
        reason: A part of the reason.
        faults: What goes wrong on request.
        connect: What the client does otherwise when it connects.
        resumes: It brings the handle of a session that ended well.
    """

    code: int
    reason: str
    faults: tuple[Fault, ...] = ()
    connect: Mapping[str, Any] = {}
    resumes: bool = False


def on_request(when: Moment, code: int, reason: str, *, resumes: bool = False) -> Played:
    """A close that comes out of the blue at a moment."""
    return Played(code, reason, (CloseFault(when=when, code=code, reason=reason),), resumes=resumes)


ROWS: Mapping[str, Played] = {
    "1000": on_request(Moment.TURN, 1000, ""),
    "1001": on_request(Moment.TURN, 1001, "The server is going away."),
    "1006": Played(1006, "", (CutFault(when=Moment.ANSWER, after=0.01),)),
    "1012": on_request(Moment.TURN, 1012, "Service restart"),
    "1013": on_request(Moment.ANSWER, 1013, "Try again later"),
    "1007 API key not valid": Played(1007, closes.KEY_INVALID.reason, connect={"key": "bad-key"}),
    "1007 invalid argument": Played(1007, closes.INVALID_ARGUMENT.reason, connect={"response_modalities": ["TEXT"]}),
    # The SDK's own types cannot make the mistake; raw frames do in test_socket.
    "1007 invalid JSON payload": on_request(Moment.TURN, 1007, closes.unknown_name("bogusField", "setup").reason),
    "1007 precondition": on_request(Moment.HEARD, 1007, PRECONDITION),
    "1007 poisoned after a resume": on_request(Moment.RESUMED, 1007, PRECONDITION, resumes=True),
    "1008 session not found": Played(1008, closes.HANDLE_NOT_FOUND.reason, connect={"handle": "never issued"}),
    "1008 requested entity": on_request(Moment.RESUME, 1008, "Requested entity was not found.", resumes=True),
    "1008 model not found": Played(1008, "models/gemini-nope is not found", connect={"model": "gemini-nope"}),
    "1008 not implemented": on_request(Moment.SETUP, 1008, "Operation is not implemented, or supported, or enabled."),
    "1008 aborted": on_request(Moment.ANSWER, 1008, "The operation was aborted."),
    "1011 internal error": on_request(Moment.ANSWER, 1011, closes.INTERNAL.reason),
    "1011 deadline expired": on_request(Moment.ACTIVITY, 1011, closes.DEADLINE.reason),
    "1011 quota": on_request(Moment.SETUP, 1011, closes.TOO_MANY_SESSIONS.reason),
    "1008 quota": on_request(Moment.TURN, 1008, QUOTA),
}


@asynccontextmanager
async def connected(emulator: RunningEmulator, handle: str | None = None, **options: Any) -> AsyncIterator[Talk]:  # noqa: ANN401 - any field of the configuration
    """A session of the SDK."""
    live = client(emulator, options.pop("key", "any key")).aio.live
    model = options.pop("model", MODEL)
    wanted = config(session_resumption=types.SessionResumptionConfig(handle=handle), **options)
    async with live.connect(model=model, config=wanted) as session:
        yield Talk(session)


async def live_through(
    emulator: RunningEmulator,
    handle: str | None = None,
    says: Iterable[str] = ("Hello.",),
    **options: Any,  # noqa: ANN401 - any field of the configuration
) -> None:
    """Connect, say something, and listen until the end."""
    async with connected(emulator, handle, **options) as talk:
        for words in says:
            await talk.say(words)
        await talk.until(lambda _: False)


@pytest.mark.parametrize("row", [pytest.param(played, id=name) for name, played in ROWS.items()])
async def test_a_row_of_the_table(emulator: RunningEmulator, row: Played) -> None:
    """The SDK raises an APIError with the row's code and reason, whether while connecting or later."""
    handle = None
    if row.resumes:
        async with connected(emulator) as talk:
            await talk.until(has_handle)
            handle = talk.handle
    emulator.faults.add(row.faults)
    with pytest.raises(errors.APIError) as caught:
        await live_through(emulator, **{"handle": handle, **row.connect}, says=() if row.resumes else ("Hello.",))
    assert caught.value.code == row.code
    assert row.reason in str(caught.value)


async def test_1008_unregistered_callers(emulator: RunningEmulator) -> None:
    """Without any key the upgrade succeeds and the setup is refused."""
    nothing = types.HttpOptions(headers={"x-goog-api-key": ""})
    with pytest.raises(errors.APIError, match="doesn't allow unregistered callers") as caught:
        await live_through(emulator, http_options=nothing)
    assert caught.value.code == 1008


async def test_1008_after_goaway() -> None:
    """The lifetime ends after goAway, with the handle still good for a resume."""
    async with running_emulator(lifetime=1.0) as emulator:
        async with connected(emulator) as first:
            await first.until(has_handle)
            error = await first.closed()
        async with connected(emulator, first.handle) as second:
            await second.ask("Hello.")
    assert error.code == 1008
    assert "failed to close the connection after receiving a GoAway" in str(error)


async def test_1011_right_after_a_resume(emulator: RunningEmulator) -> None:
    """While the old socket is open a resume is refused; once it is closed the same handle works."""
    async with connected(emulator) as first:
        await first.until(has_handle)
        with pytest.raises(errors.APIError) as caught:
            await live_through(emulator, first.handle)
    assert caught.value.code == 1011
    async with connected(emulator, first.handle) as second:
        await second.ask("Hello.")


async def test_1011_deadline_expired_after_58_minutes() -> None:
    """The variant of gemini-3.8-live, shortened: 1011 at the end, and a later resume is refused with 1007."""
    model = "gemini-3.8-live"
    async with running_emulator(lifetime=0.5, long_lived=True) as emulator:
        async with connected(emulator, model=model) as first:
            error = await first.closed()
        assert (error.code, "Deadline expired" in str(error)) == (1011, True)
        with pytest.raises(errors.APIError) as caught:
            await live_through(emulator, first.handle, model=model)
        assert caught.value.code == 1007


async def test_the_window_is_full() -> None:
    """A context that outgrows the window ends the session; the reason names both numbers."""
    async with running_emulator(window=150) as emulator, connected(emulator) as talk:
        await talk.ask("Hello.")
        await talk.say("Hello again, this is one turn too many for such a window.")
        error = await talk.closed()
    assert error.code == 1007
    assert "exceeds the maximum number of tokens allowed (150)" in str(error)
