"""``python -m services.contract host:port``: holds a running server against the contract, a line for each check."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import grpc

from services.common.config import parse_address
from services.common.tls import Transport, UnusableError
from services.contract import schema
from services.contract.checks import BrokenError, Check, checks
from services.contract.methods import SERVICES
from services.contract.target import Target, reached

KEPT, BROKEN, CANNOT = 0, 1, 2
"""Exit codes."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m services.contract", description=__doc__)
    made.add_argument("target", help="where the server's gRPC listens, HOST:PORT")
    made.add_argument("--clients", default="", help="the relay's client sockets, ws://HOST:PORT")
    made.add_argument("--service", action="append", default=[], help="only this service, by its full name; all it has")
    made.add_argument("--cert", type=Path, help="PEM file with a certificate, for mutual TLS")
    made.add_argument("--key", type=Path, help="PEM file with its private key")
    made.add_argument("--ca", type=Path, help="PEM file with the authority of the server's certificate")
    made.add_argument("--name", default="", help="the DNS name of the server's certificate, for example relay")
    made.epilog = "FILO_API_KEY in the environment goes with every call. Exit code: 0 kept, 1 broken, 2 cannot be held."
    return made


def main(arguments: Sequence[str], key: str = "") -> int:
    """Hold a server against the contract; gives the exit code.

    Args:
        arguments: The command line.
        key: An API key for each call.
    """
    given = parser().parse_args(arguments)
    transport = Transport(given.cert, given.key, given.ca)
    try:
        target = Target(parse_address(given.target), given.clients.rstrip("/"), key, transport, given.name)
        return asyncio.run(_held(target, given.service))
    except (ValueError, UnusableError) as error:
        return _cannot(str(error))
    except grpc.aio.AioRpcError as error:
        return _cannot(f"{given.target} does not answer reflection: {error.code().name}: {error.details()}")


async def _held(target: Target, wanted: Sequence[str]) -> int:
    async with reached(target) as server:
        found = await schema.listed(server)
    services = [name for name in SERVICES if name in (wanted or found)]
    if not services or set(wanted) - SERVICES.keys():
        return _cannot(f"{target.address} has none of these services: {', '.join(wanted or SERVICES)}")
    broken = 0
    everything = checks(services)
    chosen = [check for check in everything if target.clients or not check.client]
    for check in chosen:
        broken += not await _told(check, target)
    left = len(everything) - len(chosen)
    _say(f"{len(chosen) - broken} of {len(chosen)} checks kept." if broken else f"All {len(chosen)} checks kept.")
    if left:
        _say(f"{left} more need a client: give --clients ws://HOST:PORT of the relay.")
    return BROKEN if broken else KEPT


async def _told(check: Check, target: Target) -> bool:
    try:
        await check.run(target)
    except BrokenError as error:
        _say(f"BROKEN {error}".replace("\n", "\n       "))
        return False
    _say(f"kept   {check.title}")
    return True


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the same


def _cannot(why: str) -> int:
    print(f"contract: {why}", file=sys.stderr)  # noqa: T201 - a command's own answer
    return CANNOT


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:], os.environ.get("FILO_API_KEY", "")))
