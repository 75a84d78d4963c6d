"""Tables in the documentation that are made from tables in the code, so that they cannot disagree.

A page says where a table goes::

    <!-- generated: close-codes -->
    <!-- end -->

and everything between the two lines is replaced. To add a table, write a function that gives its Markdown and put it
into `TABLES`; a table that no page shows, or a name that is not in `TABLES`, is an error.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bench import handles_table, rotation_table
from bench.relay import table as relay_table
from filo.handles.v1.handles_pb2 import HandleResult
from services.cli.main import SERVICES
from services.cli.settings import settings
from services.common import close_codes, errors, grpc_access
from services.emulator import closes, profiles
from services.handles import access as handles_access
from services.handles import policy as handle_policy
from services.handles.limits import LIMITS
from services.handles.policy import OUTSIDE
from services.handles.refusals import REFUSALS
from services.handles.sqlite_programs import PRAGMAS
from services.relay import turn_trace
from services.relay.control import access as relay_access
from services.relay.core import capabilities, states, upstream_close
from services.simulator import access as simulator_access
from tools import client_tables, feedback_tables, metrics_catalogue, network_paths, simulator_tables

_BLOCK: Final = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; bars inside a cell are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    cells = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _close_codes() -> str:
    rows = ((code, f"`{row.action}`", row.meaning) for code, row in sorted(close_codes.CLOSE_CODES.items()))
    return markdown(("code", "the client", "meaning"), rows)


def _client_policy() -> str:
    return markdown(("setting", "default", "meaning"), client_tables.policy())


def _error_reasons() -> str:
    rows = (
        (f"`{reason}`", f"`{meaning.code.name}`", meaning.close, "yes" if meaning.retryable else "no")
        for reason, meaning in errors.MEANING.items()
    )
    return markdown(("reason", "gRPC code", "WebSocket close code", "worth a retry"), rows)


def _settings(service: str, beginning: str = "") -> str:
    rows = (
        (f"`{name}`", f"`{default}`" if default else "", meaning)
        for name, default, meaning in settings(service)
        if name.startswith(beginning)
    )
    return markdown(("variable", "default", "meaning"), rows)


def _emulator_models() -> str:
    facts: Mapping[str, tuple[str, Callable[[profiles.Profile], object]]] = {
        "window": ("window", lambda row: row.window),
        "text output": ("text_output", lambda row: "yes" if row.text_output else "no"),
        "content in mid-session": ("content", lambda row: row.content),
        "role system": ("system_role", lambda row: row.system_role),
        "context update": ("context_update", lambda row: row.context_update),
        "realtime text": ("realtime_text_answers", lambda row: "answered" if row.realtime_text_answers else "kept"),
        "says when not resumable": ("marks_unresumable", lambda row: "yes" if row.marks_unresumable else "never"),
        "lifetime": ("lifetime", lambda row: f"{row.lifetime.seconds / 60:g} min"),
        "handles live": ("handle_lifetime", lambda row: f"{row.handle_lifetime / 3600:g} h"),
        "58-minute variant": ("long_lifetime", lambda row: "yes" if row.long_lifetime else "no"),
    }
    rows = (
        (f"`{row.name}`", backend, *(f"{tell(row)}, {row.marks[fact]}" for fact, tell in facts.values()))
        for backend, models in profiles.MODELS.items()
        for row in models
    )
    return markdown(("model", "API", *facts), rows)


def _emulator_closes() -> str:
    rows = ((when, close.code, close.wire_reason.decode(), mark) for when, close, mark in closes.EVERY)
    return markdown(("when", "code", "reason", "mark"), rows)


def _handles_judgement() -> str:
    rows = [(f"{'' if rule.value else 'not '}{rule.fact}", rule.result) for rule in handle_policy.JUDGEMENT]
    told = {result: HandleResult.Name(value).removeprefix("HANDLE_RESULT_") for result, value in OUTSIDE.items()}
    last = ("otherwise", handle_policy.Redemption.VALID)
    cells = ((when, f"`{result}`", f"`{told[result]}`") for when, result in (*rows, last))
    return markdown(("the handle is", "counted as", "told as"), cells)


def _handles_errors() -> str:
    rows = ((f"`{call}`", ", ".join(f"`{reason}`" for reason in reasons)) for call, reasons in REFUSALS.items())
    return markdown(("call", "refusals"), rows)


def _access(table: grpc_access.Table) -> str:
    calls = ((path.rpartition("/")[2], names) for path, names in table.items())
    rows = ((f"`{call}`", ", ".join(f"`{name}`" for name in sorted(names))) for call, names in calls)
    return markdown(("call", "certificate for"), rows)


def _handles_limits() -> str:
    rows = ((f"`{field}`", f"{limit.most:,}", limit.unit) for field, limit in LIMITS.items())
    return markdown(("field", "at most", "counted in"), rows)


def _handles_sqlite() -> str:
    return markdown(("pragma", "value"), ((f"`{name}`", f"`{value}`") for name, value in PRAGMAS.items()))


def _relay_states() -> str:
    phases, signals = list(states.Phase), list(states.Signal)
    rows = (
        (f"**{phase}**", *(f"{states.TRANSITIONS.get((phase, signal), '')}" for signal in signals)) for phase in phases
    )
    return markdown(("phase", *(f"`{signal}`" for signal in signals)), rows)


def _relay_upstream_closes() -> str:
    rows = (
        (
            ", ".join(map(str, sorted(row.codes))) or "any",
            " or ".join(f"“{fragment}”" for fragment in row.fragments) or "any",
            ", ".join(sorted(row.situations)) or "any",
            f"from the {row.refusals}. refused resume on" if row.refusals else "",
            f"`{row.decision}`",
            row.evidence,
        )
        for row in upstream_close.ROWS
    )
    return markdown(("code", "reason contains", "connection", "only", "decision", "evidence"), rows)


def _relay_models() -> str:
    rows = (
        (
            f"`{row.model}`" if row.model else "any other",
            row.backend,
            "yes" if row.mid_session_content else "no",
            f"{row.window:,}",
            row.evidence,
        )
        for row in capabilities.CAPABILITIES
    )
    return markdown(("name begins with", "API", "content in mid-session", "window", "evidence"), rows)


def _network_paths() -> str:
    rows = ((path.source, path.target, path.port, path.what, ", ".join(path.overlays)) for path in network_paths.PATHS)
    return markdown(("from", "to", "port", "what for", "in"), rows)


def _trace_events() -> str:
    rows = ((f"`{row.name}`", row.meaning) for row in turn_trace.EVENTS.values())
    return markdown(("event", "what happened"), rows)


def _metrics(service: str) -> str:
    own = f"filo_{service}_"
    return _metric_rows(entry for entry in metrics_catalogue.entries(service) if entry.name.startswith(own))


def _common_metrics() -> str:
    found = {
        entry.name: entry._replace(labels=dict.fromkeys(entry.labels, ()))
        for service in metrics_catalogue.SERVICES
        for entry in metrics_catalogue.entries(service)
        if not entry.name.startswith(f"filo_{service}_")
    }
    return _metric_rows(entry for _, entry in sorted(found.items()))


def _metric_rows(entries: Iterable[metrics_catalogue.Entry]) -> str:
    rows = (
        (
            f"`{entry.name}`",
            entry.kind,
            "; ".join(
                f"`{label}`{': ' if values else ''}{', '.join(values)}" for label, values in entry.labels.items()
            ),
            entry.text,
        )
        for entry in entries
    )
    return markdown(("metric", "type", "labels", "meaning"), rows)


def _rotation_bench() -> str:
    return rotation_table.table(json.loads(ROTATIONS.read_text(encoding="utf-8")))


def _bench(file: str, drawn: Callable[[Mapping[str, Any]], str]) -> str:
    return drawn(json.loads((_RESULTS / file).read_text(encoding="utf-8")))


_RESULTS: Final = Path(__file__).resolve().parent.parent / "bench/results"
ROTATIONS: Final = Path(__file__).resolve().parent.parent / "bench/results/rotation.json"
"""What `make bench-rotation` found."""

TABLES: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "client-policy": _client_policy,
        "close-codes": _close_codes,
        "error-reasons": _error_reasons,
        "emulator-closes": _emulator_closes,
        "emulator-models": _emulator_models,
        "handles-access": partial(_access, handles_access.TABLE),
        "handles-bench": partial(_bench, "handles.json", handles_table.table),
        "handles-bench-run": partial(_bench, "handles.json", handles_table.run),
        "handles-errors": _handles_errors,
        "handles-judgement": _handles_judgement,
        "handles-limits": _handles_limits,
        "handles-sqlite": _handles_sqlite,
        "relay-access": partial(_access, relay_access.TABLE),
        "relay-bench": partial(_bench, "relay.json", relay_table.table),
        "relay-growing": partial(_bench, "relay-growing.json", relay_table.growing),
        "relay-kept": partial(_bench, "relay.json", relay_table.kept),
        "relay-models": _relay_models,
        "relay-ratios": partial(_bench, "relay.json", relay_table.ratios),
        "relay-rotating": partial(_bench, "relay-rotating.json", relay_table.rotating),
        "relay-soak": partial(_bench, "relay-soak.json", relay_table.soak),
        "relay-soak-rotating": partial(_bench, "relay-soak-rotating.json", relay_table.soak),
        "relay-soak-run": partial(_bench, "relay-soak.json", relay_table.soak_run),
        "relay-states": _relay_states,
        "relay-upstream-closes": _relay_upstream_closes,
        "rotation-bench": _rotation_bench,
        "simulator-access": partial(_access, simulator_access.TABLE),
        **feedback_tables.tables(markdown),
        **simulator_tables.tables(markdown),
        "common-metrics": _common_metrics,
        "network-paths": _network_paths,
        "trace-events": _trace_events,
        "tracing-settings": partial(_settings, "relay", "OTEL_"),
        **{f"{service}-metrics": partial(_metrics, service) for service in metrics_catalogue.SERVICES},
        **{f"{service}-settings": partial(_settings, service) for service in SERVICES},
    }
)
"""Every generated table by the name that pages use."""


def render(text: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """Fill the blocks of one page.

    Raises:
        KeyError: The page names a table that does not exist.
    """
    return _BLOCK.sub(lambda block: f"{block[1]}{tables[block['name']]()}{block[3]}", text)


def names(text: str) -> set[str]:
    """The tables that a page shows."""
    return {block["name"] for block in _BLOCK.finditer(text)}


def pages(root: Path) -> dict[Path, str]:
    """Every page that shows a generated table, as it should read.

    Args:
        root: The top of the tree.

    Raises:
        KeyError: A page names a table that does not exist.
        ValueError: A table is shown by no page.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(root.glob("docs/**/*.md"))}
    shown = {path: text for path, text in texts.items() if names(text)}
    missing = TABLES.keys() - {name for text in shown.values() for name in names(text)}
    if missing:
        raise ValueError(f"no page under docs/ shows the generated table {', '.join(sorted(missing))}")
    return {path: render(text) for path, text in shown.items()}
