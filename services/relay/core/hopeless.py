"""Why no further connection to Gemini is to be had, in words that are true."""

from dataclasses import dataclass

from services.relay.core import effects as do
from services.relay.core.model import RotationReason


@dataclass(frozen=True, slots=True)
class Hopeless:
    """No further connection is to be had.

    Args:
        message: Why, for the client.
        farewell: What its socket is closed with.
    """

    message: str
    farewell: do.Farewell


def out_of_dials(replacing: RotationReason | None) -> Hopeless:
    """The budget of dials is spent.

    Args:
        replacing: Why the connection before them was replaced; a Gemini that takes connections and then says nothing
            can be reached.
    """
    silent = replacing is RotationReason.STALL
    return Hopeless(
        "Gemini does not answer" if silent else "Gemini cannot be reached", do.Farewell.UPSTREAM_UNAVAILABLE
    )


def refused(why: str) -> Hopeless:
    """Gemini will never take this conversation."""
    return Hopeless(f"Gemini refused: {why}", do.Farewell.UPSTREAM_REFUSED)
