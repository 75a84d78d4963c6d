"""Re-encryption with the newest key, in bounded batches beside everything else.

No row is locked for it: a value is replaced where it is still the one that was read. Whatever was written meanwhile is
sealed with the newest key already.
"""

from typing import NamedTuple

from services.handles.codec import HEAD, Codec
from services.handles.programs import Ask, Program
from services.handles.statements import SealedColumn

_BEFORE_ALL = ("", 0)


class Resealed(NamedTuple):
    """What a batch did.

    Args:
        seen: How many rows were looked at.
        resealed: How many of them were re-encrypted.
        last: The key of the last one, to go on from; None when there are no more.
    """

    seen: int
    resealed: int
    last: tuple[str | int, ...] | None


def reseal(column: SealedColumn, after: tuple[str | int, ...] | None, most: int, codec: Codec) -> Program[Resealed]:
    """Look at the rows after a key, at most so many, and re-encrypt those that an older key sealed."""
    start = after if after is not None else _BEFORE_ALL
    given = {f"after_{key}": value for key, value in zip(column.keys, start, strict=False)}
    rows = (yield Ask(column.page, {**given, "head": HEAD, "most": most})).rows
    resealed = 0
    for *values, head in rows:
        if codec.current(bytes(head)):
            continue
        keys = {f"key_{key}": value for key, value in zip(column.keys, values, strict=True)}
        found = (yield Ask(column.read, keys)).rows
        if not found or codec.current(found[0][0][:HEAD]):
            continue
        old = found[0][0]
        place = "/".join((column.table, *(str(value) for value in values)))
        new = codec.seal(codec.open(old, place), place)
        resealed += (yield Ask(column.write, {**keys, "old": old, "new": new})).changed
    last = tuple(rows[-1][: len(column.keys)]) if len(rows) == most else None
    return Resealed(len(rows), resealed, last)
