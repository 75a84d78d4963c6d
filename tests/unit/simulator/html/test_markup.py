"""Nothing that is shown can become markup."""

from html.parser import HTMLParser
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.html.markup import Html, data, el, join


class Reader(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """A text."""
        self.texts.append(data)


@given(st.text(), st.text())
def test_a_text_stays_a_text_and_a_value_a_value(text: str, value: str) -> None:
    """Whatever is given comes out of a browser's parser as one element with that value and that text."""
    read = Reader(el("p", text, title=value))
    assert read.tags == ["p"]
    kept = "".join(char for char in text if char in "\t\n" or char.isprintable() or category(char) == "Zs")
    assert "".join(read.texts) == kept
    assert [name for name, _ in read.attributes] == ["title"]


@pytest.mark.parametrize("text", ["</script>", "<!--", "<script>", "\u2028"])
def test_data_for_the_script_cannot_end_its_element(text: str) -> None:
    """No `<` is in it, and it says what was given."""
    made = data([text])
    inside = made.removeprefix('<script type="application/json">').removesuffix("</script>")
    assert "<" not in inside
    assert inside.isascii()


def test_markup_is_not_escaped_again() -> None:
    """What was made here is put together as it is; lists, nothing and texts go in at any depth."""
    assert join([el("b", "1 < 2"), [None, " & "], "x"]) == "<b>1 &lt; 2</b> &amp; x"
    assert isinstance(join("<"), Html)


def test_attributes_may_be_left_out_or_have_no_value() -> None:
    """None and False leave one out, True names it; `cls` is `class`, `_` is `-`; zero is a value."""
    assert (
        el("p", cls="a", hidden=True, id=None, aria_label="x", open=False) == '<p class="a" hidden aria-label="x"></p>'
    )
    assert el("line", x1="0") == '<line x1="0"/>'
    assert el("td", tabindex=0) == '<td tabindex="0"></td>'


def test_letters_that_steer_are_left_out() -> None:
    """Control characters and those that turn the direction of writing are not in the page."""
    assert el("p", "a\x00\x1b\u202eb\n") == "<p>ab\n</p>"
