"""The user's images: single frames that cost tokens in the turn they belong to."""

from services.emulator import tokens
from services.emulator.messages import Coverage
from services.emulator.tokens import Tokens


class Camera:
    """Sees what the client sends beside the user's words; what is in the images it does not know.

    Args:
        coverage: Which images belong to a turn.
    """

    def __init__(self, coverage: Coverage) -> None:
        self._only_activity = coverage is Coverage.ACTIVITY
        self._seen = 0

    def see(self, *, active: bool) -> None:
        """An image arrived, in an activity of the user or outside."""
        self._seen += active or not self._only_activity

    def take(self) -> Tokens:
        """What the images since the last turn cost."""
        seen, self._seen = self._seen, 0
        return Tokens(video=seen * tokens.IMAGE_TOKENS)
