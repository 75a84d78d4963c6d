"""What a client hands over as content, part by part, as it enters the context.

Nothing vanishes: every part becomes a piece of context with its modality and its tokens.

=========================================  ==============================================================
text                                       a token for four characters; parts in a row are one piece
audio, ``inlineData``                      25 tokens a second; PCM is heard like a microphone's
an image                                   258 tokens, whatever its size or resolution [?: Google tiles large ones]
a document, a file that is not fetched     258 tokens, as one page or one image [?]
a function's call and its result,          their JSON, or their code, as text
code and its outcome
=========================================  ==============================================================
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Final

import msgspec

from services.emulator import tokens, toolbox
from services.emulator.brain import Call
from services.emulator.context import Kind, Role, Turn, text_turn
from services.emulator.fields import Message
from services.emulator.messages import AudioInput
from services.emulator.tokens import Tokens
from services.emulator.utterance import Utterance
from services.emulator.vad import Ear

DEFAULT_RATE: Final = 16_000
_RATE: Final = re.compile(r"rate\s*=\s*([1-9]\d{3,5})")
_PCM: Final = ("audio/pcm", "audio/l16", "audio/raw")
_WAV: Final = ("audio/wav", "audio/x-wav", "audio/wave")
_WAV_HEADER: Final = 44
_COMPRESSED_BYTES_PER_SECOND: Final = 8_000
"""Of audio in any other format: 64 kbit/s [?]."""
_IMAGE: Final = Tokens(image=tokens.IMAGE_TOKENS)
_PAGE: Final = Tokens(document=tokens.IMAGE_TOKENS)


def rate_of(mime_type: str) -> int:
    """Samples a second, as the MIME type says; 16 kHz where it does not."""
    rate = _RATE.search(mime_type)
    return int(rate[1]) if rate else DEFAULT_RATE


def text_of(content: Message) -> str:
    """The text of all parts of a content."""
    return "".join(part.get("text", "") for part in content.get("parts", ()))


def turns(role: Role, parts: Iterable[Message]) -> tuple[Turn, ...]:
    """What these parts are in the context; an empty piece of text if there are none.

    Args:
        role: Whose they are.
        parts: The parts of one content, as they were read.
    """
    pieces: list[Turn] = []
    for textual, group in groupby(parts, key=_is_text):
        if textual:
            pieces.append(text_turn(role, "".join(part.get("text", "") for part in group)))
        else:
            pieces.extend(_turn(role, part) for part in group)
    return tuple(pieces) or (text_turn(role, ""),)


def _is_text(part: Message) -> bool:
    return not any(name in part for name in _DATA)


def _turn(role: Role, part: Message) -> Turn:
    name = next(name for name in _DATA if name in part)
    return replace(_DATA[name](part[name]), role=role)


def _blob(blob: Message) -> Turn:
    mime_type, data = blob.get("mimeType", "").lower(), blob.get("data", b"")
    family = mime_type.partition("/")[0]
    if family == "audio":
        return _audio(mime_type, data)
    if family == "text":
        return text_turn(Role.USER, data.decode(errors="replace"))
    if family == "image":
        return Turn(Role.USER, Kind.IMAGE, f"({mime_type}, {len(data)} bytes)", _IMAGE)
    if family == "video":
        return Turn(Role.USER, Kind.IMAGE, f"({mime_type}, {len(data)} bytes)", Tokens(video=tokens.IMAGE_TOKENS))
    return Turn(Role.USER, Kind.FILE, f"({mime_type or 'unknown'}, {len(data)} bytes)", _PAGE)


def _audio(mime_type: str, data: bytes) -> Turn:
    """Audio in one piece: all of it counts, and what the test voice says in it is heard."""
    if mime_type.startswith(_WAV):
        rate, data = int.from_bytes(data[24:28], "little") or DEFAULT_RATE, data[_WAV_HEADER:]
    elif mime_type.startswith(_PCM):
        rate = rate_of(mime_type)
    else:
        seconds = len(data) / _COMPRESSED_BYTES_PER_SECOND
        return Turn(Role.USER, Kind.AUDIO, f"(unknown speech, {seconds:.1f} s)", tokens.of_audio(seconds))
    utterance = Utterance()
    for sound in Ear().hear(AudioInput(data, rate)):
        utterance.add(sound)
    seconds = len(data) / 2 / rate
    text = utterance.transcript or f"(unknown speech, {seconds:.1f} s)"
    return replace(utterance.turn, text=text, tokens=tokens.of_audio(seconds))


def _file(file: Message) -> Turn:
    """A file elsewhere: nothing fetches it."""
    kind = Kind.IMAGE if file.get("mimeType", "").startswith("image/") else Kind.FILE
    cost = _IMAGE if kind is Kind.IMAGE else _PAGE
    return Turn(Role.USER, kind, f"({file.get('mimeType', 'unknown')}, {file.get('fileUri', '')})", cost)


def _call(call: Message) -> Turn:
    return toolbox.asked([Call(call.get("name", ""), call.get("args", {}))])


def _result(result: Message) -> Turn:
    told = toolbox.told([(result.get("name", ""), result.get("response", {}))])
    media = sum(_media(result), start=tokens.NONE)
    return replace(told, tokens=told.tokens + media)


def _media(result: Message) -> Iterator[Tokens]:
    """What the images and files in a function's result cost."""
    for part in result.get("parts", ()):
        yield _turn(Role.USER, part).tokens if not _is_text(part) else tokens.NONE


def _code(code: Message) -> Turn:
    text = " ".join(str(code[name]) for name in ("language", "code", "outcome", "output") if code.get(name))
    return Turn(Role.USER, Kind.TOOL, text, tokens.of_text(text))


def _server_tool(part: Message) -> Turn:
    text = msgspec.json.encode({name: part[name] for name in sorted(part)}).decode()
    return Turn(Role.USER, Kind.TOOL, text, tokens.of_text(text))


_DATA: Final[Mapping[str, Callable[[Message], Turn]]] = {
    "inlineData": _blob,
    "fileData": _file,
    "functionCall": _call,
    "functionResponse": _result,
    "executableCode": _code,
    "codeExecutionResult": _code,
    "toolCall": _server_tool,
    "toolResponse": _server_tool,
}
"""What each kind of data in a part becomes; a part without any is text."""
