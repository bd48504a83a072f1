"""What the pages say of the repository, and the examples in docstrings, are true."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WITH_EXAMPLES = sorted(path for path in (ROOT / "shd").rglob("*.py") if ">>> " in path.read_text())


def test_some_modules_have_examples():
    assert WITH_EXAMPLES


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_in_docstrings_print_what_they_show(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    failed, tried = doctest.testmod(import_module(name))
    assert tried and not failed


def test_the_readme_links_every_page():
    linked = set(re.findall(r"\]\(docs/(\w+\.md)", (ROOT / "README.md").read_text()))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == set()


def test_every_picture_is_shown_and_contributors_learn_where_it_is_from():
    pictures = {picture.name for picture in (ROOT / "docs" / "images").iterdir()}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = {name for page in pages for name in re.findall(r"images/([\w-]+\.png)", page.read_text())}
    told = set(re.findall(r"`(?:docs/images/)?([\w-]+\.png)`", (ROOT / "CONTRIBUTING.md").read_text()))
    assert pictures == shown == told
