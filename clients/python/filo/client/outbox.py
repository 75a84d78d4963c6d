"""The inputs of a client that are not yet covered: kept in order, sent up to a mark, sent again on the next socket.

The inputs kept are numbered without holes, so a number is a position: `base` belongs to the oldest, and two integers
and a deque are the whole state.
"""

from collections import deque
from itertools import islice
from typing import Final

CAPACITY: Final = 90_000
"""Half an hour of 20 ms frames, 58 MB; a relay covers after every turn, so only one that is broken lets it fill."""


class Outbox:
    """Numbered inputs between the client's first word and the relay's `covered`.

    Args:
        capacity: How many inputs are kept; beyond it the oldest is given up, and shows as a hole after a reconnect.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._kept: deque[str | bytes] = deque()
        self._capacity = capacity
        self._base = 1
        self._mark = 1

    @property
    def next(self) -> int:
        """The number that the next input will get."""
        return self._base + len(self._kept)

    @property
    def covered(self) -> int:
        """Everything up to this number is stored by the relay, or was given up."""
        return self._base - 1

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, payload: str | bytes) -> int:
        """Keep an input; return its number."""
        number = self.next
        self._kept.append(payload)
        if len(self._kept) > self._capacity:
            self._forget_through(self._base)
        return number

    def take(self) -> str | bytes | None:
        """The next input to be sent on this socket, or None while there is none."""
        if self._mark >= self.next:
            return None
        payload = self._kept[self._mark - self._base]
        self._mark += 1
        return payload

    def cover(self, seq: int) -> None:
        """Forget every input up to number `seq`; one that was never made is not believed."""
        self._forget_through(min(seq, self.next - 1))

    def adopt(self, seq: int) -> None:
        """Give the inputs kept so far the numbers from `seq` on: this client is new to an older conversation."""
        self._base = self._mark = seq

    def rewind(self, seq: int) -> int:
        """Begin a new socket at the relay's `nextSeq`: what is kept from there on will be taken again.

        Returns:
            How many inputs the relay asks for that are no longer kept. They are lost.
        """
        if seq > self.next:  # somebody else spoke for this client: its numbers go on after theirs
            self._kept.clear()
            self._base = seq
        self._mark = max(seq, self._base)
        return max(0, self._base - seq)

    def pending(self) -> list[str | bytes]:
        """What is still to be sent on this socket, in order; for tests and post-mortems."""
        return list(islice(self._kept, self._mark - self._base, None))

    def _forget_through(self, seq: int) -> None:
        while self._base <= seq:
            self._kept.popleft()
            self._base += 1
        self._mark = max(self._mark, self._base)
