"""Errors that users cause: one form, what was received shortened in one place."""

import ast
import pathlib
import re

import numpy as np
import pytest

import keras_valleys
from keras_valleys._checks import as_axes, check_number, check_whole, is_rising, refusal, shortened

PACKAGE = pathlib.Path(keras_valleys.__file__).parent


@pytest.mark.parametrize(
    "arguments, kind, text",
    [
        (
            ("span", "`reach` to be > 0", {"reach": -1.5}, "Use reach=10.0."),
            ValueError,
            "`span` expects `reach` to be > 0. Received: reach=-1.5. Use reach=10.0.",
        ),
        (
            ("A plot", "`theme` to be 'light'", {"theme": "x", "b": [1]}, "Use it. Or not."),
            ValueError,
            "A plot expects `theme` to be 'light'. Received: theme='x', b=[1]. Use it. Or not.",
        ),
        (
            ("compare", "`log_dir` to be a folder", "a file", "Use another one.", OSError),
            OSError,
            "`compare` expects `log_dir` to be a folder. Received: a file. Use another one.",
        ),
        (
            (("EventWriter", "SurfaceBoard"), "a path", {"log_dir": 3}, "Use a folder."),
            ValueError,
            "`EventWriter` and `SurfaceBoard` expect a path. Received: log_dir=3. Use a folder.",
        ),
    ],
)
def test_the_form(arguments, kind, text):
    error = refusal(*arguments)
    assert type(error) is kind and str(error) == text


def test_what_is_long_is_shortened():
    for value in (list(range(10**6)), "x" * 10**6, np.zeros((900, 900)), {k: k for k in range(99)}):
        text = str(refusal("f", "less", {"value": value}, "Give less."))
        assert len(text) < 250 and text.startswith("`f` expects less. Received: value=")
        assert text.endswith(". Give less.") and "..." in text and "\n" not in text
    text = str(refusal("f", "less", f"{'words ' * 500}at the end", "Give less."))
    assert len(text) < 700 and text.endswith("at the end. Give less.")


@pytest.mark.parametrize(
    "value, text",
    [
        (3, "3"),
        (np.float64(0.1), "0.1"),
        ([np.float32(0.5), np.int64(2)], "[0.5, 2]"),
        (np.arange(3), "array([0, 1, 2])"),
        (np.array([[1], [2]]), "array([[1], [2]])"),
        ((1, None, "a"), "(1, None, 'a')"),
        ([0] * 7, "[0, 0, 0, 0, 0, 0, ...]"),
        ("/tmp/a/path/that/is/not/short/at/all/checkpoint.npz",) * 2,
        (float("nan"), "nan"),
        (dict, "<class 'dict'>"),
    ],
)
def test_values_in_errors(value, text):
    assert shortened(value) == (repr(text) if isinstance(value, str) else text)


@pytest.mark.parametrize(
    "options, value, remedy",
    [
        ({}, -1, "Use n=1."),
        ({"least": 2}, 1, "Use n=2."),
        ({"least": 1, "most": 4}, 5, "Use n=1."),
        ({"least": 1}, True, "Use n=1."),
        ({"least": 1, "remedy": "Count."}, 1.0, "Count."),
    ],
)
def test_whole_numbers(options, value, remedy):
    with pytest.raises(ValueError) as caught:
        check_whole("f", **options, n=value)
    limits = ">= {least}" if "most" not in options else "from {least} to {most}, the weights"
    limits = limits.format(**{"least": 0, **options})
    expected = f"`f` expects `n` to be an integer {limits}. Received: n={value}. {remedy}"
    assert str(caught.value) == expected
    check_whole("f", **options, n=np.int32(3))


def test_axes():
    x = np.array([0.0, 0.5, 2.0])
    for given in (x, x.tolist(), [x], (x.tolist(),)):
        (axis,) = as_axes(given)
        assert np.array_equal(axis, x)
    assert len(as_axes([x, x[:2]])) == 2 and as_axes([]) == [] and as_axes(3.0) == [[3.0]]
    assert is_rising(x) and is_rising(x[:1])
    for bad in (
        x[::-1],
        x[:0],
        x[None],
        np.array([0.0, 0.0]),
        np.array([0.0, np.nan]),
        np.array([0.0, np.inf]),
    ):
        assert not is_rising(bad)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_all_errors_are_made_in_one_place(path):
    """Whoever writes "Received:" by hand forgets to shorten, or a part of the form."""
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    source = path.read_text()
    if part == "_checks":
        return
    by_hand = [node.lineno for node in ast.walk(ast.parse(source)) if _says_received(node)]
    assert not by_hand and "reprlib" not in source


def _says_received(node):
    return isinstance(node, ast.Constant) and re.search(r"Received: ", str(node.value))


@pytest.mark.parametrize(
    "value", [-0.5, float("nan"), float("inf"), "0.1", None, True, np.ones(2), 1j]
)
def test_numbers(value):
    with pytest.raises(ValueError) as caught:
        check_number("f", "a number >= 0", "Use x=0.", least=0, x=value)
    text = f"`f` expects `x` to be a number >= 0. Received: x={shortened(value)}. Use x=0."
    assert str(caught.value) == text
    for good in (0, 0.5, np.float32(2.0), np.int64(1)):
        check_number("f", "a number >= 0", "Use x=0.", least=0, x=good)
    with pytest.raises(ValueError, match="> 0"):
        check_number("f", "a number > 0", "Use x=1.", above=0, x=0.0)
