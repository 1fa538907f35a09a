"""What docs/refusals.md quotes is what the package says."""

import ast
import re

import pytest

from helpers.checkout import ROOT

PAGE = (ROOT / "docs" / "refusals.md").read_text()
ROWS = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in re.findall(r"^\| ``.*$", PAGE, re.M)
]
MARK = "\0"  # in the place of what a text is filled with


def texts():
    """The texts of the source: those in parts as a whole."""
    for package in ("keras_valleys", "tensorboard_plugin_valleys"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = [
                        one.value if isinstance(one, ast.Constant) else MARK for one in node.values
                    ]
                    yield "".join(parts)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


SOURCE = [text for text in texts() if "\n    " not in text]  # no docstrings


def said(quote):
    """Whether the source says it, where "…" stands for what it is filled with."""
    pieces = [re.escape(piece.strip()) for piece in quote.split("…")]
    pattern = re.compile(".*".join(pieces), re.S)
    return any(pattern.search(text) for text in SOURCE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_each_quote_is_in_the_source(row):
    assert len(row) == 3 and all(row)
    quote = re.match(r"``(.*?)``", row[0])[1].strip()
    assert len(quote) > 8
    owner = re.match(r"A surface expects (.*)", quote)
    assert said(owner[1] if owner else quote), quote


def test_a_quote_that_nobody_says_is_found():
    assert not said("a surface of gold") and said("a surface over the model's … trainable weights")
    assert len(ROWS) > 40
