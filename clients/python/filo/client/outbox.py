"""The inputs of a client that are not yet covered: kept in order, sent up to a mark, sent again on the next socket.

What was typed and what tools answered is kept until it is covered. Audio is bounded: where it would be too much, the
oldest goes first, and is counted. So the numbers kept may have holes, and the relay is told where to count on.
"""

from typing import Final, NamedTuple

CAPACITY: Final = 60 * 1024 * 1024
"""Bytes of audio: half an hour. A relay covers after every turn, so only one that is broken lets it fill."""


class Input(NamedTuple):
    """One input: audio, or a JSON message."""

    number: int
    payload: str | bytes


class Outbox:
    """Numbered inputs between the client's first word and the relay's `covered`.

    Args:
        capacity: How many bytes of audio are kept.

    Attributes:
        next: The number that the next input will get.
        covered: Everything up to this number is stored by the relay.
        given_up: How many pieces of audio were dropped because there was no more room, so far.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.next = 1
        self.covered = 0
        self.given_up = 0
        self._capacity = capacity
        self._kept: dict[int, str | bytes] = {}
        self._audio_bytes = 0
        self._oldest_audio = 1
        self._mark = 1

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def full(self) -> bool:
        """Whether the next piece of audio would push out an older one."""
        return self._audio_bytes >= self._capacity

    def add(self, payload: str | bytes) -> int:
        """Keep an input; return its number."""
        number = self.next
        self.next += 1
        self._kept[number] = payload
        if isinstance(payload, bytes):
            self._audio_bytes += len(payload)
            while self._audio_bytes > self._capacity:
                self._give_up_oldest()
        return number

    def take(self) -> Input | None:
        """The next input to be sent on this socket, or None while there is none."""
        while self._mark < self.next:
            self._mark += 1
            payload = self._kept.get(self._mark - 1)
            if payload is not None:
                return Input(self._mark - 1, payload)
        return None

    def cover(self, seq: int) -> None:
        """Forget every input up to number `seq`; one that was never made is not believed."""
        for number in range(self.covered + 1, min(seq, self.next - 1) + 1):
            self._forget(number)
            self.covered = number
        self._mark = max(self._mark, self.covered + 1)

    def adopt(self, seq: int) -> None:
        """Give the inputs kept so far the numbers from `seq` on: this client is new to an older conversation."""
        self._kept = dict(enumerate(self._kept.values(), start=seq))
        self._mark = self._oldest_audio = seq
        self.covered = seq - 1
        self.next = seq + len(self._kept)

    def rewind(self, seq: int) -> int:
        """Begin a new socket at the relay's `nextSeq`: what is kept from there on will be taken again.

        Returns:
            How many inputs the relay asks for that are no longer kept. They are lost.
        """
        if seq > self.next:  # somebody else spoke for this client: its numbers go on after theirs
            self._kept.clear()
            self._audio_bytes = 0
            self.next = self._oldest_audio = seq
        self._mark = seq
        kept = sum(number >= seq for number in self._kept)
        return self.next - seq - kept

    def pending(self) -> list[str | bytes]:
        """What is still to be sent on this socket, in order; for tests and post-mortems."""
        return [payload for number, payload in self._kept.items() if number >= self._mark]

    def _give_up_oldest(self) -> None:
        while not isinstance(self._kept.get(self._oldest_audio), bytes):
            self._oldest_audio += 1
        self._forget(self._oldest_audio)
        self.given_up += 1

    def _forget(self, number: int) -> None:
        payload = self._kept.pop(number, None)
        if isinstance(payload, bytes):
            self._audio_bytes -= len(payload)
