"""The API reference is all of the contract, in its own words."""

import re
from pathlib import Path

import pytest

from services.contract.methods import METHODS, SERVICES
from tools import api_reference

ROOT = Path(__file__).parents[3]


@pytest.fixture(name="page", scope="module")
def _page() -> str:
    return api_reference.text(ROOT)


def test_every_rpc_has_its_heading(page: str) -> None:
    """No service and no RPC is left out."""
    for service in SERVICES.values():
        assert f"\n### {service.name}\n" in page
    for method in METHODS.values():
        assert f"\n#### {method.containing_service.name}.{method.name}\n" in page


def test_every_field_is_explained(page: str) -> None:
    """Each row of each table has something in its last cell, but for fields whose comment is the word Required."""
    rows = re.findall(r"^\| `\w+` \| \d+ \|.*$", page, re.MULTILINE)
    assert len(rows) > 300
    assert [row for row in rows if not row.removesuffix(" |").rpartition("| ")[2].strip()] == []


def test_every_link_leads_somewhere(page: str) -> None:
    """Each type that is named has its place on the page, and only one."""
    anchors = re.findall(r'<a id="([^"]+)">', page)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= set(anchors)


def test_comments_are_told_whole(page: str) -> None:
    """A comment of several lines and paragraphs is all there: the fencing rule of the handle store."""
    assert "Fencing: an attach always wins and raises the epoch." in page
    assert "and whoever made it has lost the conversation and stops." in page
