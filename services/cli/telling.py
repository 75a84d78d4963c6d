"""A tool that does one thing: what came of it as a table or as JSON, what went wrong as lines and an exit code."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from services.cli.handles_view import facts
from services.cli.screen import Screen
from services.common.config import ConfigError
from services.common.errors import Reason, ServiceError
from services.common.lifecycle import StartupError

EXIT_NOT_DONE: Final = 1
"""What was meant is not there, or did not answer."""

EXIT_BAD_INPUT: Final = 2
"""Something cannot be used: an argument, a setting, a database, a key file."""

Work = Callable[[], Coroutine[Any, Any, Any]]
"""Does it; returns what JSON has of it."""


def show_facts(values: Mapping[str, Any], screen: Screen) -> None:
    """Show what came of it, a fact a line."""
    screen.show(facts(values))


def tell(program: str, work: Work, *, as_json: bool, show: Callable[[Any, Screen], None] = show_facts) -> int:
    """Do it, and show what came of it.

    Args:
        program: Put before each line that tells what went wrong.
        work: Does it.
        as_json: For programs.
        show: For people.

    Returns:
        The exit code.
    """
    try:
        result: Any = asyncio.run(work())
    except ConfigError as error:
        return _fail(program, *error.problems)
    except StartupError as error:
        return _fail(program, str(error))
    except ServiceError as error:
        bad = error.reason is Reason.INVALID_ARGUMENT
        return _fail(program, error.detail, code=EXIT_BAD_INPUT if bad else EXIT_NOT_DONE)
    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        show(result, Screen())
    return 0


def _fail(program: str, *problems: str, code: int = EXIT_BAD_INPUT) -> int:
    for problem in problems:
        print(f"{program}: {problem}", file=sys.stderr)
    return code
