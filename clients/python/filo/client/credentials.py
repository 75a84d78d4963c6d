"""What opens a client's socket."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What opens the socket.

    Attributes:
        url: The relay with the path of `CreateSession`, for example ``ws://127.0.0.1:7400/ws/ai-voice?mode=sales_agent``.
        session_token: The first token; newer ones come on the socket. Secret: it is sent in the first message. None
            where the owner is to be asked for it.
        share_token: The share token of the conversation, if its mode has one. Secret, sent likewise.
        test: Marks the conversation as a test.
        rotation: Who replaces the upstream connection, ``relay`` or ``client``.
        renewable: The owner gives a new token when the newest one is refused.
    """

    url: str
    session_token: str | None
    share_token: str | None = None
    test: bool = False
    rotation: str = "relay"
    renewable: bool = False

    def __repr__(self) -> str:
        return f"Credentials(url={self.url!r}, test={self.test}, rotation={self.rotation!r})"
