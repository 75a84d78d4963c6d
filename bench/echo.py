"""grpc.aio alone: a server that gives back what it gets. What every other number is compared with."""

from typing import Any, Final

import grpc
import uvloop

METHOD: Final = "/bench.Echo/Echo"


async def _echo(request: bytes, _context: Any) -> bytes:  # noqa: ANN401 - grpc's own
    return request


async def serve() -> None:
    """Serve until killed; the line on standard output is the port."""
    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("bench.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(_echo)})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"echo ready: grpc 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
