"""`filo api-key`: a new API key, and the line that lets its bearer in."""

from services.common import api_keys
from services.common.api_keys import UnusableError
from services.common.grpc_access import Caller

EXIT_BAD_INPUT = 2


def run(name: str, role: str, conversations: int, creations: int) -> int:
    """Print a new key and its line; gives the exit code. The key is kept nowhere."""
    key = api_keys.mint()
    line = api_keys.line(name, key, Caller(role), conversations=conversations, creations=creations)
    try:
        api_keys.parse(line)
    except UnusableError:
        print(f"{name!r} is no name: letters, digits, dots, dashes and underscores, at most 64")
        return EXIT_BAD_INPUT
    print(f"key, for FILO_API_KEY of whoever calls:\n  {key}")
    print(f"line, for the file FILO_API_KEYS of who is called:\n  {line}")
    return 0
