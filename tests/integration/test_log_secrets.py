"""No secret, and not a word that was said, is in any line of relay and handle store, at the level that tells most."""

import json
import uuid
from pathlib import Path

import pytest

from filo.relay.v1 import relay_pb2 as pb
from services.common import logs
from tests.support.client import Client, Speaker
from tests.support.relay import SHARE_TOKEN, running_relay

pytestmark = pytest.mark.usefixtures("logging_as_before")

FACT = "My company is Brightwater."
ADVICE = "Mention the Zanzibar discount."


async def test_nothing_leaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A talk with a rotation, advice and a return; clients that are refused; a defect that quotes what it was given."""
    logs.configure("DEBUG")
    secrets = {SHARE_TOKEN, "gemini-key-hunter2", "not-the-share-token", "rh_not-a-handle", "not.a.token"}
    async with running_relay(tmp_path, emulator={"lifetime": 3.0}, api_key="gemini-key-hunter2") as relay:
        session = await relay.create()
        secrets.add(session.session_token)
        async with Client(relay.socket(session)) as client:
            await client.turn(Speaker(95), FACT)
            live = relay.where.registry.find(session.conversation)
            assert live is not None
            assert live.core.coverage.handle is not None
            secrets.add(live.core.coverage.handle.secret)
            await relay.control.SendFeedback(
                pb.SendFeedbackRequest(conversation=session.conversation, text=ADVICE, request_id=str(uuid.uuid4()))
            )
            await client.wait("session:rotated")
            renewed = [message for message in client.messages if message["type"] == "session_resumption_update"]
            secrets |= {
                message[name] for message in renewed for name in ("handle", "sessionToken") if message.get(name)
            }
        for query in (
            {"shareToken": "not-the-share-token"},
            {"sessionToken": "not.a.token"},
            {"resumeHandle": "rh_not-a-handle"},
        ):
            async with Client(relay.socket(session, **query)) as guest:
                await (guest.wait("session:resumed") if "resumeHandle" in query else guest.wait_closed())

        def broken(*given: object) -> None:
            raise RuntimeError(given, session, live.core.coverage.handle)

        monkeypatch.setattr(type(relay.where.registry), "join", broken)
        async with Client(relay.socket(session)) as guest:
            assert (await guest.wait_closed())[0] == 1011
    assert len(secrets) >= 8, "the client and the relay have had some of their own"
    written = capsys.readouterr().err
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    assert {"opened", "rotated", "attached", "client refused", "a client's socket failed"} <= {
        each["event"] for each in lines
    }
    for secret in (*secrets, FACT, "Brightwater", ADVICE, "Zanzibar"):
        assert secret not in written, secret
