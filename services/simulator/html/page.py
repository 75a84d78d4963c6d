"""The page around a report: one file, with a policy under which nothing can be loaded and nothing else can run."""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Final

from services.simulator.html.markup import Content, Html, el

_POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
    "base-uri 'none'; form-action 'none'"
)
_ICON: Final = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><path d='M3 20c6-14 10 8 14-2"
    "s8-8 12-4' fill='none' stroke='%23c8322b' stroke-width='3' stroke-linecap='round'/></svg>"
)
_THREAD: Final = "M2 15c9-20 15 11 24-2s10-1 15-1c8 0 12-5 21-2"


def document(title: str, head: Content, sections: Content, links: list[tuple[str, str]], foot: str) -> str:
    """A whole page.

    Args:
        title: Of the window.
        head: What comes first: what this is, and how it went.
        sections: Everything else.
        links: Names and anchors of the sections.
        foot: What is said at the end.
    """
    style, script = _asset("report.css"), _asset("report.js")
    policy = _POLICY.format(style=_fingerprint(style), script=_fingerprint(script))
    logo = el("svg", el("path", d=_THREAD), viewBox="0 0 64 24", aria_hidden="true")
    nav = el("nav", el("ul", [el("li", el("a", name, href=f"#{to}")) for name, to in links]), aria_label="Sections")
    body = el(
        "body",
        el("a", "Skip to the report", href="#report", cls="skip"),
        el("header", el("div", el("p", logo, "filo", cls="brand"), nav, cls="bar"), cls="top"),
        el("main", head, sections, id="report"),
        el("footer", el("p", foot)),
        el("div", id="tip", cls="tip", role="status", hidden=True),
        el("script", Html(script)),
    )
    top = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        el("link", rel="icon", href=_ICON),
        el("style", Html(style)),
    )
    return f"<!doctype html>\n{el('html', top, body, lang='en')}\n"


def section(anchor: str, title: str, *content: Content, said: str = "") -> Html:
    """A section with its heading."""
    return el("section", el("h2", title), el("p", said, cls="said") if said else None, *content, id=anchor)


@cache
def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _fingerprint(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
