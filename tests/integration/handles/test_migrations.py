"""The schema goes back and forth under conversations, on each database: what both schemas know is kept."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from filo.handles.v1 import handles_pb2 as pb
from services.handles import database
from services.handles.config import Settings
from tests.support.clock import ManualClock
from tests.support.handles import postgres_environ, running_handles, until


def _sqlite(directory: Path) -> dict[str, str]:
    return {"FILO_DATA_DIR": str(directory)}


@pytest.mark.parametrize("environ_of", [_sqlite, postgres_environ], ids=["sqlite", "postgres"])
async def test_what_both_schemas_know_is_kept(tmp_path: Path, environ_of: Callable[[Path], dict[str, str]]) -> None:
    """Step by step to the oldest and back: turns, handles of both kinds, epoch, end, and what the sweeper goes by."""
    environ, clock = environ_of(tmp_path), ManualClock()
    async with running_handles(tmp_path, environ=environ, clock=clock) as handles:
        kept, over = await handles.create(), await handles.create()
        await handles.attach(kept)
        stored = await handles.checkpoint(kept, 1, 1, 2, secret="gemini", covers_turn=1)
        advice = pb.AddFeedbackRequest(name=kept.name, request_id=str(uuid.uuid4()), text="Ask for the budget.")
        await handles.stub.AddFeedback(advice)
        await handles.stub.EndConversation(pb.EndConversationRequest(name=over.name, epoch=0))
    settings = Settings.from_env(environ)
    steps = [await database.migrate(settings, target) for target in ("0002", "0001", "0002", "head")]
    assert [after for _, after in steps] == ["0002", "0001", "0002", "0003"]
    async with running_handles(tmp_path, environ=environ, clock=clock) as handles:
        assert await handles.validate(kept, stored.resume_handle) == pb.HANDLE_RESULT_VALID
        answer = await handles.attach(kept, resume_handle=stored.resume_handle)
        assert (answer.conversation.epoch, answer.upstream_handle.secret) == (2, "gemini")
        assert not answer.feedback, "the older schema has no place for it"
        assert [turn.number for turn in await handles.turns(kept)] == [1, 2]
        await until(lambda: clock.sleepers >= 2)  # the sweeper, and who looks for new keys
        clock.advance(31 * 86400.0)
        await until(lambda: handles.metric("filo_handles_deletions_total", kind="ended") == 1)
        assert handles.metric("filo_handles_deletions_total", kind="abandoned") == 1
