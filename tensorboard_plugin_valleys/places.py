"""Where a path is drawn on its surface, as the view draws it: what thinning must know."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def drawn_columns(
    coordinates: ArrayLike, losses: ArrayLike, info: dict[str, Any]
) -> list[np.ndarray]:
    """Places of rows along the axes of the picture, and their heights on the surface.

    Round an axis with a period a path goes on, always the shorter way.

    Args:
        coordinates: Array of shape `(T, K)`.
        losses: Array of shape `(n_1,)` or `(n_1, n_2)`: those of the surface.
        info: What else is known of it, as `payload` says.

    Returns:
        K + 1 arrays of shape `(T,)`, in units of what is shown: 0 and 1 are its ends. A height
        above what is shown is 1; beside the surface it is the last one on it.

    Example:

    >>> info = {"coordinates": [[0.0, 1.0, 2.0]], "periods": [None], "shown": [1.0, 3.0]}
    >>> drawn_columns([[0.5], [2.0]], [1.0, 2.0, 9.0], info)
    [array([0.25, 1.  ]), array([0.25, 1.  ])]
    """
    columns = np.atleast_2d(np.asarray(coordinates, "float64").T)
    axes = [np.asarray(axis, "float64") for axis in info["coordinates"]]
    found, inside = [], []
    for column, axis, period in zip(columns, axes, info["periods"], strict=True):
        start, size = axis[0], (axis[-1] - axis[0]) or 1.0
        with np.errstate(over="ignore", invalid="ignore"):
            inside.append(_wrapped(column, start, axis[-1], period))
            places = (column if period is None else unrolled(column, period)) - start
            found.append(places / size if period else np.clip(places / size, -1, 2))
    heights = _interpolated(inside, axes, np.asarray(losses, "float64"))
    low, top = info["shown"]
    return [*found, np.clip((_filled(heights) - low) / ((top - low) or 1.0), 0, 1)]


def unrolled(column: np.ndarray, period: float) -> np.ndarray:
    """Places that go on round a ring, each the shorter way from the one before.

    Example:

    >>> unrolled(np.array([0.9, 0.1, 0.2]), 1.0).round(6).tolist()
    [0.9, 1.1, 1.2]
    """
    turns = np.round(np.diff(_filled(column)) / period)
    return column - period * np.concatenate([[0.0], np.cumsum(turns)])[: len(column)]


def slice_heights(
    coordinates: ArrayLike,
    losses: ArrayLike,
    axes: Sequence[ArrayLike],
    periods: Sequence[float | None],
) -> np.ndarray:
    """The loss of a surface under a path, linear between its samples; NaN beside it.

    Args:
        coordinates: Array of shape `(T, K)`.
        losses: Array of shape `(n_1,)` or `(n_1, n_2)`.
        axes: K rising arrays.
        periods: K numbers, `None` for none.

    Returns:
        Array of shape `(T,)`.

    Example:

    >>> slice_heights([[0.5], [3.0], [-0.5]], [1.0, 2.0, 1.0], [[0.0, 1.0, 2.0]], [2.0]).tolist()
    [1.5, 2.0, 1.5]
    """
    columns = np.atleast_2d(np.asarray(coordinates, "float64").T)
    known = [np.asarray(axis, "float64") for axis in axes]
    with np.errstate(over="ignore", invalid="ignore"):
        inside = [
            _wrapped(column, axis[0], axis[-1], period)
            for column, axis, period in zip(columns, known, periods, strict=True)
        ]
    return _interpolated(inside, known, np.asarray(losses, "float64"))


def _interpolated(inside, axes, losses):
    cells, shares = [], []
    known = np.ones(len(inside[0]), bool)
    for column, axis in zip(inside, axes, strict=True):
        known &= (column >= axis[0]) & (column <= axis[-1])
        places = np.where(known, column, axis[0])
        cell = np.clip(np.searchsorted(axis, places, side="right") - 1, 0, max(0, len(axis) - 2))
        upper = np.minimum(cell + 1, len(axis) - 1)
        size = axis[upper] - axis[cell]
        shares.append(np.divide(places - axis[cell], size, out=np.zeros(len(cell)), where=size > 0))
        cells.append((cell, upper))
    heights = np.zeros(len(known))
    for corner in np.ndindex(*(2,) * len(axes)):
        weight = np.ones(len(known))
        for share, side in zip(shares, corner, strict=True):
            weight *= share if side else 1 - share
        value = losses[tuple(pair[side] for pair, side in zip(cells, corner, strict=True))]
        heights += np.where(weight > 0, weight * value, 0.0)
    return np.where(known, heights, np.nan)


def _wrapped(column, start, end, period):
    """Places within the range of an axis, where a period leads there."""
    if period is None:
        return column
    outside = (column < start) | (column > end)
    turns = np.floor((column - start) / period)
    return np.where(outside, column - period * turns, column)


def _filled(values):
    """What is not finite is as the last value that was; at the begin as the first one that is."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), np.argmax(known)))
    return values[last]
