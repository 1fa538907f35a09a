"""Which losses of a surface a picture shows."""

import numpy as np

from keras_valleys.valleys.finding import find_valleys
from keras_valleys.valleys.valley import Valleys


def shown_range(surface, heights=()):
    """The lowest and the highest loss to show of a surface, and of one path on it.

    All valleys and the ridges between them lie in view, and the path as far as it does not dwarf
    them. Without a pole nothing is cut. Several paths are shown in the range that holds those of
    each.

    Args:
        surface: A `keras_valleys.surfaces.Surface`, or its `Valleys`, where they are known.
        heights: The losses of a path's rows; those that are not finite do not count.

    Returns:
        Tuple of two floats, the second the greater. Where the surface goes on above it, it is a
        round number.

    Example:

    >>> x = np.linspace(0.01, 3, 300)
    >>> pole = keras_valleys.surfaces.Surface(x + 1 / x, [x], [[1.0]], [0.0])
    >>> [round(loss, 4) for loss in keras_valleys.valleys.shown_range(pole)]
    [2.0, 2.83]
    >>> keras_valleys.valleys.shown_range(pole, [7.0, np.nan])[1]
    5.4
    """
    valleys = surface if isinstance(surface, Valleys) else None
    surface = surface if valleys is None else valleys.surface
    finite = surface.losses[np.isfinite(surface.losses)].astype("float64")
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    top = _highest_ridge(surface, valleys, finite)
    heights = np.asarray(heights, "float64")
    heights = heights[np.isfinite(heights)]
    if heights.size:
        times = 4 if surface.losses.ndim == 1 else 2
        room = times * (top - low) if top > low else np.inf  # of a constant surface
        top = max(top, min(float(heights.max()), low + room))
        low = min(low, float(heights.min()))
    return low, _rounded(low, low + 1.2 * (top - low), high)


def _highest_ridge(surface, valleys, finite):
    if surface.losses.ndim == 2:
        return float(np.quantile(finite, 0.9))
    marks = [np.quantile(finite, 0.6)]
    for valley in find_valleys(surface) if valleys is None else valleys:
        marks.append(valley.loss + (valley.depth if np.isfinite(valley.depth) else 0.0))
    # Rounding makes valleys of its own at a pole: what only 3% of the surface exceeds is no mark.
    return float(max(mark for mark in marks if mark <= max(np.quantile(finite, 0.97), marks[0])))


def _rounded(low, top, high):
    """The top of a picture: all of a surface that is not much higher, else a round number."""
    if high <= low + 1.5 * (top - low):
        top = max(high, top)
        return top if top > low else low + max(abs(low), 1.0)
    digit = 10.0 ** (np.floor(np.log10(top - low)) - 1) if top > low else 1.0
    top = float(np.ceil(top / digit) * digit)
    return top if top > low else high
