"""``generateContent`` over REST, decided without I/O: for text personas and judges.

The same brain answers, without a greeting, from the contents of the request alone; as JSON by the request's schema
where it asks for that (see `schemas`).
"""

import zlib
from typing import Final

import msgspec

from services.emulator import fields, parts, profiles, schemas, toolbox, wire
from services.emulator.brain import Answer, Brain
from services.emulator.closes import RefusedError
from services.emulator.context import Context, Role, Turn
from services.emulator.profiles import Backend
from services.emulator.replies import Message, details
from services.emulator.tokens import of_text

_STATUS: Final = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
_TOOL_ROLES: Final = frozenset({"function", "tool"})

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
        request = fields.read(msgspec.json.decode(body), "GenerateContentRequest", backend)
        context = _context(request)
        config = request.get("generationConfig", {})
        tools = toolbox.declared(request.get("tools", ()))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return failure(400, f"Invalid JSON payload received. {str(error).rstrip('.')}.")
    except RefusedError as refused:
        return failure(400, refused.close.reason)
    if not context.turns:
        return failure(400, "* GenerateContentRequest.contents: contents is not specified\n")
    return 200, _reply(name, context, brain.answer(context, tools, greets=False), config)


def _context(request: fields.Message) -> Context:
    instruction = parts.text_of(request.get("systemInstruction", {}))
    return Context(instruction, tuple(turn for content in request.get("contents", ()) for turn in _turns(content)))


def _turns(content: fields.Message) -> tuple[Turn, ...]:
    role = Role.USER if content.get("role") in _TOOL_ROLES else wire.role_of(content) or Role.USER
    return parts.turns(role, content.get("parts", ()))


def _reply(model: str, context: Context, answer: Answer, config: fields.Message) -> Message:
    text = answer.text
    schema = config.get("responseJsonSchema", config.get("responseSchema"))
    if config.get("responseMimeType") == "application/json":
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
