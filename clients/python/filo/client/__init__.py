"""A client of the relay that loses nothing: the wire contract of ``docs/client-protocol.md``, in Python.

`Session` decides and does no I/O; `Client` gives it a WebSocket. Neither knows who speaks or why: the simulator is
their first user.
"""

from filo.client.driver import Client
from filo.client.events import (
    AttemptFailed,
    Audio,
    Disconnected,
    Event,
    Over,
    Reconnected,
    Reconnecting,
)
from filo.client.policy import Policy
from filo.client.session import Credentials, Session
from filo.client.states import Phase, SessionError

__all__ = [
    "AttemptFailed",
    "Audio",
    "Client",
    "Credentials",
    "Disconnected",
    "Event",
    "Over",
    "Phase",
    "Policy",
    "Reconnected",
    "Reconnecting",
    "Session",
    "SessionError",
]
