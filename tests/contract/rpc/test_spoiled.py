"""A server that gets one thing wrong is found out, and only by what it gets wrong."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from typing_extensions import override

from services.common.config import Address
from services.contract import checks as contract
from services.contract.cases import value_of
from services.contract.methods import short
from services.contract.target import Target
from tests.support.handles import running_handles
from tests.support.spoiled import Refusal, RefusedError, Spoiler, spoiled

SERVICE = "filo.handles.v1.HandlesService"


@pytest.fixture(name="real")
async def _real(tmp_path: Path) -> AsyncIterator[Address]:
    async with running_handles(tmp_path) as handles:
        yield handles.address


async def broken(address: Address, only: str = "", without: str = "may be cancelled") -> list[str]:
    """The checks of the handle store that a server does not keep, each with what was found.

    Args:
        address: The server.
        only: What the titles of the checks begin with.
        without: What they do not hold.
    """
    found = []
    for check in contract.checks([SERVICE]):
        if check.title.startswith(only) and without not in check.title:
            try:
                await check.run(Target(address))
            except contract.BrokenError as error:
                found.append(str(error))
    return found


def _parts(found: Sequence[str]) -> set[str]:
    return {line.partition(":")[0] for line in found}


async def test_passing_on_is_kept(real: Address) -> None:
    """The wrong server without anything wrong keeps the contract: what the other tests find is what they spoil."""
    async with spoiled(real, [SERVICE], Spoiler()) as address:
        assert await broken(address) == []


class WrongCode(Spoiler):
    """An RPC refuses with another status than the documented one."""

    @override
    def refusal(self, path: str, refusal: Refusal) -> Refusal:
        if path.endswith("/GetConversation") and refusal[0] is grpc.StatusCode.NOT_FOUND:
            return (grpc.StatusCode.UNKNOWN, refusal[1], ())
        return refusal


async def test_one_wrong_status_code(real: Address) -> None:
    """A server that refuses one thing with another code is red, there and nowhere else."""
    async with spoiled(real, [SERVICE], WrongCode()) as address:
        (found,) = await broken(address)
    assert found.startswith("HandlesService.GetConversation: nobody's name is refused as CONVERSATION_NOT_FOUND: ")
    assert "the status is UNKNOWN" in found


class NoReason(Spoiler):
    """Refusals carry no details."""

    @override
    def refusal(self, path: str, refusal: Refusal) -> Refusal:
        return (refusal[0], refusal[1], ())


async def test_refusals_without_a_reason(real: Address) -> None:
    """The right code alone is not enough: every refusal must have its ErrorInfo."""
    refused = [check.title for check in contract.checks([SERVICE]) if " is refused as " in check.title]
    async with spoiled(real, [SERVICE], NoReason()) as address:
        found = await broken(address)
    assert len(found) == len(refused)
    assert all("has no google.rpc.ErrorInfo" in line for line in found)


class EmptyField(Spoiler):
    """The answers of a call lack a field, from the moment on at which it is told which."""

    path = ""
    field = ""

    @override
    def answer(self, path: str, answer: Message) -> None:
        if path == self.path:
            parent, _, name = self.field.rpartition(".")
            holder = value_of(answer, parent) if parent else answer
            if isinstance(holder, Message):
                holder.ClearField(name)


async def test_one_missing_field_of_an_answer(real: Address) -> None:
    """Whichever of the fields that a good answer must have is missing, its call is red."""
    spoiler, unnoticed = EmptyField(), []
    async with spoiled(real, [SERVICE], spoiler) as address:
        for case in contract.CASES:
            for spoiler.field in case.has if case.path.startswith(f"/{SERVICE}/") else ():
                spoiler.path = case.path
                title = f"{short(case.path)}: {case.title} is answered"
                if not await broken(address, only=title, without="unknown"):
                    unnoticed.append(f"{title} without {spoiler.field}")
    assert unnoticed == []


class Schema(Spoiler):
    """Reflection tells of one field otherwise."""

    def __init__(self, *, renamed: bool) -> None:
        self._renamed = renamed

    @override
    def file(self, file: FileDescriptorProto) -> None:
        for message in file.message_type:
            if message.name == "CheckpointResponse":
                if self._renamed:
                    message.field[1].name = "covered_sequence"
                    message.field[1].json_name = "coveredSequence"
                else:
                    del message.field[1]


async def test_one_missing_field_of_the_schema(real: Address) -> None:
    """A server that was built from a contract without one field is red."""
    async with spoiled(real, [SERVICE], Schema(renamed=False)) as address:
        (found,) = await broken(address)
    assert found.endswith("filo.handles.v1.CheckpointResponse lacks the field covered_seq = 2")


async def test_one_renamed_field(real: Address) -> None:
    """A server that was built from a contract with another name for one field is red."""
    async with spoiled(real, [SERVICE], Schema(renamed=True)) as address:
        (found,) = await broken(address)
    assert found.endswith("CheckpointResponse: field 2 is named covered_sequence, not covered_seq")


class Strict(Spoiler):
    """A server refuses what it does not know."""

    @override
    def request(self, path: str, request: Message) -> None:
        if len(UnknownFieldSet(request)):
            raise RefusedError("unknown field")


async def test_unknown_fields_must_be_tolerated(real: Address) -> None:
    """A server that refuses what a newer caller sends is red in every call that it answers otherwise."""
    async with spoiled(real, [SERVICE], Strict()) as address:
        found = await broken(address)
    assert len(found) == sum(" with unknown fields" in check.title for check in contract.checks([SERVICE]))
    assert all("with unknown fields" in line for line in found)


async def test_nobody_there() -> None:
    """Where no server is, every check is red, and says so."""
    found = []
    for check in contract.checks([SERVICE])[:3]:
        with pytest.raises(contract.BrokenError, match=r"UNAVAILABLE|connect") as caught:
            await check.run(Target(Address("127.0.0.1", 1)))
        found.append(str(caught.value))
    assert len(_parts(found)) > 1
