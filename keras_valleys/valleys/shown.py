"""Which valleys and which losses of a surface a picture shows."""

import dataclasses

import numpy as np

from keras_valleys._checks import check_kind, check_number, refusal
from keras_valleys.surfaces import Surface
from keras_valleys.valleys.axes import closed, like_closed
from keras_valleys.valleys.finding import find_valleys
from keras_valleys.valleys.valley import Valleys


def shown_valleys(
    owner: str,
    surface: Surface,
    valleys: Valleys | None = None,
    persistence: float | None = None,
) -> Valleys:
    """The valleys that are shown of a surface: those that were found already, or else all.

    Args:
        owner: Name of the asking function or class.
        surface: The surface.
        valleys: Its valleys; `None` finds them.
        persistence: As for `find_valleys`; for `valleys=None` only.

    Returns:
        `Valleys`, whose surface has the periods that they were found with.

    Raises:
        ValueError: Both are given, `persistence` is negative or not finite, or the valleys are
            another surface's.

    Example:

    >>> x = np.linspace(-2, 2, 401)
    >>> wells = keras_valleys.surfaces.Surface((x**2 - 1) ** 2 + x / 9, [x], [[1.0]], [0.0])
    >>> len(keras_valleys.valleys.shown_valleys("curve", wells))
    2
    """
    check_persistence(owner, persistence)
    if valleys is None:
        return find_valleys(surface, persistence=persistence)
    if persistence is not None:
        raise refusal(
            owner,
            "`valleys` or `persistence`",
            f"both, persistence={persistence:g}",
            "Give `persistence` to `find_valleys`.",
        )
    check_kind(owner, "valleys", valleys=valleys)
    found = valleys.surface
    if found is surface:
        return valleys
    if not _has_samples_of(found, surface):
        raise refusal(
            owner,
            "the `valleys` of its surface",
            f"valleys of one of shape {found.losses.shape}, with other losses or coordinates",
            "Use `keras_valleys.valleys.find_valleys(surface)`.",
        )
    return dataclasses.replace(valleys, surface=dataclasses.replace(surface, periods=found.periods))


def check_persistence(owner: str, persistence: float | None) -> None:
    """Refuse a persistence that is no depth, before any work."""
    if persistence is not None:
        remedy = "Use persistence=None for all but rounding noise."
        wanted = "a number >= 0, in units of the loss"
        check_number(owner, wanted, remedy, least=0, persistence=persistence)


def _has_samples_of(one, other):
    ours, theirs = ([surface.losses, *surface.coordinates] for surface in (one, other))
    return len(ours) == len(theirs) and all(
        np.array_equal(*pair, equal_nan=True) for pair in zip(ours, theirs, strict=True)
    )


def closed_valleys(valleys: Valleys) -> Valleys:
    """Valleys of the `closed` surface, for pictures."""
    surface = closed(valleys.surface)
    if surface is valleys.surface:
        return valleys
    labels = like_closed(valleys.labels, surface.losses.shape)
    return dataclasses.replace(valleys, surface=surface, labels=labels)


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
    valleys = find_valleys(surface) if valleys is None else valleys
    for valley in valleys:
        ridge = valley.loss + valley.depth
        if valley.on_border:  # the way out of its basin that was sampled
            ridge = min(
                (h for h, *sides in valleys._passes if valley.index in sides), default=ridge
            )
        marks.append(ridge if np.isfinite(ridge) else valley.loss)
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
