"""Every way in which one row of a table that decides can be wrong, and the unit tests that must notice.

The tables are those of the relay's core, and the two that services and clients share: errors and close codes.

A mutation changes one thing in one row. The tests are those of the table itself, called one by one in this process
while the table is the mutated one; what hypothesis draws is left out, so that the result does not depend on chance.
"""

import importlib
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from types import MappingProxyType, ModuleType
from typing import Any, Final
from unittest.mock import patch

from services.common import close_codes, errors
from services.relay.core import capabilities, policies, states, upstream_close
from services.relay.core.capabilities import Backend, Channel
from services.relay.core.states import Phase
from services.relay.core.upstream_close import Decision

_TESTS: Final = "tests.unit.relay.core"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One wrong table.

    Args:
        module: Where the table is.
        table: Its name there.
        row: Which row is wrong, for a person.
        change: What is wrong with it, for a person.
        mutated: The whole table.
        tests: The module of the table's tests.
    """

    module: ModuleType
    table: str
    row: str
    change: str
    mutated: object
    tests: str


def every() -> Iterator[Mutation]:
    """Every mutation of every row of every table."""
    yield from _transitions()
    yield from _closes()
    yield from _capabilities()
    yield from _rules()
    yield from _errors()
    yield from _client_closes()


def _transitions() -> Iterator[Mutation]:
    table = states.TRANSITIONS
    for (phase, signal), after in table.items():
        others = {pair: to for pair, to in table.items() if pair != (phase, signal)}
        changes: dict[str, Mapping[Any, Phase]] = {"no such row": others}
        changes |= {
            f"leads to {to}, not to {after}": {**others, (phase, signal): to} for to in Phase if to is not after
        }
        for change, wrong in changes.items():
            row = f"{phase} + {signal}"
            yield Mutation(states, "TRANSITIONS", row, change, MappingProxyType(wrong), f"{_TESTS}.test_states")


def _closes() -> Iterator[Mutation]:
    for index, row in enumerate(upstream_close.ROWS):
        changes = {f"decides {other}, not {row.decision}": other for other in Decision if other is not row.decision}
        wrong = {change: replace(row, decision=other) for change, other in changes.items()}
        wrong |= {f"does not know the code {code}": replace(row, codes=_without(row.codes, code)) for code in row.codes}
        wrong |= {
            f"does not know {part!r}": replace(row, fragments=tuple(p for p in row.fragments if p != part) or ("\0",))
            for part in row.fragments
        }
        if row.situations:
            wrong["fits wherever the connection stood"] = replace(row, situations=frozenset())
        if row.refusals:
            wrong["waits for one refusal more"] = replace(row, refusals=row.refusals + 1)
            wrong["waits for one refusal less"] = replace(row, refusals=row.refusals - 1)
        yield from _tuple_mutations(upstream_close, "ROWS", index, f"{index}: {row.evidence}", wrong)


def _without(codes: frozenset[int], code: int) -> frozenset[int]:
    """The other codes; one that never comes where none is left, for no codes at all means all."""
    return codes - {code} or frozenset({-1})


def _capabilities() -> Iterator[Mutation]:
    for index, row in enumerate(capabilities.CAPABILITIES):
        wrong = {
            f"a window of {row.window // 2}": replace(row, window=row.window // 2),
            "another name": replace(row, model=f"{row.model}x"),
        }
        wrong |= {f"advice by {by}": replace(row, advice=by) for by in Channel if by is not row.advice}
        ways = (way for way in (None, *Channel) if way is not row.instruction)
        wrong |= {f"replaces by {way}": replace(row, instruction=way) for way in ways}
        wrong |= {f"on {other}": replace(row, backend=other) for other in Backend if other is not row.backend}
        name = f"{row.model or 'any other model'} on {row.backend}"
        yield from _tuple_mutations(capabilities, "CAPABILITIES", index, name, wrong)


def _rules() -> Iterator[Mutation]:
    table = policies.RULES
    for policy, rule in table.items():
        wrong = {
            f"{field.name}: {not getattr(rule, field.name)}": replace(
                rule, **{field.name: not getattr(rule, field.name)}
            )
            for field in fields(rule)
        }
        for change, mutated in wrong.items():
            rules = MappingProxyType({**table, policy: mutated})
            yield Mutation(policies, "RULES", policy, change, rules, f"{_TESTS}.test_feedback")


def _errors() -> Iterator[Mutation]:
    table, tests = errors.MEANING, "tests.unit.common.test_errors"
    for reason, meaning in table.items():
        others = {known: row for known, row in table.items() if known is not reason}
        wrong = {
            f"retryable: {not meaning.retryable}": meaning._replace(retryable=not meaning.retryable),
            "another gRPC code": meaning._replace(
                code=next(row.code for row in table.values() if row.code is not meaning.code)
            ),
        }
        closes = {row.close for row in table.values()} - {meaning.close}
        wrong |= {f"closes with {close}, not {meaning.close}": meaning._replace(close=close) for close in closes}
        tables: dict[str, Mapping[Any, errors.Meaning]] = {"no such row": others}
        tables |= {change: {**others, reason: row} for change, row in wrong.items()}
        for change, mutated in tables.items():
            yield Mutation(errors, "MEANING", reason, change, MappingProxyType(mutated), tests)


def _client_closes() -> Iterator[Mutation]:
    table, tests = close_codes.CLOSE_CODES, "tests.unit.common.test_close_codes"
    for code, row in table.items():
        others = {known: other for known, other in table.items() if known != code}
        tables: dict[str, Mapping[int, close_codes.CloseCode]] = {"no such row": others}
        tables |= {
            f"{action}, not {row.action}": {**others, code: row._replace(action=action)}
            for action in close_codes.Action
            if action is not row.action
        }
        for change, mutated in tables.items():
            yield Mutation(close_codes, "CLOSE_CODES", str(code), change, MappingProxyType(mutated), tests)


def _tuple_mutations(
    module: ModuleType, name: str, index: int, row: str, wrong: Mapping[str, object]
) -> Iterator[Mutation]:
    table: Sequence[object] = getattr(module, name)
    before, after = tuple(table[:index]), tuple(table[index + 1 :])
    tests = f"{_TESTS}.test_{module.__name__.rpartition('.')[2]}"
    yield Mutation(module, name, row, "no such row", before + after, tests)
    for change, mutated in wrong.items():
        yield Mutation(module, name, row, change, (*before, mutated, *after), tests)


def caught_by(mutation: Mutation) -> str | None:
    """The first test that fails on a mutated table, with its case; None where none does."""
    tests = importlib.import_module(mutation.tests)
    right = getattr(mutation.module, mutation.table)
    with ExitStack() as patched:
        patched.enter_context(patch.object(mutation.module, mutation.table, mutation.mutated))
        if getattr(tests, mutation.table, None) is right:
            patched.enter_context(patch.object(tests, mutation.table, mutation.mutated))
        for name, test in inspect.getmembers(tests, inspect.isfunction):
            if name.startswith("test_") and not hasattr(test, "hypothesis"):
                for case in _cases(test):
                    if _fails(test, case):
                        return f"{name}{_told(case)}"
    return None


def _cases(test: Callable[..., None]) -> Iterator[dict[str, object]]:
    """The arguments of every case that ``pytest.mark.parametrize`` makes."""
    marks = [mark.args for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    choices = [[_named(names, values) for values in listed] for names, listed in marks]
    for chosen in itertools.product(*choices):
        yield {name: value for part in chosen for name, value in part.items()}


def _named(names: str | Sequence[str], values: Any) -> dict[str, object]:  # noqa: ANN401 - whatever pytest takes
    if isinstance(names, str):
        return {names: values}
    return dict(zip(names, values, strict=True))


def _fails(test: Callable[..., None], case: Mapping[str, object]) -> bool:
    try:
        test(**case)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - what pytest.raises raises is no Exception
        return True
    return False


def _told(case: Mapping[str, object]) -> str:
    return f"[{', '.join(str(value)[:60] for value in case.values())}]" if case else ""
