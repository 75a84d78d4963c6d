"""A conversation, to be talked to: the library's front door.

::

    async with Conversation.open(url, token, share_token=share_token) as talk:
        await talk.send_text("What is my budget?")
        async for event in talk:
            match event:
                case Audio(pcm=pcm):
                    speaker.play(pcm)
                case TurnComplete():
                    await talk.end("done")

Input may be given at any time, also while there is no connection: it is kept until the relay has stored it. Somebody
has to take the events; a socket whose events nobody takes is read no further after some seconds.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, Self

from filo.client.clock import SystemClock
from filo.client.credentials import Credentials
from filo.client.dialogue import Dialogue
from filo.client.driver import Client, Renew
from filo.client.events import Event, Over
from filo.client.log import Log, StandardLog
from filo.client.messages import Call, SessionResumed, SessionStarted
from filo.client.outbox import CAPACITY
from filo.client.policy import Policy
from filo.client.session import AWAY, Session, Standing
from filo.client.states import Phase

_LARGEST_AUDIO: Final = 64 * 1024


class ConversationError(Exception):
    """The conversation is over, or never began.

    Attributes:
        over: How it ended: the close code and a sentence.
    """

    def __init__(self, over: Over) -> None:
        self.over = over
        super().__init__(f"the conversation is over (code {over.code}): {over.reason or 'no reason was given'}")


class Conversation(AsyncIterator[Event]):
    """One conversation, across as many sockets as it takes. Made by `open`, used as an asynchronous context manager.

    Leaving the context leaves the conversation: it is not ended, another client may go on with it.

    Args:
        client: What holds the socket.

    Attributes:
        dialogue: What was said, as far as its events were taken.
    """

    def __init__(self, client: Client) -> None:
        self.dialogue = Dialogue()
        self._client = client
        self._session = client.session
        self._task: asyncio.Task[None] | None = None
        self._waiting: list[Event] = []
        self._over: Over | None = None
        self._defect: Exception | None = None

    @classmethod
    def open(  # noqa: PLR0913 - one argument a setting
        cls,
        url: str,
        token: str | None = None,
        *,
        renew: Renew | None = None,
        share_token: str | None = None,
        rotation: str = "relay",
        test: bool = False,
        policy: Policy | None = None,
        log: Log | None = None,
        capacity: int = CAPACITY,
        standing: Standing | None = None,
    ) -> Self:
        """Prepare a conversation; entering its context connects.

        Args:
            url: The relay with the path of `CreateSession`: ``wss://relay.example/ws/ai-voice?mode=sales_agent``.
            token: The session token.
            renew: Asked for a session token where there is none, or the newest is refused, as after a long absence.
            share_token: The conversation's share token, where its mode has one.
            rotation: ``relay``: the relay replaces the connection to Gemini unnoticed. ``client``: it says goAway, and
                this client comes back by itself.
            test: Marks the conversation as a test.
            policy: How stubbornly to come back.
            log: Where every attempt is logged; the logger ``filo.client`` when not given.
            capacity: Bytes of audio that are kept until they are stored.
            standing: Where another process stood that had this conversation and died; it is told what came after.

        Raises:
            ValueError: Neither `token` nor `renew` is given, or `rotation` is neither.
        """
        if token is None and renew is None:
            raise ValueError("token or renew must be given")
        if rotation not in {"relay", "client"}:
            raise ValueError(f"rotation is relay or client, not {rotation!r}")
        credentials = Credentials(
            url=url,
            session_token=token,
            share_token=share_token,
            test=test,
            rotation=rotation,
            renewable=renew is not None,
        )
        session = Session(credentials, policy or Policy(), random.SystemRandom().random, capacity)
        if standing is not None:
            session.go_on_from(*standing)
        return cls(Client(session, SystemClock(), log or StandardLog(), renew))

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            ConversationError: The relay refuses, or cannot be reached.
        """
        self._task = asyncio.create_task(self._run())
        try:
            self._waiting = await self._until_greeted()
        except BaseException:
            await self.close()
            raise
        return self

    async def _until_greeted(self) -> list[Event]:
        told: list[Event] = []
        while not told or not isinstance(told[-1], SessionStarted | SessionResumed):
            told.append(await self._next())
            if isinstance(told[-1], Over):
                raise ConversationError(told[-1])
        return told

    async def _run(self) -> None:
        try:
            await self._client.run()
        except Exception as error:  # noqa: BLE001 - a defect of the client: raised to whoever takes the events
            self._defect = error
            await self._client.events.put(Over(ended=False, code=0, reason="the client failed", attempts=0))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def __anext__(self) -> Event:
        """The next event; `Over` is the last. Safe to cancel: no event is lost."""
        if self._over is not None and not self._waiting:
            raise StopAsyncIteration
        event = self._waiting.pop(0) if self._waiting else await self._next()
        if isinstance(event, Over):
            self._over = event
        return event

    async def _next(self) -> Event:
        event = await self._client.events.get()
        if self._defect is not None and isinstance(event, Over):
            raise self._defect
        self.dialogue.take(event)
        return event

    @property
    def phase(self) -> Phase:
        """Where the session stands now: ``live`` while the relay listens."""
        return self._session.phase

    @property
    def standing(self) -> Standing:
        """What another process needs to go on from here, besides URL and tokens. Its resume handle is a secret."""
        return self._session.standing

    @property
    def uncovered(self) -> int:
        """How many inputs are kept because the relay has not stored them yet."""
        return len(self._session.outbox)

    @property
    def given_up(self) -> int:
        """How many pieces of audio were dropped because too much was kept."""
        return self._session.outbox.given_up

    async def send_audio(self, pcm: bytes) -> int:
        """Send a piece of the user's voice: PCM16 little-endian mono, 16 kHz; 20 ms is 640 bytes.

        Waits while as much audio is kept as may be; `push_audio` does not wait.

        Returns:
            The number of the input.

        Raises:
            ValueError: It has an odd number of bytes, or more than 64 KiB.
            ConversationError: The conversation is over.
        """
        while self._session.outbox.full and self.phase is not Phase.OVER:
            self._client.moved.clear()
            await self._client.moved.wait()
        return self.push_audio(pcm)

    def push_audio(self, pcm: bytes) -> int:
        """The same for a microphone, which cannot wait: the oldest audio is dropped when too much is kept."""
        if len(pcm) % 2 or len(pcm) > _LARGEST_AUDIO:
            raise ValueError(f"audio is PCM16 of at most {_LARGEST_AUDIO} bytes, not {len(pcm)} bytes")
        self._check()
        return self._client.audio(pcm)

    async def send_text(self, text: str) -> int:
        """Send a typed turn; gives the number of the input.

        Raises:
            ValueError: It is empty.
            ConversationError: The conversation is over.
        """
        if not text.strip():
            raise ValueError("text must not be empty")
        self._check()
        self.dialogue.typed(text)
        return self._client.text(text)

    async def send_tool_result(self, call: Call, result: object) -> int:
        """Answer a tool call with a JSON object; gives the number of the input.

        Raises:
            ConversationError: The conversation is over.
        """
        self._check()
        return self._client.tool_result(call.id, call.name, result)

    async def send_activity(self, *, start: bool) -> int:
        """Say that the user begins or ends to speak, where automatic detection is off; gives the number of the input.

        Raises:
            ConversationError: The conversation is over.
        """
        self._check()
        return self._client.activity(start=start)

    async def send_audio_stream_end(self) -> int:
        """Say that the microphone is off for a while; gives the number of the input.

        Raises:
            ConversationError: The conversation is over.
        """
        self._check()
        return self._client.audio_stream_end()

    async def end(self, reason: str = "done") -> None:
        """End the conversation for good once everything is sent; the events go on until `Over`."""
        self._client.end(reason)

    async def network(self, *, online: bool) -> None:
        """Tell what the machine knows of its network, if it knows: it saves waiting, and nobody needs to."""
        await self._client.network(online=online)

    async def close(self) -> None:
        """Leave, without ending the conversation. Done by leaving the context; safe to do twice."""
        task, self._task = self._task, None
        if task is None:
            return
        self._client.quit()
        if self.phase is Phase.LEAVING:
            draining = asyncio.create_task(self._drain())
            await asyncio.wait([task])  # bounded by the policy's close_timeout
            draining.cancel()
        task.cancel()
        await asyncio.wait([task])
        with contextlib.suppress(asyncio.QueueFull):  # for whoever still waits for an event
            self._client.events.put_nowait(Over(ended=False, code=AWAY, reason="left", attempts=0))

    async def _drain(self) -> None:
        """Throw away what still comes, so that the socket can be read to its end."""
        while True:
            await self._client.events.get()

    def _check(self) -> None:
        if self._over is not None:
            raise ConversationError(self._over)
