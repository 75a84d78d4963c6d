"""Generated tables in the documentation."""

from pathlib import Path

import pytest

from tools import docs_tables

PAGE = (
    "Before.\n\n<!-- generated: one -->\nold\n<!-- end -->\n\nBetween.\n<!-- generated: two -->\n<!-- end -->\nAfter.\n"
)
TABLES = {"one": lambda: "new\n", "two": lambda: "| a |\n"}


def test_a_page_is_filled_between_its_marks_only() -> None:
    """Everything else on the page stays as it is."""
    assert docs_tables.render(PAGE, TABLES) == (
        "Before.\n\n<!-- generated: one -->\nnew\n<!-- end -->\n\n"
        "Between.\n<!-- generated: two -->\n| a |\n<!-- end -->\nAfter.\n"
    )


def test_filling_twice_changes_nothing() -> None:
    """So that a check can compare."""
    once = docs_tables.render(PAGE, TABLES)
    assert docs_tables.render(once, TABLES) == once


def test_a_page_without_marks_is_left_alone() -> None:
    """Nothing is added where nothing is asked for."""
    assert docs_tables.render("Text.\n", TABLES) == "Text.\n"


def test_an_unknown_table_is_an_error() -> None:
    """A misspelt name does not stay an empty place."""
    with pytest.raises(KeyError, match="three"):
        docs_tables.render("<!-- generated: three -->\n<!-- end -->\n", TABLES)


def test_a_table_that_no_page_shows_is_an_error(tmp_path: Path) -> None:
    """Nothing is made for nobody."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("<!-- generated: close-codes -->\n<!-- end -->\n", encoding="utf-8")
    with pytest.raises(ValueError, match="error-reasons"):
        docs_tables.pages(tmp_path)


@pytest.mark.parametrize("name", docs_tables.TABLES)
def test_every_table_is_markdown(name: str) -> None:
    """A header, a rule, and rows with as many cells."""
    header, rule, *rows = docs_tables.TABLES[name]().splitlines()
    cells = header.count("|")
    assert set(rule) <= set("|- ")
    assert rows
    assert {line.replace("\\|", "").count("|") for line in (rule, *rows)} == {cells}


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    """Any text can be in a table."""
    assert docs_tables.markdown(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |\n"
