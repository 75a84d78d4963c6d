"""``generateContent`` over REST, decided without I/O: for text personas and judges.

The same brain answers, without a greeting, from the contents of the request alone; as JSON by the request's schema
where it asks for that (see `schemas`).
"""

import zlib
from typing import Final

import msgspec

from services.emulator import profiles, schemas, toolbox, wire
from services.emulator.brain import Answer, Brain, Call
from services.emulator.closes import RefusedError
from services.emulator.context import Context, Kind, Role, Turn
from services.emulator.fields import REST_FIELDS, Fields
from services.emulator.profiles import Backend
from services.emulator.replies import Message, details
from services.emulator.tokens import VIDEO_TOKENS_PER_FRAME, Tokens, of_audio, of_text

_STATUS: Final = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
_TOOL_ROLES: Final = frozenset({"function", "tool"})
_PCM_BYTES_PER_SECOND: Final = 32_000

Reply = tuple[int, Message]
"""An HTTP status, and the body."""


def failure(status: int, message: str) -> Reply:
    """An error as Google's APIs write it."""
    return status, {"error": {"code": status, "message": message, "status": _STATUS[status]}}


def respond(body: bytes, model: str, version: str, backend: Backend, brain: Brain) -> Reply:
    """Answer one request.

    Args:
        body: The request, JSON.
        model: The model's resource name, as in the path.
        version: The API version in the path.
        backend: Whose API it is.
        brain: Who answers.
    """
    name = model.rpartition("/")[2]
    if not name.startswith("gemini-") or profiles.find(name, backend) is not None:
        return failure(
            404,
            f"{model} is not found for API version {version}, or is not supported for generateContent. "
            "Call ModelService.ListModels to see the list of available models and their supported methods.",
        )
    try:
        request = Fields(msgspec.json.decode(body), "", REST_FIELDS)
        context = _context(request)
        config = request.message("generationConfig")
        tools = toolbox.declared(wire.tools(request))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return failure(400, f"Invalid JSON payload received. {str(error).rstrip('.')}.")
    except RefusedError as refused:
        return failure(400, refused.close.reason)
    if not context.turns:
        return failure(400, "* GenerateContentRequest.contents: contents is not specified\n")
    return 200, _reply(name, context, brain.answer(context, tools, greets=False), config)


def _context(request: Fields) -> Context:
    instruction = wire.text_of(request.message("systemInstruction"))
    turns = tuple(turn for content in request.messages("contents") for turn in _turns(content))
    return Context(instruction, turns)


def _turns(content: Fields) -> list[Turn]:
    role = Role.USER if content.text("role") in _TOOL_ROLES else wire.role_of(content) or Role.USER
    return [_turn(role, part) for part in content.messages("parts")]


def _turn(role: Role, part: Fields) -> Turn:
    if part.has("functionCall"):
        call = part.message("functionCall")
        return toolbox.asked([Call(call.text("name"), call.opaque("args"))])
    if part.has("functionResponse"):
        result = part.message("functionResponse")
        return toolbox.told([(result.text("name"), result.opaque("response"))])
    if part.has("inlineData"):
        blob = part.message("inlineData")
        if blob.text("mimeType").startswith("audio/"):
            seconds = len(blob.data("data")) / _PCM_BYTES_PER_SECOND
            return Turn(role, Kind.AUDIO, f"(unknown speech, {seconds:.1f} s)", of_audio(seconds))
        return Turn(role, Kind.TEXT, "", Tokens(video=VIDEO_TOKENS_PER_FRAME))
    text = part.text("text")
    return Turn(role, Kind.TEXT, text, of_text(text))


def _reply(model: str, context: Context, answer: Answer, config: Fields) -> Message:
    text = answer.text
    schema = config.values.get("responseJsonSchema", config.values.get("responseSchema"))
    if config.text("responseMimeType") == "application/json":
        value = schemas.fill(schema, text) if isinstance(schema, dict) else {"answer": text}
        text = msgspec.json.encode(value).decode()
    calls = [{"functionCall": {"name": call.name, "args": call.arguments}} for call in answer.calls]
    prompt, response = context.tokens, of_text(text)
    return {
        "candidates": [
            {"content": {"role": "model", "parts": calls or [{"text": text}]}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {
            "promptTokenCount": prompt.total,
            "candidatesTokenCount": response.total,
            "totalTokenCount": prompt.total + response.total,
            "promptTokensDetails": details(prompt),
            "candidatesTokensDetails": details(response),
        },
        "modelVersion": model,
        "responseId": f"{zlib.crc32(text.encode()):08x}",
    }
