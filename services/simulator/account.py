"""The emulator's account of a voice: what its context holds and which frames reached it.

The emulator counts what it was sent and knows nothing of what the simulator meant to send; that is what makes the
comparison in `checks` worth something.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec

TIMEOUT: Final = 5.0
"""Seconds the emulator may take to answer."""


class AccountError(Exception):
    """There is no account to be had; the text says why."""


class Piece(msgspec.Struct, frozen=True):
    """One piece of the context.

    Attributes:
        role: ``user`` or ``model``.
        kind: ``audio``, or ``text`` where the relay handed the words over.
        text: What was said.
        frames: The voice frames it holds, as runs in the order of their arrival, both ends included.
    """

    role: str
    kind: str
    text: str = ""
    frames: tuple[tuple[int, int], ...] = ()


class Account(msgspec.Struct, frozen=True):
    """What the emulator has for one voice.

    Attributes:
        context: The newest context, oldest piece first.
        compressed_frames: The voice frames that the model's sliding window has dropped from it, as runs.
        compressed_texts: What it has dropped of the user's words that were handed over as text.
    """

    context: tuple[Piece, ...] = ()
    compressed_frames: tuple[tuple[int, int], ...] = ()
    compressed_texts: tuple[str, ...] = ()


class _Fault(msgspec.Struct, frozen=True):
    struck: int
    instruction: str = ""
    label: str = ""


class _Faults(msgspec.Struct, frozen=True):
    faults: tuple[_Fault, ...]


def parse(data: bytes | str) -> Account:
    """Read the emulator's JSON.

    Raises:
        AccountError: It is not what the emulator documents.
    """
    try:
        return msgspec.json.decode(data, type=Account)
    except msgspec.DecodeError as error:
        raise AccountError(f"the emulator's account cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Emulator:
    """The emulator's control API at `url`, for example ``http://127.0.0.1:7444``."""

    url: str

    async def account(self, stream: int) -> Account:
        """What the emulator has of a voice stream. Safe to cancel.

        Raises:
            AccountError: The emulator cannot be reached, or never heard that voice.
        """
        status, body = await self._call("GET", f"/v1/voices/{stream}")
        if status != HTTPStatus.OK:
            raise AccountError(f"the emulator answers {status} for this voice")
        return parse(body)

    async def plan(self, faults: Sequence[dict[str, Any]]) -> None:
        """Plan faults, as its control API takes them (docs/emulator.md). Safe to cancel.

        Raises:
            AccountError: The emulator cannot be reached, or does not take them.
        """
        status, body = await self._call("POST", "/v1/faults", faults)
        if status != HTTPStatus.OK:
            raise AccountError(f"the emulator does not take the faults: {body.decode(errors='replace')}")

    async def struck(self, instruction: str) -> frozenset[str]:
        """The labels of the faults, planned for conversations by these words, that have struck. Safe to cancel.

        Raises:
            AccountError: The emulator cannot be reached, or does not say.
        """
        _, body = await self._call("GET", "/v1/faults")
        try:
            faults = msgspec.json.decode(body, type=_Faults).faults
        except msgspec.DecodeError as error:
            raise AccountError(f"the emulator's faults cannot be read: {error}") from error
        return frozenset(fault.label for fault in faults if fault.instruction == instruction and fault.struck)

    async def _call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        data = None if body is None else msgspec.json.encode(body)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        where = self.url.rstrip("/") + path
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.request(method, where, data=data) as response,
            ):
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AccountError(f"the emulator at {self.url} does not answer: {type(error).__name__}") from error
