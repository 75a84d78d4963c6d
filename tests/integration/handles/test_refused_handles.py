"""Thousands of handles that are worth nothing, against the real server: none lets anybody in, all are answered alike.

``FILO_TEST_HANDLES`` says how many; `make test-robustness` sends 100,000.
"""

import asyncio
import os
import random
import statistics
import string
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc
import pytest

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1.resources_pb2 import (
    MODE_CONSULTATION_INVITE,
    MODE_SALES_AGENT,
    Conversation,
    Mode,
    Owner,
)
from services.handles.digests import mint_resume_handle
from tests.support.clock import ManualClock
from tests.support.handles import HOLDER, OWNER, RunningHandles, running_handles

COUNT: Final = int(os.environ.get("FILO_TEST_HANDLES") or 2000)
OF_EACH: Final = 5
TTL: Final = 1800.0
_VALIDATE: Final = "/filo.handles.v1.HandlesService/ValidateHandle"
_REFUSED: Final = pb.ValidateHandleResponse(result=pb.HANDLE_RESULT_INVALID).SerializeToString()
_ALPHABET: Final = string.ascii_letters + string.digits + "-_"


class Held(NamedTuple):
    """A conversation, who owns it, and its resume handles, oldest first."""

    conversation: Conversation
    owner: Owner
    handles: Sequence[str]


class Guess(NamedTuple):
    """What somebody tries: the request, and what the store must count it as."""

    name: str
    mode: Mode.ValueType
    owner: Owner
    handle: str
    counted: str

    @property
    def request(self) -> pb.ValidateHandleRequest:
        """As a message."""
        return pb.ValidateHandleRequest(name=self.name, mode=self.mode, owner=self.owner, resume_handle=self.handle)


@dataclass(frozen=True)
class Population:
    """Conversations in every state, on a server that runs."""

    handles: RunningHandles
    alive: Sequence[Held]
    expired: Sequence[Held]
    revoked: Sequence[Held]

    def guesses(self, count: int, seed: int) -> Iterator[tuple[str, Guess]]:
        """Guesses of every kind in turn, each with the name of its kind."""
        choose = random.Random(seed)  # noqa: S311 - a repeatable test
        for number in range(count):
            kind = list(_KINDS)[number % len(_KINDS)]
            yield kind, _KINDS[kind](self, choose)


async def _held(handles: RunningHandles, number: int) -> Held:
    owner = Owner(share_token=f"share-token-{number:06}")
    conversation = await handles.create(owner=owner)
    await handles.attach(conversation, owner=owner)
    made = [
        (await handles.checkpoint(conversation, 1, at, secret=f"gemini-{number}-{at}")).resume_handle for at in (1, 2)
    ]
    return Held(conversation, owner, made)


@asynccontextmanager
async def populated(directory: Path) -> AsyncIterator[Population]:
    """A server with conversations that are alive, expired and ended."""
    clock = ManualClock()
    async with running_handles(directory, clock=clock) as handles:
        expired = [await _held(handles, number) for number in range(OF_EACH)]
        clock.advance(TTL)
        revoked = [await _held(handles, number) for number in range(OF_EACH, 2 * OF_EACH)]
        for held in revoked:
            await handles.stub.EndConversation(pb.EndConversationRequest(name=held.conversation.name, epoch=1))
        alive = [await _held(handles, number) for number in range(2 * OF_EACH, 3 * OF_EACH)]
        yield Population(handles, alive, expired, revoked)


def _guess(held: Held, handle: str, counted: str) -> Guess:
    """A guess by the owner of `held`."""
    return Guess(held.conversation.name, MODE_SALES_AGENT, held.owner, handle, counted)


def _random(where: Population, choose: random.Random) -> Guess:
    return _guess(choose.choice(where.alive), mint_resume_handle(), "unknown")


def _mutated(where: Population, choose: random.Random) -> Guess:
    """One character of a good handle is another, or missing, or too many."""
    held = choose.choice(where.alive)
    handle = choose.choice(held.handles)
    at, letter = choose.randrange(len(handle)), choose.choice(_ALPHABET)
    made = choose.choice(
        (handle[:at] + letter + handle[at + 1 :], handle[:at] + handle[at + 1 :], handle[:at] + letter + handle[at:])
    )
    if made == handle:
        made = handle.swapcase()
    return _guess(held, made, "unknown")


def _malformed(where: Population, choose: random.Random) -> Guess:
    """What was never one of ours: empty, huge, not ASCII, SQL, an upstream handle."""
    odd = ("", " ", "rh_", "rh_" + "é" * 43, "x" * 10_000, "' OR 1=1 --", "%", "gemini-10-2", "rh_" + "\0" * 43)
    return _guess(choose.choice(where.alive), choose.choice(odd), "unknown")


def _of_another(where: Population, choose: random.Random) -> Guess:
    """Somebody's good handle, presented with one's own conversation."""
    mine, theirs = choose.sample(where.alive, 2)
    return _guess(mine, choose.choice(theirs.handles), "foreign")


def _stolen(where: Population, choose: random.Random) -> Guess:
    """Somebody's good handle with their conversation, by another owner or in another mode."""
    thief, held = choose.sample(where.alive, 2)
    owner = choose.choice((thief.owner, Owner(user_id="mallory"), Owner(share_token="x"), OWNER))
    mode = choose.choice((MODE_SALES_AGENT, MODE_CONSULTATION_INVITE))
    return Guess(held.conversation.name, mode, owner, choose.choice(held.handles), "foreign")


