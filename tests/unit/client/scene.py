"""A session, and the few things a driver and a relay do to it."""

import json

from filo.client import Credentials, Event, Policy, Session

CREDENTIALS = Credentials(
    url="ws://relay:7400/ws/ai-voice?mode=sales_agent",
    session_token="first-token",
    share_token="share-secret",
    test=True,
)
POLICY = Policy(attempts=3, shortest_wait=1.0, first_wait=2.0, factor=2.0, longest_wait=15.0)


def new(policy: Policy = POLICY, credentials: Credentials = CREDENTIALS) -> Session:
    """A session whose chance is always one half."""
    return Session(credentials, policy, lambda: 0.5)


def say(kind: str, **fields: object) -> str:
    """A message of the relay."""
    return json.dumps({"type": kind, **fields})


def live(session: Session, *, resumed: bool = False, epoch: int = 1, n: int = 0, **fields: object) -> list[Event]:
    """Connect, open, be greeted; what the owner is told."""
    session.connect(0.0)
    session.opened(0.0)
    kind = "session:resumed" if resumed else "session:started"
    return list(session.received(say(kind, epoch=epoch, n=n, **{"nextSeq": 1, **fields}), 0.0))


def sent(session: Session) -> list[str | bytes]:
    """Everything the driver would send now."""
    out = []
    while (message := session.take()) is not None:
        out.append(message)
    return out
