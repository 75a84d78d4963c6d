"""The RPCs of the contract, by their paths, from the generated descriptors."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from filo.handles.v1 import handles_pb2
from filo.relay.v1 import relay_pb2
from filo.simulator.v1 import simulator_pb2

FILES: Final[tuple[FileDescriptor, ...]] = (handles_pb2.DESCRIPTOR, relay_pb2.DESCRIPTOR, simulator_pb2.DESCRIPTOR)
"""The files with services in them."""

SERVICES: Final[Mapping[str, ServiceDescriptor]] = MappingProxyType(
    {service.full_name: service for file in FILES for service in file.services_by_name.values()}
)
"""Every service by its full name, ``filo.handles.v1.HandlesService``."""

METHODS: Final[Mapping[str, MethodDescriptor]] = MappingProxyType(
    {f"/{service.full_name}/{method.name}": method for service in SERVICES.values() for method in service.methods}
)
"""Every RPC by its path, ``/filo.handles.v1.HandlesService/GetConversation``."""


def short(path: str) -> str:
    """A path as a person says it: ``HandlesService.GetConversation``."""
    service, _, method = path.removeprefix("/").partition("/")
    return f"{service.rpartition('.')[2]}.{method}"


def service_of(path: str) -> str:
    """The full name of the service that a path belongs to."""
    return path.removeprefix("/").partition("/")[0]


def answer_class(path: str) -> type[Message]:
    """The class of what an RPC answers."""
    return GetMessageClass(METHODS[path].output_type)
