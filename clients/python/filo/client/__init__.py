"""A client of Filo's relay that loses nothing, whatever becomes of its connections: `Conversation` is the front door.

Underneath, `Session` decides and does no I/O, and `Client` gives it a WebSocket. The contract is
``docs/client-protocol.md``; how to use this, ``docs/clients.md``. Needs nothing but `websockets`.
"""

from filo.client.close_codes import CLOSE_CODES, Action, CloseCode
from filo.client.conversation import Conversation, ConversationError
from filo.client.credentials import Credentials
from filo.client.dialogue import Dialogue, Turn
from filo.client.driver import Client, Renew
from filo.client.events import (
    AttemptFailed,
    Audio,
    Disconnected,
    Event,
    Offline,
    Over,
    Reconnected,
    Reconnecting,
)
from filo.client.policy import Policy
from filo.client.session import Session
from filo.client.states import Phase, SessionError

__all__ = [
    "CLOSE_CODES",
    "Action",
    "AttemptFailed",
    "Audio",
    "Client",
    "CloseCode",
    "Conversation",
    "ConversationError",
    "Credentials",
    "Dialogue",
    "Disconnected",
    "Event",
    "Offline",
    "Over",
    "Phase",
    "Policy",
    "Reconnected",
    "Reconnecting",
    "Renew",
    "Session",
    "SessionError",
    "Turn",
]
