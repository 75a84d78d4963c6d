"""What the user said while the model was in the middle of its turn: it is taken in afterwards."""

from dataclasses import dataclass

from services.emulator.context import Turn


@dataclass
class Backlog:
    """What waits for the end of the model's turn.

    Attributes:
        turns: What was said meanwhile.
        asked: Whether it wants an answer.
        since: The client's message that the first of it began with; None while nothing waits.
    """

    turns: tuple[Turn, ...] = ()
    asked: bool = False
    since: int | None = None

    def add(self, turn: Turn, since: int) -> None:
        """This was said, from that message of the client on."""
        self.turns += (turn,)
        self.since = since if self.since is None else self.since

    def take(self) -> tuple[tuple[Turn, ...], bool]:
        """All of it, and whether an answer is wanted; nothing waits afterwards."""
        turns, asked = self.turns, self.asked
        self.turns, self.asked, self.since = (), False, None
        return turns, asked
