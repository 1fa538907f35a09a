"""Finding the valleys of a surface."""

import dataclasses
import numbers
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import check_kind, is_finite, is_kind, refusal, shortened
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import Surface
from keras_valleys.valleys.axes import Periodic, Places, axes_of
from keras_valleys.valleys.curves import polish as polish_line
from keras_valleys.valleys.curves import read_line
from keras_valleys.valleys.flooding import find, flood
from keras_valleys.valleys.planes import extremes, middles, on_border, read_plane
from keras_valleys.valleys.planes import polish as polish_plane
from keras_valleys.valleys.roughness import rounding
from keras_valleys.valleys.valley import Valley, Valleys


def find_valleys(
    surface: Surface,
    *,
    persistence: float | None = None,
    periodic: Periodic = "auto",
    objective: Objective | Callable[[np.ndarray], ArrayLike] | None = None,
) -> Valleys:
    """The valleys of a surface, the lowest first.

    A floor is a sample, or a plateau of equal ones, that has no way down, on a plane also between
    the samples: a ravine that runs obliquely over the grid has one floor. Where it lies on the
    border of the surface it is `on_border`: the lowest point there, no minimum. Its basin is all
    samples from which gradient flow on the interpolated surface ends there; on a plane that is too
    rough to be interpolated, or whose samples are not evenly spaced, steepest descent over
    neighboring samples, diagonal ones included. Distances are measured in the coordinates. Samples
    that are not finite belong to no valley, and separate valleys. No valley narrower than the grid
    is found.

    Args:
        surface: A `keras_valleys.surfaces.Surface` of one or two axes.
        persistence: Valleys less deep than this belong to the neighbor over their lowest ridge, in
            units of the loss. `None` is what stands out of the noise of the surface: of the
            rounding of the losses, 16 units in the last place; of noise that each sample has by
            itself; and of the many kinks that noisy data make, one percent of the range of the
            middle half of the losses. The valleys say it, and how many are less deep, as
            `persistence` and `dropped`.
        periodic: Axes whose ends are joined. "auto": those of which the surface says a period.
            `True`: the first and the last coordinate of each axis are one place. A number: the
            period of the only axis, such as pi for the angle of a line. `None`: no axis. A tuple:
            one of these but "auto" per axis. Where an axis is longer than its period, the first
            period is read; where it is shorter by more than a step, its ends stay ends. The
            valleys' `surface` then has these periods.
        objective: The surface's `keras_valleys.objectives.Objective`, or a function of points
            `(n, P)`. Floors, and ridges or saddles, are then located to 1e-6 between the samples,
            or as well as the rounding of the losses allows, and measured there, with some 2000
            points for each, on a plane 800. A floor is never higher than its sample. What is on
            the border of a plane stays.

    Returns:
        `Valleys`, a sequence of `Valley`.

    Raises:
        ValueError: Not a surface, `persistence` is negative, `periodic` does not fit the axes, or
            the objective has another number of weights.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> [round(v.position[0], 2) for v in keras_valleys.valleys.find_valleys(wave)]
    [-1.0, 1.0, 3.0]
    """
    _check(surface, persistence, objective)
    axes = axes_of(surface, periodic)
    periods = tuple(axis.period for axis in axes)
    if not (isinstance(periodic, str) or periods == surface.periods):
        surface = dataclasses.replace(surface, periods=periods)
    losses = surface.losses[tuple(slice(len(axis.nodes)) for axis in axes)].astype("float64")
    losses = np.where(np.isfinite(losses), losses, np.nan)
    water = flood(losses, axes, surface.losses.dtype, persistence)
    if losses.ndim == 1:
        line = read_line(axes[0], losses, water, middles(axes, losses.shape, water.floors)[:, 0])
        if objective is not None:
            rounded = float(rounding(1.0, surface.losses.dtype))
            line = polish_line(line, losses, surface, objective, rounded)
        places, heights, errors = line.floors[:, :1], line.floors[:, 1], line.errors
        sides = [
            (depth, right - left, (left, right)) for left, right, depth in line.sides().tolist()
        ]
        meetings = np.column_stack([line.between, line.ridges[:, 1]])
    else:
        known = extremes(axes, losses, water)
        if objective is not None:
            known = polish_plane(known, axes, losses, water, surface, objective)
        places, heights, errors = known.floors, known.bottoms, known.errors
        sides = read_plane(axes, losses, water, known)
        meetings = np.column_stack([*water.passes[:2], known.heights])
    positions = list(map(tuple, places.tolist()))
    order = sorted(range(len(positions)), key=lambda k: (heights[k], positions[k]))
    ranks = np.argsort(order) if order else np.empty(0, int)
    ends = on_border(axes, losses, water)
    found = []
    for index, k in enumerate(order):
        depth, width, ridges = sides[k]
        loss, error, ended = float(heights[k]), float(errors[k]), bool(ends[k])
        depth, error = (np.nan, np.nan) if ended else (depth, error)
        found.append(Valley(index, positions[k], loss, depth, width, ridges, ended, error))
    if losses.ndim == 1:
        where = line.places(ranks)
    else:
        where = Places.nearest(axes, np.append(ranks, -1)[water.labels])
    passes = sorted((float(h), int(ranks[int(a)]), int(ranks[int(b)])) for a, b, h in meetings)
    labels = _labels(surface, where)
    noise = water.least, water.dropped
    return Valleys(surface, periods, labels, tuple(found), tuple(passes), where, *noise)


