"""``docs/api.md``: every service, RPC, message, field and value of the contract, in the words of its comments."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

PAGE: Final = "docs/api.md"
"""Where the page is."""

_HEAD: Final = """# API reference

Every RPC, message and field of the contract in [protos/](../protos/), in its own words; made by `make gen`, so do not
edit it here. What the reasons of refusals mean is in [errors](errors.md);
[holding a server against the contract](contract.md) proves that it keeps all this.
"""

# Numbers of fields in descriptor.proto, of which the path of a comment is made.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _NESTED, _NESTED_ENUM = 2, 3, 4
_VALUE, _METHOD = 2, 2

Comments = Mapping[tuple[int, ...], str]


@dataclass(frozen=True, slots=True)
class _File:
    """A contract with its comments by path."""

    proto: FileDescriptorProto
    comments: Comments

    def comment(self, *path: int) -> str:
        """A comment as one line of Markdown; paragraphs stay apart."""
        return "\n\n".join(
            " ".join(part.split()) for part in re.split(r"\n\s*\n", self.comments.get(path, "").strip("\n"))
        )


def text(root: Path) -> str:
    """The page, from the contracts under `root`.

    Raises:
        CalledProcessError: protoc refuses a contract.
    """
    return "\n".join([_HEAD, *(line for file in _files(root / "protos") for line in _file(file))]).rstrip() + "\n"


def _files(protos: Path) -> list[_File]:
    sources = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "set.binpb"
        subprocess.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}"),
                *("--include_source_info", f"--descriptor_set_out={out}", *sources),
            ],
            check=True,
        )
        found = FileDescriptorSet.FromString(out.read_bytes())
    return [_File(file, _comments(file)) for file in found.file]


def _comments(file: FileDescriptorProto) -> Comments:
    return {
        tuple(place.path): "\n".join(line.removeprefix(" ") for line in place.leading_comments.splitlines())
        for place in file.source_code_info.location
        if place.leading_comments
    }


def _file(file: _File) -> Iterator[str]:
    yield f"## {file.proto.package}: {Path(file.proto.name).name}\n"
    for number, service in enumerate(file.proto.service):
        yield f"### {service.name}\n"
        yield f"{file.comment(_SERVICE, number)}\n"
        for index, method in enumerate(service.method):
            yield f"#### {service.name}.{method.name}\n"
            yield f"{_signature(method)}\n\n{file.comment(_SERVICE, number, _METHOD, index)}\n"
    for number, message in enumerate(file.proto.message_type):
        yield from _message(file, message, message.name, (_MESSAGE, number))
    for number, enumeration in enumerate(file.proto.enum_type):
        yield from _enum(file, enumeration, enumeration.name, (_ENUM, number))


def _signature(method: MethodDescriptorProto) -> str:
    stream = "stream of " if method.server_streaming else ""
    return f"{_link(method.input_type)} → {stream}{_link(method.output_type)}"


def _message(file: _File, message: DescriptorProto, name: str, path: tuple[int, ...]) -> Iterator[str]:
    yield _heading(file, name, path)
    entries = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    rows = [
        (
            f"`{field.name}`",
            str(field.number),
            _type(field, message, entries),
            file.comment(*path, _FIELD, index).replace("\n\n", " "),
        )
        for index, field in enumerate(message.field)
    ]
    if rows:
        yield from _table(("field", "number", "type", "meaning"), rows)
    for index, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _message(file, nested, f"{name}.{nested.name}", (*path, _NESTED, index))
    for index, enumeration in enumerate(message.enum_type):
        yield from _enum(file, enumeration, f"{name}.{enumeration.name}", (*path, _NESTED_ENUM, index))


def _enum(file: _File, enumeration: EnumDescriptorProto, name: str, path: tuple[int, ...]) -> Iterator[str]:
    yield _heading(file, name, path)
    rows = [
        (f"`{value.name}`", str(value.number), file.comment(*path, _VALUE, index).replace("\n\n", " "))
        for index, value in enumerate(enumeration.value)
    ]
    yield from _table(("value", "number", "meaning"), rows)


def _heading(file: _File, name: str, path: tuple[int, ...]) -> str:
    return f'### {name} <a id="{file.proto.package}.{name}"></a>\n\n{file.comment(*path)}\n'


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    lines = [header, ["---"] * len(header), *rows]
    yield "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _type(field: FieldDescriptorProto, message: DescriptorProto, entries: Mapping[str, DescriptorProto]) -> str:
    entry = entries.get(field.type_name.rpartition(".")[2]) if field.type_name else None
    if entry is not None:
        return f"map of {_plain(entry.field[0])} to {_plain(entry.field[1])}"
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    words = ["repeated" if repeated else "", "optional" if field.proto3_optional else "", _plain(field)]
    if field.HasField("oneof_index") and not field.proto3_optional:
        words.append(f"(one of `{message.oneof_decl[field.oneof_index].name}`)")
    return " ".join(word for word in words if word)


def _plain(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _link(field.type_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _link(full_name: str) -> str:
    """A type, with a link to its heading where it is one of ours."""
    name = full_name.removeprefix(".")
    if not name.startswith("filo."):
        return f"`{name.rpartition('.')[2]}`"
    short = re.sub(r"^filo\.\w+\.v\d+\.", "", name)
    return f"[{short}](#{name})"