def _nowhere(where: Population, choose: random.Random) -> Guess:
    """A good handle with a conversation that does not exist: it is counted like one of another."""
    held = choose.choice(where.alive)
    name = f"conversations/{choose.getrandbits(128):032x}"
    return Guess(name, MODE_SALES_AGENT, held.owner, choose.choice(held.handles), "foreign")


def _expired(where: Population, choose: random.Random) -> Guess:
    held = choose.choice(where.expired)
    return _guess(held, choose.choice(held.handles), "expired")


def _revoked(where: Population, choose: random.Random) -> Guess:
    held = choose.choice(where.revoked)
    return _guess(held, choose.choice(held.handles), "revoked")


_KINDS: Final[Mapping[str, Callable[[Population, random.Random], Guess]]] = {
    "random": _random,
    "mutated": _mutated,
    "malformed": _malformed,
    "of another": _of_another,
    "stolen": _stolen,
    "nowhere": _nowhere,
    "expired": _expired,
    "revoked": _revoked,
}


class Seen(NamedTuple):
    """All that a caller sees of an answer."""

    code: grpc.StatusCode
    details: str | None
    body: bytes
    headers: tuple[object, ...]
    trailers: tuple[object, ...]


async def _see(to: grpc.aio.Channel, guess: Guess) -> Seen:
    method: Any = to.unary_unary(_VALIDATE)
    call = method(guess.request.SerializeToString())
    body = await call
    headers, trailers = tuple(await call.initial_metadata()), tuple(await call.trailing_metadata())
    return Seen(await call.code(), await call.details(), body, headers, trailers)


@pytest.mark.timeout(60 + COUNT // 100)
async def test_no_guess_is_let_in_and_all_are_answered_alike(tmp_path: Path) -> None:
    """Bytes, status and metadata of every refusal are the same; what each was is counted inside, and only there."""
    seen: Counter[Seen] = Counter()
    counted: Counter[str] = Counter()
    async with populated(tmp_path) as where, grpc.aio.insecure_channel(str(where.handles.address)) as to:
        guesses = where.guesses(COUNT, seed=5)

        async def work() -> None:
            for _, guess in guesses:
                counted[guess.counted] += 1
                seen[await _see(to, guess)] += 1

        await asyncio.gather(*(work() for _ in range(32)))
        assert list(seen.values()) == [COUNT]
        (answer,) = seen
        assert (answer.code, answer.body) == (grpc.StatusCode.OK, _REFUSED)
        for result in ("unknown", "foreign", "expired", "revoked"):
            assert where.handles.metric("filo_handles_validations_total", result=result) == counted[result] > 0
        for held in where.alive:
            old, new = [await where.handles.validate(held.conversation, one, owner=held.owner) for one in held.handles]
            assert (old, new) == (pb.HANDLE_RESULT_SUPERSEDED, pb.HANDLE_RESULT_VALID)


@pytest.mark.timeout(60 + COUNT // 100)
async def test_no_guess_gives_anything_at_an_attach(tmp_path: Path) -> None:
    """Whoever owns a conversation gets their own, handle or not; everybody else gets nothing, and changes nothing."""
    async with populated(tmp_path) as where, grpc.aio.insecure_channel(str(where.handles.address)) as to:
        attach = to.unary_unary(
            "/filo.handles.v1.HandlesService/AttachConversation",
            request_serializer=pb.AttachConversationRequest.SerializeToString,
            response_deserializer=pb.AttachConversationResponse.FromString,
        )
        own = {held.conversation.name: held for held in (*where.alive, *where.expired)}
        for _, guess in where.guesses(COUNT // 10, seed=6):
            request = pb.AttachConversationRequest(
                name=guess.name, mode=guess.mode, owner=guess.owner, holder=HOLDER, resume_handle=guess.handle
            )
            if guess.counted in {"foreign", "revoked"} and not _own(own, guess):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await attach(request)
                assert caught.value.code() in _TURNED_AWAY
                continue
            answer = await attach(request)
            assert answer.conversation.name == guess.name
            expected = pb.HANDLE_RESULT_INVALID if guess.handle else pb.HANDLE_RESULT_UNSPECIFIED
            assert answer.handle_result == expected
            if guess.counted == "expired":
                assert not answer.HasField("upstream_handle")
            else:
                assert answer.upstream_handle.secret.startswith(f"gemini-{int(guess.owner.share_token[-6:])}-")


def _own(held: Mapping[str, Held], guess: Guess) -> bool:
    """Whether somebody asks for a conversation of theirs, in its mode, whatever they present with it."""
    found = held.get(guess.name)
    return found is not None and (found.owner, found.conversation.mode) == (guess.owner, guess.mode)


_TURNED_AWAY: Final = (
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
)


async def test_no_kind_of_refusal_takes_its_own_time(tmp_path: Path) -> None:
    """One at a time and in turn: the medians of the kinds lie together, so that a clock tells no more than the answer.

    The bound is wide, since a test machine is busy: it finds a kind that skips the database or asks it twice.
    """
    took: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    async with populated(tmp_path) as where, grpc.aio.insecure_channel(str(where.handles.address)) as to:
        for kind, guess in where.guesses(150 * len(_KINDS), seed=7):
            began = time.perf_counter()
            await _see(to, guess)
            took[kind].append(time.perf_counter() - began)
    medians = {kind: statistics.median(times) for kind, times in took.items()}
    middle = statistics.median(medians.values())
    print({kind: f"{median * 1e6:.0f} us" for kind, median in medians.items()})  # noqa: T201 - shown with -s
    assert all(abs(median - middle) < middle / 3 for median in medians.values()), medians