def label_basins(
    surface: Surface, *, persistence: float | None = None, periodic: Periodic = "auto"
) -> np.ndarray:
    """The valley in whose basin each sample of a surface is.

    Args:
        surface: A `keras_valleys.surfaces.Surface`.
        persistence: As for `find_valleys`.
        periodic: As for `find_valleys`.

    Returns:
        Integers of the shape of the surface's losses: 0 in the basin of the lowest valley, and -1
        where the loss is not finite.

    Raises:
        ValueError: As for `find_valleys`.

    Example:

    >>> curve = keras_valleys.surfaces.Surface([1, 4, 2, 0, 3], [range(5)], [[1.0]], [0.0])
    >>> keras_valleys.valleys.label_basins(curve)
    array([1, 1, 0, 0, 0])
    """
    return find_valleys(surface, persistence=persistence, periodic=periodic).labels


def barrier(valleys: Valleys, a: Valley | int, b: Valley | int) -> float:
    """How high the way between two valleys is.

    The highest loss on the lowest way between their floors, minus the loss of the higher floor.

    Args:
        valleys: The `Valleys` of a surface.
        a: One of them, or its index.
        b: Another of them, or its index.

    Returns:
        Number >= 0; infinite where diverged samples part them.

    Raises:
        ValueError: One of them is not among the valleys.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> keras_valleys.valleys.barrier(keras_valleys.valleys.find_valleys(wave), 0, 2)
    2.0
    """
    check_kind("barrier", "valleys", valleys=valleys)
    start, end = _index_of(valleys, a), _index_of(valleys, b)
    pools = list(range(len(valleys)))
    floor = max(valleys[start].loss, valleys[end].loss)
    if start == end:
        return 0.0
    for height, one, other in valleys._passes:
        pools[find(pools, one)] = find(pools, other)
        if find(pools, start) == find(pools, end):
            return height - floor
    return np.inf


def _index_of(valleys, valley):
    index = getattr(valley, "index", valley)
    whole = isinstance(index, numbers.Integral) and not isinstance(index, bool)
    known = whole and 0 <= index < len(valleys)
    if not known or (isinstance(valley, Valley) and valleys[index] != valley):
        raise refusal(
            "barrier",
            f"two of the {len(valleys)} valleys, or their indices",
            shortened(valley),
            "Use valleys[0]; between two networks `barrier_between` needs no valleys.",
        )
    return int(index)


def _labels(surface, places):
    axes = zip(surface.coordinates, places.axes, places.cuts, strict=True)
    where = [np.searchsorted(cuts, np.nan_to_num(axis.fold(x))) for x, axis, cuts in axes]
    labels = np.where(np.isfinite(surface.losses), places.owners[np.ix_(*where)], -1)
    labels.setflags(write=False)
    return labels


def _check(surface, persistence, objective):
    check_kind("find_valleys", "surface", surface=surface)
    takes_weights = callable(objective) and not isinstance(objective, type)
    if objective is not None and (not takes_weights or is_kind("model", objective)):
        check_kind("find_valleys", "objective", objective=objective)
    known = is_finite(persistence) and persistence >= 0
    if persistence is not None and not known:
        raise refusal(
            "find_valleys",
            "`persistence` to be >= 0",
            {"persistence": persistence},
            "Use persistence=None for what stands out of the noise.",
        )
    size = getattr(objective, "size", surface.origin.size)
    if size != surface.origin.size:
        raise refusal(
            "find_valleys",
            "an objective over the weights of the surface",
            f"a surface over {surface.origin.size} weights, an objective over {size}",
            "Use objective=None.",
        )
