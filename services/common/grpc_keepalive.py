"""Whether the other end of a quiet gRPC connection is still there.

A machine that is lost, or a network that drops what it was given, resets nothing: a stream that waits for the next
event would wait until TCP gives up, a quarter of an hour later. So both ends ping a connection that is quiet, and drop
one whose ping is not answered: its calls end with UNAVAILABLE, and are made again elsewhere. Pings are answered by
gRPC's own threads, also while a process is late. A server closes connections that ping more often than it likes, which
is every five minutes if nobody says otherwise (https://github.com/grpc/grpc/blob/master/doc/keepalive.md); so what both
ends do is written here, together.
"""

from typing import Final

TIME: Final = 20.0
"""Seconds of quiet before a ping."""
TIMEOUT: Final = 10.0
"""Seconds in which it must be answered."""
_PATIENCE: Final = 4
"""A server takes pings so many times as often as they are sent: clocks and networks are no metronomes."""

Options = tuple[tuple[str, int], ...]
"""Arguments of a gRPC channel or server."""


def both(time: float = TIME, timeout: float = TIMEOUT) -> Options:
    """What either end is told.

    Args:
        time: Seconds of quiet before a ping.
        timeout: Seconds in which it must be answered.
    """
    return (
        ("grpc.keepalive_time_ms", round(time * 1e3)),
        ("grpc.keepalive_timeout_ms", round(timeout * 1e3)),
        ("grpc.http2.ping_timeout_ms", round(timeout * 1e3)),  # a minute otherwise, whatever the one before says
        ("grpc.keepalive_permit_without_calls", 1),  # so that the next call does not find out
        ("grpc.http2.max_pings_without_data", 0),  # a stream that is watched sends none for hours
    )


def server(time: float = TIME, timeout: float = TIMEOUT) -> Options:
    """What a server is told besides: how often it may be pinged."""
    shortest = round(time * 1e3 / _PATIENCE)
    return (*both(time, timeout), ("grpc.http2.min_ping_interval_without_data_ms", shortest))
