"""The data: rows, their split, and a fit."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from keras_valleys._checks import refusal
from keras_valleys.plots.style import BLUE, ORANGE, add_legend, get_theme, new_figure, style_axes


def data(x: ArrayLike, y: ArrayLike, *, theme: str = "light") -> Figure:
    """All data as points.

    Args:
        x: Array of shape `(rows, 1)` or `(rows,)`.
        y: Array of the same number of rows.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`. The two axes have one scale where their spans are alike.

    Raises:
        ValueError: x and y are not columns of one length, or the theme is unknown.

    Example:

    >>> (x_train, y_train), _ = keras_valleys.datasets.rosette()
    >>> figure = keras_valleys.plots.data(x_train, y_train)
    >>> len(figure.axes[0].collections[0].get_offsets())
    670
    """
    look = get_theme(theme)
    x, y = _columns("data", x, y)
    axes = _plane(look, x, y)
    axes.scatter(x, y, s=10, color=BLUE, linewidths=0)
    return axes.figure


def split(
    train: tuple[ArrayLike, ArrayLike], test: tuple[ArrayLike, ArrayLike], *, theme: str = "light"
) -> Figure:
    """Training and test rows apart.

    Args:
        train: Pair `(x, y)` of arrays of shape `(rows, 1)` or `(rows,)`.
        test: Pair of the same kind.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: x and y are not columns of one length, or the theme is unknown.

    Example:

    >>> figure = keras_valleys.plots.split(*keras_valleys.datasets.rosette())
    >>> [len(points.get_offsets()) for points in figure.axes[0].collections]
    [670, 330]
    """
    look = get_theme(theme)
    parts = [_columns("split", *train), _columns("split", *test)]
    axes = _plane(look, *np.concatenate(parts, axis=1))
    kinds = [("training", BLUE, "o", 10), ("test", ORANGE, "^", 18)]
    for (x, y), (name, color, marker, size) in zip(parts, kinds, strict=True):
        label = f"{name} ({len(x)} rows)"
        axes.scatter(x, y, s=size, color=color, marker=marker, linewidths=0, label=label)
    add_legend(axes.figure, look, axes.collections, loc="outside upper center", markerscale=2)
    return axes.figure


def fit(
    test: tuple[ArrayLike, ArrayLike],
    predictions: ArrayLike,
    *,
    label: str = "fit",
    theme: str = "light",
) -> Figure:
    """Test rows and the line that a model draws through them.

    Args:
        test: Pair `(x, y)` of arrays of shape `(rows, 1)` or `(rows,)`.
        predictions: The model's output at the test rows, of the shape of y.
        label: Name of the line in the legend.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`. The predictions are joined in the order of x.

    Raises:
        ValueError: x, y and predictions are not columns of one length, or the theme is unknown.

    Example:

    >>> x = np.array([2.0, 0.0, 1.0])
    >>> figure = keras_valleys.plots.fit((x, x), 3 * x)
    >>> figure.axes[0].lines[0].get_ydata()
    array([0., 3., 6.])
    """
    look = get_theme(theme)
    x, y = _columns("fit", *test)
    _, line = _columns("fit", x, predictions)
    axes = _plane(look, x, y)
    dots = axes.scatter(x, y, s=10, color=BLUE, linewidths=0, label="test data")
    order = np.argsort(x, kind="stable")
    style = dict(color=look.accent, linewidth=2.5, label=label)
    handles = [dots, *axes.plot(x[order], line[order], **style)]
    add_legend(axes.figure, look, handles, loc="outside upper center", markerscale=2)
    return axes.figure


def _plane(look, x, y):
    spans = np.ptp(x) if x.size else 1.0, np.ptp(y) if y.size else 1.0
    alike = min(spans) > 0 and 0.5 <= spans[0] / spans[1] <= 2
    figure = new_figure(look, (6.0, 5.4))
    axes = style_axes(figure.add_subplot(), look, xlabel="x", ylabel="y")
    axes.set_aspect("equal" if alike else "auto")
    return axes


def _columns(name, x, y):
    columns = [np.asarray(column) for column in (x, y)]
    shapes = [column.shape for column in columns]
    if (
        any(len(s) not in (1, 2) or s[1:] not in ((), (1,)) for s in shapes)
        or len({s[0] for s in shapes}) > 1
    ):
        raise refusal(
            name,
            "columns of one length, of shape (rows, 1) or (rows,)",
            f"the shapes {shapes[0]} and {shapes[1]}",
            "Choose one column of each.",
        )
    return [column.reshape(-1) for column in columns]
