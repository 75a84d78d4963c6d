"""The libraries that can carry the relay's WebSockets, each behind `services.relay.sockets`."""

from importlib import import_module
from typing import Final, cast

from services.relay.sockets import Transport

LIBRARIES: Final = ("websockets", "picows")
"""Each the name of a module here, which is loaded only where it is used."""


def named(name: str) -> Transport:
    """The transport of one of `LIBRARIES`."""
    return cast("Transport", import_module(f"{__name__}.{name}"))
