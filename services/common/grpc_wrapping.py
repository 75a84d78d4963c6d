"""What is put around every call of a server: once, when its handlers are registered.

grpc.aio asks its own interceptors at every call, each in a coroutine of its own, for a handler that is always the same;
for a small call that is a tenth of what it costs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import grpc
from typing_extensions import override

Handler: TypeAlias = Any
"""``grpc.RpcMethodHandler``, whose fields have no public type."""

Wrap = Callable[[str, Handler], Handler]
"""Gives what shall answer a method, ``/package.Service/Call``, in place of a handler."""


class Wrapping:
    """A server, as the generated code that registers a service sees it: what is registered is wrapped first.

    Args:
        server: The server.
        wraps: What is put around each handler, the outermost first.
    """

    def __init__(self, server: grpc.aio.Server, wraps: Sequence[Wrap]) -> None:
        self._server = server
        self._wraps = wraps

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Register handlers that are found by asking."""
        self._server.add_generic_rpc_handlers([_Asked(handler, self._wrapped) for handler in handlers])

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Register handlers by name."""
        wrapped = {name: self._wrapped(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_registered_method_handlers(service, wrapped)

    def as_server(self) -> grpc.aio.Server:
        """This, in the type that generated code asks for; it can do nothing but register."""
        return cast("grpc.aio.Server", self)

    def _wrapped(self, path: str, handler: Handler) -> Handler:
        for wrap in reversed(self._wraps):
            handler = wrap(path, handler)
        return handler


class _Asked(grpc.GenericRpcHandler):
    """Handlers that are found by asking, wrapped when they are first found."""

    def __init__(self, handlers: grpc.GenericRpcHandler, wrap: Wrap) -> None:
        self._handlers = handlers
        self._wrap = wrap
        self._known: dict[str, Handler] = {}

    @override
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        path = handler_call_details.method
        if path not in self._known:
            found = self._handlers.service(handler_call_details)
            if found is None:
                return None  # nothing is kept of a name that anybody may invent
            self._known[path] = self._wrap(path, found)
        return self._known[path]
