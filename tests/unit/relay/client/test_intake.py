"""What a client may bring, and how much of it."""

from typing import Any, cast

import pytest

from services.common.errors import Reason, ServiceError
from services.relay.client.intake import MOST_WRITTEN, Intake
from services.relay.client.outbox import Outbox
from services.relay.client.protocol import LARGEST_MESSAGE
from services.relay.client.speech import SpeechDetector
from services.relay.sockets import Take
from services.relay.upstream.inputs import Inputs


class Says:
    """A socket that brings one message again and again, and counts how many were taken.

    Args:
        message: It.
        times: How often.
    """

    def __init__(self, message: str, times: int) -> None:
        self.taken = 0
        self._message = message.encode()
        self._times = times

    async def deliver(self, take: Take) -> None:
        """All of them."""
        for _ in range(self._times):
            take(self._message, True)  # noqa: FBT003 - as a socket gives it
            self.taken += 1


@pytest.mark.parametrize(
    "message",
    [f'{{"type": "text", "text": "{"x" * (LARGEST_MESSAGE - 100)}"}}', '{"type": "audio_stream_end"}'],
    ids=["long", "short"],
)
async def test_what_is_written_is_bounded(message: str) -> None:
    """It is kept until it is answered, and there may be no connection: a client cannot fill the memory with it."""
    inputs, socket = Inputs(0, 30.0), Says(message, 10_000)
    intake = Intake(inputs, Outbox(1, 1 << 20), SpeechDetector(), lambda _event: None, cast("Any", None))
    with pytest.raises(ServiceError) as refused:
        await intake.read(cast("Any", socket))
    assert refused.value.reason is Reason.LIMIT_REACHED
    assert 3 <= socket.taken <= MOST_WRITTEN // 1024
    assert inputs.last_seq == socket.taken
    inputs.forget(inputs.newest.position)
    again = Says(message, 3)
    await Intake(inputs, Outbox(1, 1 << 20), SpeechDetector(), lambda _event: None, cast("Any", None)).read(
        cast("Any", again)
    )
    assert again.taken == 3
