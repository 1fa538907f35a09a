"""What files of version 0.1 lack, worked out for them: they are shown as others are.

Whoever writes a file knows when a step derails, which rows of a long path to show, and which losses
of a surface (see `metadata`). Version 0.1 left these to its readers. Of other files nothing is
worked out again.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorboard_plugin_valleys.metadata import COLUMNS
from tensorboard_plugin_valleys.places import slice_heights
from tensorboard_plugin_valleys.thinning import extremes

NUM_COLUMNS = 4  # step, loss, distance and valley, before the coordinates
ROOM = 2700  # rows of a long path that are there for their extremes


def completed_rows(rows: np.ndarray) -> np.ndarray:
    """Rows `(T, 4 + K)` of version 0.1 with all `COLUMNS`.

    Example:

    >>> rows = [[0, 0.5, np.nan, 1, 0.7], [1, 0.4, np.nan, 0, 0.2]]
    >>> dict(zip(COLUMNS, completed_rows(np.array(rows))[1].tolist()))["left"]
    1.0
    """
    known, coordinates = rows[:, :NUM_COLUMNS], rows[:, NUM_COLUMNS:]
    steps, losses, _, valleys = known.T
    left, left_at = np.full((2, len(rows)), -1.0)
    stride, event_stride = np.ones(len(rows)), np.zeros(len(rows))
    inside = np.flatnonzero(valleys >= 0)
    changed = np.flatnonzero(np.diff(valleys[inside]))
    before, after = inside[changed], inside[changed + 1]
    left[after], left_at[after] = valleys[before], steps[before]
    shares = _powers_of_three(np.arange(len(before)))
    for side in (before, after):
        event_stride[side] = np.maximum(event_stride[side], shares)
    shown = extremes([losses, *coordinates.T], ROOM)
    stride[shown] = 3 * _powers_of_three(np.arange(len(shown)))
    no_step = np.zeros(len(rows))  # it had none
    return np.column_stack([known, left, left_at, stride, event_stride, no_step, coordinates])


def _powers_of_three(numbers):
    """The largest that divides each number."""
    return np.gcd(numbers, 3**30)


def shown_with(losses: np.ndarray, info: dict[str, Any], rows: np.ndarray) -> list[float]:
    """The lowest and the highest loss to show of a surface, and of a path on it.

    Args:
        losses: Array of shape `(n_1,)` or `(n_1, n_2)`.
        info: What else is known of the surface, as `payload` says.
        rows: Rows `(T, 4 + K)` of the path.
    """
    inside = rows[rows[:, COLUMNS.index("valley")] >= 0, NUM_COLUMNS:]
    if inside.shape[1] != losses.ndim:
        return shown_range(losses, info["valleys"])
    heights = slice_heights(inside, losses, info["coordinates"], info["periods"])
    return shown_range(losses, info["valleys"], heights)


def shown_range(
    losses: np.ndarray, valleys: Sequence[dict[str, Any]], heights: np.ndarray | None = None
) -> list[float]:
    """The lowest and the highest loss to show of a surface, and of a path on it.

    Args:
        losses: Array of shape `(n_1,)` or `(n_1, n_2)`.
        valleys: List of dictionaries with `loss` and `depth`, `None` for an infinite one.
        heights: Losses of the surface under the path; `None` for none.

    Returns:
        List of two floats.

    Example:

    >>> shown_range(np.array([3.0, 1.0, 2.0]), [{"loss": 1.0, "depth": None}])
    [1.0, 3.0]
    """
    finite = losses[np.isfinite(losses)].astype("float64")
    if not finite.size:
        return [0.0, 1.0]
    low, high = float(finite.min()), float(finite.max())
    top = float(np.quantile(finite, 0.6 if losses.ndim == 1 else 0.9))
    if losses.ndim == 1:
        most = max(np.quantile(finite, 0.97), top)
        ridges = [valley["loss"] + (valley["depth"] or 0.0) for valley in valleys]
        top = float(max([top, *(ridge for ridge in ridges if ridge <= most)]))
    heights = np.empty(0) if heights is None else np.asarray(heights, "float64")
    heights = heights[np.isfinite(heights)]
    if heights.size:
        room = (4 if losses.ndim == 1 else 2) * (top - low) if top > low else np.inf
        top = max(top, min(float(heights.max()), low + room))
        low = min(low, float(heights.min()))
    top = low + 1.2 * (top - low)
    if high <= low + 1.5 * (top - low):
        top = max(top, high)
        return [low, top if top > low else low + max(abs(low), 1.0)]
    digit = 10.0 ** (np.floor(np.log10(top - low)) - 1)
    return [low, float(np.ceil(top / digit) * digit)]
