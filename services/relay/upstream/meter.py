"""Measures voices on one connection, so that the ledger can tell what a turn should cost."""

from dataclasses import replace

from services.relay.core import events as on

_BYTES_A_SECOND = 48_000
"""PCM16 mono of 24 kHz: the agent's voice."""


class Meter:
    """The voices of one turn after another.

    What the client says into an answer belongs to the next turn; so the client's voice is measured when the answer
    begins.
    """

    def __init__(self) -> None:
        self._from = 0.0
        self._to: float | None = None
        self._sounded = 0

    def sounded(self, size: int) -> None:
        """So many bytes of the agent's voice came."""
        self._sounded += size

    def see(self, event: on.Event, voice: float, quiet: float = 0.0) -> on.Event:
        """An event of the connection.

        Args:
            event: What was read.
            voice: Seconds of the client's voice that the connection was sent so far.
            quiet: Seconds without a voice that it was sent after that.

        Returns:
            The same, with what was measured if it counts tokens, or begins an answer.
        """
        match event:
            case on.AnswerBegan():
                self._to = voice if self._to is None else self._to
                return replace(event, quiet=quiet)
            case on.UsageCounted():
                heard = (voice if self._to is None else self._to) - self._from
                return replace(event, heard=max(0.0, heard), spoken=self._sounded / _BYTES_A_SECOND)
            case on.TurnCompleted():
                self._from = voice if self._to is None else self._to
                self._to, self._sounded = None, 0
            case _:
                pass
        return event
