"""What the emulator really has: which frames reached it on which connection, and what each context holds.

Other tests believe this account rather than the relay, so it is exact: everything in it is counted from the facts that
sessions tell, nothing is estimated but the tokens themselves. A *conversation* here is a session and all that were
resumed from it, whatever it was made of; its id is that of its first connection. A conversation that a client rebuilt
from its transcript is a new one: the emulator cannot know better. The *voice* that speaks in them tells which belong
together, where the test voice speaks. Whatever was heard of least recently is forgotten first.
"""

from collections import OrderedDict, deque
from dataclasses import replace
from typing import Any, Final

from services.common import logs
from services.emulator import reports, runs
from services.emulator.closes import Close
from services.emulator.effects import Answered, Asked, AudioReceived, Began, ContextChanged, Fact, Issued, VoiceHeard
from services.emulator.records import Connection, Conversation, Line

REFUSED: Final = 256
"""How many connections that never came to a conversation are remembered."""
HANDLES: Final = 16
"""How many handles of one connection are remembered: no older one of a conversation can be redeemed."""


class Account:
    """The record of one emulator.

    Attributes:
        voices: The connections that carried each voice, the voice heard last at the end.
        conversations: By id, the one that something happened in last at the end.
        refused: Connections that never came to a conversation.

    Args:
        remembered: How many conversations, and how many voices, it remembers.
        connections: How many connections of each it remembers one by one.
    """

    def __init__(self, remembered: int = 1_000, connections: int = 64) -> None:
        self.voices: OrderedDict[int, Line] = OrderedDict()
        self.conversations: OrderedDict[str, Conversation] = OrderedDict()
        self.refused: deque[Connection] = deque(maxlen=REFUSED)
        self._remembered = remembered
        self._connections = connections
        self._open: dict[str, Connection] = {}

    def opened(self, connection: str, at: float) -> None:
        """A connection was opened, at a time in UNIX seconds."""
        self._open[connection] = Connection(connection, at)

    def closed(self, connection: str, close: Close) -> None:
        """A connection was closed, with the code and reason that ended it."""
        record = self._open.pop(connection)
        record.closed = close
        if record.conversation is None:
            self.refused.append(record)

    def note(self, connection: str, fact: Fact) -> None:
        """A session tells a fact."""
        record = self._open[connection]
        match fact:
            case VoiceHeard(heard):
                record.received[heard.stream] = runs.append(record.received.get(heard.stream, ()), heard.frame)
                self._link(heard.stream, record)
            case AudioReceived(seconds):
                record.audio_seconds += seconds
            case Asked():
                self._ask(record, fact)
            case Began():
                self._begin(record, fact)
            case ContextChanged(context):
                record.context = context
                self._touch(record.conversation)
            case Answered():
                record.bill.add(fact)
            case Issued():
                record.handles.append(replace(fact, handle=logs.fingerprint(fact.handle)))
                record.handles_dropped += len(record.handles[:-HANDLES])
                del record.handles[:-HANDLES]

    def voice(self, stream: int) -> dict[str, Any] | None:
        """The account of one voice as JSON; None if it was never heard."""
        found = self.voices.get(stream)
        return None if found is None else reports.voice(stream, found)

    def conversation(self, name: str) -> dict[str, Any] | None:
        """The account of one conversation as JSON; None if there is none of that id."""
        found = self.conversations.get(name)
        return None if found is None else reports.conversation(found)

    def listed(self, limit: int) -> list[dict[str, Any]]:
        """So many conversations, those first in which something happened last, as JSON."""
        newest = list(reversed(self.conversations.values()))[:limit]
        return [reports.summary(conversation) for conversation in newest]

    def refusals(self) -> list[dict[str, Any]]:
        """The connections that never came to a conversation, newest first, as JSON."""
        return [reports.connection(record) for record in reversed(self.refused)]

    def _ask(self, record: Connection, asked: Asked) -> None:
        """A setup came; where it brings a handle of a conversation that is known, the connection belongs to it."""
        record.model, record.backend = asked.model, asked.backend
        record.handle = logs.fingerprint(asked.handle) if asked.handle else ""
        record.belongs = asked.conversation
        if asked.handle and asked.conversation in self.conversations:
            record.resumed_from = self._issuer(asked.conversation, record.handle)
            self._join(record)

    def _touch(self, conversation: str | None) -> None:
        """Something happened in it."""
        if conversation is not None and conversation in self.conversations:
            self.conversations.move_to_end(conversation)

    def _issuer(self, conversation: str, handle: str) -> str | None:
        """The connection that issued the handle with this fingerprint."""
        connections = reversed(self.conversations[conversation].connections)
        return next((one.id for one in connections if any(issued.handle == handle for issued in one.handles)), None)

    def _begin(self, record: Connection, began: Began) -> None:
        """The setup was accepted, or its history came."""
        record.continued, record.context = began.continued, began.context
        self._join(record).succeed(record)
        for stream in began.context.voices:
            self._link(stream, record)

    def _join(self, record: Connection) -> Conversation:
        """This connection belongs to its conversation, which is thereby the newest."""
        name = record.belongs or record.id
        conversation = self.conversations.setdefault(name, Conversation(id=name, began_at=record.opened_at))
        self.conversations.move_to_end(name)
        if record.conversation is None:
            record.conversation = name
            conversation.add(record, self._connections)
        while len(self.conversations) > self._remembered:
            _, oldest = self.conversations.popitem(last=False)
            oldest.forget()
        return conversation

    def _link(self, stream: int, record: Connection) -> None:
        """This connection carries that voice."""
        line = self.voices.setdefault(stream, Line())
        self.voices.move_to_end(stream)
        if line.connections and line.connections[-1] is record:
            return
        if record not in line.connections:
            line.add(record, self._connections)
        while len(self.voices) > self._remembered:
            self.voices.popitem(last=False)
