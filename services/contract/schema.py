"""A server's own descriptors, as reflection gives them, beside the contract's."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.contract.methods import SERVICES
from services.contract.target import DEADLINE, Server


async def listed(server: Server) -> frozenset[str]:
    """The services that a server says it has.

    Raises:
        AioRpcError: It has no reflection, or cannot be reached.
    """
    answer = await _ask(server, reflection_pb2.ServerReflectionRequest(list_services=""))
    return frozenset(service.name for service in answer.list_services_response.service)


async def reflected(server: Server, service: str) -> DescriptorPool:
    """The descriptors of a service and all it needs, as the server tells them.

    Raises:
        LookupError: It does not know the service, or a file that one of its own needs.
    """
    files: dict[str, FileDescriptorProto] = {}
    wanted = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)]
    while wanted:
        answer = await _ask(server, wanted.pop())
        if answer.HasField("error_response"):
            raise LookupError(f"reflection does not know it: {answer.error_response.error_message}")
        for serialized in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(serialized)
            files[file.name] = file
        missing = {name for file in files.values() for name in file.dependency} - files.keys()
        wanted = [reflection_pb2.ServerReflectionRequest(file_by_filename=name) for name in sorted(missing)][:1]
    return _pool(files)


async def _ask(server: Server, request: Any) -> Any:  # noqa: ANN401 - its stubs are not typed for asyncio
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)  # type: ignore[arg-type]  # the same
    call = stub.ServerReflectionInfo(iter([request]), timeout=DEADLINE, metadata=server.target.metadata)
    answers = [answer async for answer in call]
    return answers[0]


def _pool(files: Mapping[str, FileDescriptorProto]) -> DescriptorPool:
    pool = DescriptorPool()
    done: set[str] = set()

    def add(name: str) -> None:
        if name in done:
            return
        done.add(name)
        for needed in files[name].dependency:
            add(needed)
        pool.Add(files[name])

    for name in files:
        add(name)
    return pool


def differences(service: str, pool: DescriptorPool) -> list[str]:
    """Where a server's descriptors are not the contract's: one sentence each. Files, comments and options do not count.

    Args:
        service: Its full name.
        pool: The server's.
    """
    ours = SERVICES[service]
    theirs: ServiceDescriptor = pool.FindServiceByName(service)
    told = list(_sets(service, "RPC", set(ours.methods_by_name), set(theirs.methods_by_name)))
    for name, method in ours.methods_by_name.items():
        other = theirs.methods_by_name.get(name)
        if other is not None and _signature(method) != _signature(other):
            told.append(f"{service}.{name} is {_signature(other)}, not {_signature(method)}")
    return told + [line for kind in _reachable(ours) for line in _type(kind, pool)]


def _signature(method: Any) -> str:  # noqa: ANN401 - a MethodDescriptor, whose stub lacks the streaming flags
    asks = f"{'stream ' if method.client_streaming else ''}{method.input_type.full_name}"
    return f"({asks}) returns ({'stream ' if method.server_streaming else ''}{method.output_type.full_name})"


def _reachable(service: ServiceDescriptor) -> list[Descriptor | EnumDescriptor]:
    """Every message and enumeration of ours that the calls of a service can hold."""
    found: dict[str, Descriptor | EnumDescriptor] = {}
    waiting: list[Descriptor | EnumDescriptor] = [
        kind for method in service.methods for kind in (method.input_type, method.output_type)
    ]
    while waiting:
        kind = waiting.pop()
        if kind.full_name in found or not kind.full_name.startswith("filo."):
            continue
        found[kind.full_name] = kind
        if isinstance(kind, Descriptor):
            waiting += [inner for field in kind.fields if (inner := field.message_type or field.enum_type)]
    return [found[name] for name in sorted(found)]


def _type(ours: Descriptor | EnumDescriptor, pool: DescriptorPool) -> Iterator[str]:
    try:
        if isinstance(ours, EnumDescriptor):
            enumeration: EnumDescriptor = pool.FindEnumTypeByName(ours.full_name)
            yield from _sets(ours.full_name, "value", _values(ours), _values(enumeration))
            return
        message: Descriptor = pool.FindMessageTypeByName(ours.full_name)
    except KeyError:
        yield f"{ours.full_name} is missing"
        return
    yield from _fields(ours, message)


def _values(enumeration: EnumDescriptor) -> set[str]:
    return {f"{value.name} = {value.number}" for value in enumeration.values}


def _fields(ours: Descriptor, theirs: Descriptor) -> Iterator[str]:
    others = {field.number: field for field in theirs.fields}
    for field in ours.fields:
        other = others.pop(field.number, None)
        if other is None:
            yield f"{ours.full_name} lacks the field {field.name} = {field.number}"
        elif other.name != field.name:
            yield f"{ours.full_name}: field {field.number} is named {other.name}, not {field.name}"
        elif _shape(other) != _shape(field):
            yield f"{ours.full_name}.{field.name} is {_shape(other)}, not {_shape(field)}"
    yield from (f"{ours.full_name} has a field {field.name} = {field.number} of its own" for field in others.values())


_KINDS: Final = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def _shape(field: FieldDescriptor) -> str:
    kind = field.message_type or field.enum_type
    name = kind.full_name if kind else _KINDS[field.type]
    union = field.containing_oneof
    within = f" of {union.name}" if union else ""
    return f"{'repeated ' if field.is_repeated else ''}{name}{' with presence' if field.has_presence else ''}{within}"


def _sets(where: str, what: str, ours: set[str], theirs: set[str]) -> Iterator[str]:
    yield from (f"{where} lacks the {what} {name}" for name in sorted(ours - theirs))
    yield from (f"{where} has the {what} {name} of its own" for name in sorted(theirs - ours))
