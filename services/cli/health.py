"""``filo health``: does a service here answer? For a container's health check, where one image runs any service."""

import http
import http.client
import sys
from collections.abc import Mapping
from typing import Final

import grpc
from grpc_health.v1 import health_pb2

from services.common.config import Address, ConfigError, Environment

TIMEOUT: Final = 3.0
"""Seconds for each question."""

ASKED: Final = ("FILO_RELAY_HEALTH_ADDRESS", "FILO_HANDLES_HEALTH_ADDRESS", "FILO_SIMULATOR_HEALTH_ADDRESS")
"""Where gRPC health is served, if it is."""
EMULATOR: Final = "FILO_EMULATOR_CONTROL_ADDRESS"
"""Where the emulator is asked by HTTP."""

_ANY_HOST: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


def run(environ: Mapping[str, str]) -> int:
    """Ask wherever the environment says that health is served.

    Returns:
        The exit code: 0 when at least one answers that it serves, 1 when none does, 2 when there is nothing to ask.
    """
    env = Environment(environ, prefix="")
    servers = [address for name in ASKED if (address := env.optional_address(name))]
    emulator = env.optional_address(EMULATOR)
    try:
        env.check()
    except ConfigError as error:
        for problem in error.problems:
            print(f"filo health: {problem}", file=sys.stderr)
        return 2
    if not servers and emulator is None:
        print(f"filo health: nothing to ask; set {', '.join((*ASKED, EMULATOR))}, or one of them", file=sys.stderr)
        return 2
    serves = any(_grpc(_near(address)) for address in servers) or (emulator is not None and _http(_near(emulator)))
    print("serving" if serves else "not serving")
    return 0 if serves else 1


def _near(listening: Address) -> Address:
    """How to reach, from here, what listens there."""
    return listening._replace(host="127.0.0.1") if listening.host in _ANY_HOST else listening


def _grpc(address: Address) -> bool:
    with grpc.insecure_channel(str(address), options=[("grpc.enable_http_proxy", 0)]) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer: health_pb2.HealthCheckResponse = check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        except grpc.RpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING


def _http(address: Address) -> bool:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/v1/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
