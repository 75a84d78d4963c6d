"""The account as JSON, for the control API (docs/emulator.md, The account)."""

from dataclasses import asdict
from itertools import chain
from typing import Any

from services.emulator import categories, runs
from services.emulator.categories import Category, Prompt, Split
from services.emulator.context import Context, Role, Turn
from services.emulator.records import Bill, Connection, Conversation, Line
from services.emulator.runs import Runs
from services.emulator.tokens import Tokens

Report = dict[str, Any]


def voice(stream: int, line: Line) -> Report:
    """The account of one voice, over all conversations in which it spoke."""
    connections = line.connections
    context = next((record.context for record in reversed(connections) if record.context is not None), Context())
    bill = line.bill
    conversations = dict.fromkeys(record.conversation for record in connections if record.conversation)
    return {
        "stream": stream,
        "conversations": list(conversations),
        "connections": [
            connection(record)
            | {"frames": _frames(record.received.get(stream, ())), "frames_received": _count(record, stream)}
            for record in connections
        ],
        "connections_dropped": line.dropped.connections,
        "context": [_turn(turn) for turn in context.turns],
        "compressed": context.compressed,
        "compressed_frames": _frames(context.gone.of(stream)),
        "compressed_texts": list(context.gone.texts),
        "frames": _completeness(line.received(stream), stream, context),
        "greetings": bill.greetings,
        "tokens": {
            "prompt_last": bill.last.tokens.total,
            "response_last": bill.last_response.total,
            "billed_prompt": bill.prompts.tokens.total,
            "billed_response": bill.responses.total,
            "billed_cached": bill.prompts.cached.total,
        },
    }


def conversation(record: Conversation) -> Report:
    """The account of one conversation, whatever it is made of."""
    newest = record.newest
    context = newest.context or Context()
    bill = record.bill
    return {
        **summary(record),
        "instruction": context.instruction,
        "tools": context.tools,
        "context": [
            _turn(turn)
            | {"category": categories.of_turn(turn), "history": at < context.prefix, "tokens": _modalities(turn.tokens)}
            for at, turn in enumerate(context.turns)
        ],
        "compressed": context.compressed,
        "compressed_frames": {str(stream): _frames(frames) for stream, frames in context.gone.frames},
        "compressed_texts": list(context.gone.texts),
        "frames": {
            str(stream): _completeness(record.received(stream), stream, context) for stream in sorted(record.streams)
        },
        "greetings": bill.greetings,
        "tokens": {"context": _known(context), **_billed(bill)},
        "connections": [
            connection(one)
            | {
                "frames": {str(stream): _frames(received) for stream, received in one.received.items()},
                "frames_received": {str(stream): runs.count(received) for stream, received in one.received.items()},
            }
            for one in record.connections
        ],
        "connections_dropped": record.dropped.connections,
    }


def summary(record: Conversation) -> Report:
    """One conversation in a list."""
    newest = record.newest
    return {
        "id": record.id,
        "model": newest.model,
        "api": newest.backend,
        "began_at": record.began_at,
        "open": any(one.closed is None for one in record.connections),
        "voices": sorted(record.streams),
        "connections_count": record.dropped.connections + len(record.connections),
        "pieces": len((newest.context or Context()).turns),
        "context_tokens": (newest.context or Context()).tokens.total,
    }


def connection(record: Connection) -> Report:
    """One connection, but for its frames."""
    close = record.closed
    return {
        "id": record.id,
        "opened_at": record.opened_at,
        "conversation": record.conversation,
        "model": record.model,
        "continued": record.continued,
        "handle": record.handle or None,
        "resumed_from": record.resumed_from,
        "audio_seconds": round(record.audio_seconds, 3),
        "handles": [asdict(issued) for issued in record.handles],
        "handles_dropped": record.handles_dropped,
        "closed": None if close is None else {"code": close.code, "reason": close.wire_reason.decode()},
    }


def _count(record: Connection, stream: int) -> int:
    return runs.count(record.received.get(stream, ()))


def _frames(received: Runs) -> list[list[int]]:
    return [list(run) for run in received]


def _turn(turn: Turn) -> Report:
    return {
        "role": turn.role,
        "kind": turn.kind,
        "text": turn.text,
        "utterances": list(turn.utterances),
        "frames": _frames(turn.frames),
    }


def _known(context: Context) -> Report:
    """What the context costs now, before anything else is said."""
    return {
        "total": context.tokens.total,
        "by_category": _categories(categories.split(context)),
        "by_modality": _modalities(context.tokens),
    }


def _billed(bill: Bill) -> Report:
    return {
        "last": {"prompt": _prompt(bill.last), "response": _response(bill.last_response)},
        "billed": {
            "answers": bill.answers,
            "prompt": _prompt(bill.prompts),
            "response": _response(bill.responses),
        },
    }


def _prompt(prompt: Prompt) -> Report:
    return {
        "total": prompt.tokens.total,
        "cached": prompt.cached.total,
        "uncached": prompt.tokens.total - prompt.cached.total,
        "by_category": _categories(prompt.split),
        "by_modality": _modalities(prompt.tokens),
    }


def _response(response: Tokens) -> Report:
    return {"total": response.total, "by_modality": _modalities(response)}


def _categories(split: Split) -> dict[str, int]:
    return {category: split[category].total if category in split else 0 for category in Category}


def _modalities(tokens: Tokens) -> dict[str, int]:
    return asdict(tokens)


def _completeness(received: Runs, stream: int, context: Context) -> dict[str, int]:
    """Count frames. What compression dropped is no hole; where the beginning came as history, holes count after it."""
    held = [turn for turn in context.turns if turn.stream == stream and turn.role is Role.USER]
    in_context = tuple(chain.from_iterable(turn.frames for turn in held))
    start = min((first for first, _ in in_context), default=0) if context.prefix else 0
    return {
        "distinct_received": runs.count(runs.merge(received)),
        "in_context": runs.count(runs.merge(in_context)),
        "missing_in_context": runs.missing((*in_context, *context.gone.of(stream)), start),
        "repeated_in_context": runs.repeated(in_context),
    }
