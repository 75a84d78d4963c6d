"""SQLite: every statement of the store goes by an index."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Executable

from services.handles import sqlite_programs, statements
from services.handles.feedback import statements as feedback
from tests.integration.handles.test_database import open_and_close


async def test_no_query_grows_with_the_table(tmp_path: Path) -> None:
    """No statement scans a table or sorts; what is read once at the start, a handful of facts, may."""
    await open_and_close(tmp_path)
    known = {**vars(statements), **vars(feedback)}
    every = [value for name, value in known.items() if name[0] != "_" and isinstance(value, Executable)]
    every += [statement for column in statements.SEALED for statement in column[2:]]
    every = [statement for statement in every if statement is not statements.META]
    assert len(every) >= 35
    with closing(sqlite3.connect(tmp_path / "handles.db")) as connection:
        for statement in every:
            text = sqlite_programs.prepared(statement)
            rows = connection.execute(f"EXPLAIN QUERY PLAN {text.text}", [None] * len(text.names)).fetchall()
            plan = [row[3] for row in rows]
            harmless = {"SCAN CONSTANT ROW", "SCAN always"}
            assert not [step for step in plan if step.startswith("SCAN") and step not in harmless], (text.text, plan)
            assert not [step for step in plan if "TEMP B-TREE" in step], (text.text, plan)
