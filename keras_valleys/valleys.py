"""The shape of a sampled surface: its valleys, and the steps that leave one for another."""

import dataclasses
import itertools

import numpy as np

from keras_valleys.trajectories import project


@dataclasses.dataclass(frozen=True)
class Valley:
    """A local minimum of a sampled 1-D loss, with its basin.

    Attributes:
        index: Number of the valley, 0 the one with the lowest loss.
        position: Coordinate of the floor.
        loss: Loss at the floor.
        depth: Loss of the lower of the ridges around the valley, minus the loss at the floor;
            infinite where there is no ridge on either side.
        ridges: Coordinates of the ridges on its two sides; the surface's end where there is none.
    """

    index: int
    position: float
    loss: float
    depth: float
    ridges: tuple


def find_valleys(surface, persistence=None):
    """The valleys of a 1-D surface, the lowest first.

    A plateau is one point; a minimum at an end of the surface counts, as the samples show it.
    Points that are not finite separate valleys. No valley narrower than the grid is found.

    Args:
        surface: A 1-D `keras_valleys.surfaces.Surface`.
        persistence: Valleys less deep than this belong to their neighbor, in units of the loss.
            `None` is the rounding noise of the losses, 16 units in their last place.

    Returns:
        List of `Valley`, sorted by loss.

    Raises:
        ValueError: The surface is not 1-D.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> [round(valley.position, 2) for valley in keras_valleys.valleys.find_valleys(wave)]
    [-1.0, 1.0, 3.0]
    """
    if surface.losses.ndim != 1:
        raise ValueError(
            "`find_valleys` expects a 1-D surface. "
            f"Received: losses of shape {surface.losses.shape}. Evaluate it along one direction."
        )
    if persistence is not None and not persistence >= 0:
        raise ValueError(
            "`find_valleys` expects `persistence` to be >= 0. "
            f"Received: persistence={persistence!r}. Use persistence=None for rounding noise only."
        )
    (x,) = surface.coordinates
    losses = np.where(np.isfinite(surface.losses), surface.losses, np.inf)
    floors = _floors(losses)
    highest = [
        a[1] + int(np.argmax(losses[a[1] : b[0] + 1])) for a, b in itertools.pairwise(floors)
    ]
    ridges = [0, *highest, len(x) - 1]  # ridges[k] and ridges[k + 1] are around floors[k]
    noise = 16 * np.finfo(np.result_type(surface.losses, "float16")).eps
    while len(floors) > 1:
        depths = [_depth(losses, floors, ridges, k) for k in range(len(floors))]
        k = int(np.argmin(depths))
        limit = noise * abs(losses[floors[k][0]]) if persistence is None else persistence
        if depths[k] >= limit:
            break
        left_is_lower = k > 0 and losses[ridges[k]] == losses[floors[k][0]] + depths[k]
        del floors[k], ridges[k if left_is_lower else k + 1]
    found = [
        (float(losses[a]), (x[a] + x[b]) / 2, _depth(losses, floors, ridges, k), ridges[k : k + 2])
        for k, (a, b) in enumerate(floors)
    ]
    return [
        Valley(index, float(position), loss, float(depth), tuple(x[sides].tolist()))
        for index, (loss, position, depth, sides) in enumerate(sorted(found))
    ]


def _floors(losses):
    """First and last index of each run of equal losses that is lower than its neighbors."""
    walled = np.concatenate([[np.inf], losses, [np.inf]])
    changes = np.flatnonzero(walled[:-1] != walled[1:])  # walled[changes + 1] starts a run
    runs = itertools.pairwise(changes)
    return [(a, b - 1) for a, b in runs if walled[a] > walled[a + 1] and walled[b] < walled[b + 1]]


def _depth(losses, floors, ridges, k):
    """Height of the lower ridge of a valley; the surface's ends are no ridges."""
    sides = [ridges[k]] if k > 0 else []
    sides += [ridges[k + 1]] if k + 1 < len(floors) else []
    return min((losses[side] for side in sides), default=np.inf) - losses[floors[k][0]]


@dataclasses.dataclass(frozen=True)
class Derailment:
    """A step after which a trajectory lies in another basin than before.

    Attributes:
        step: Number of updates made when it was still in the old basin.
        before: The `Valley` that it left.
        after: The `Valley` whose basin it is in from the next row on.
    """

    step: int
    before: Valley
    after: Valley


def derailments(trajectory, surface, period=None):
    """The steps at which a trajectory crosses a ridge into another basin.

    Args:
        trajectory: A `keras_valleys.trajectories.Trajectory`.
        surface: A 1-D `keras_valleys.surfaces.Surface` over the same weights.
        period: Period of the coordinate, such as pi for the angle of a line; `None` for none.

    Returns:
        List of `Derailment`, in the order of the steps. Rows outside the surface are skipped.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> path = keras_valleys.trajectories.Trajectory(
    ...     [0, 1, 2], [[-0.9], [-0.2], [0.3]], [0.0] * 3
    ... )
    >>> [step.step for step in keras_valleys.valleys.derailments(path, wave)]
    [1]
    """
    valleys = find_valleys(surface)
    coordinates = project(trajectory.weights, surface)[:, 0]
    inside = [(row, basin_of(c, valleys, period)) for row, c in enumerate(coordinates)]
    inside = [(row, valley) for row, valley in inside if valley is not None]
    return [
        Derailment(int(trajectory.steps[row]), before, after)
        for (row, before), (_, after) in itertools.pairwise(inside)
        if before != after
    ]


def basin_of(coordinate, valleys, period=None):
    """The valley in whose basin a coordinate lies.

    Args:
        coordinate: A number.
        valleys: What `find_valleys` returned.
        period: Period of the coordinate; `None` for none.

    Returns:
        A `Valley`, or `None` outside the surface, for a coordinate that is not finite, and with a
        period for one so far off that its place within the period is lost in float32.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> valleys = keras_valleys.valleys.find_valleys(wave)
    >>> round(keras_valleys.valleys.basin_of(0.4, valleys).position, 2)
    1.0
    """
    if period is not None and valleys:
        # Where float32 cannot tell a thousandth of a period, the position within it means nothing.
        if np.spacing(np.float32(abs(coordinate))) > period / 1000:
            return None
        start = min(valley.ridges[0] for valley in valleys)
        coordinate = start + (coordinate - start) % period
    for valley in valleys:
        if valley.ridges[0] <= coordinate <= valley.ridges[1]:
            return valley
    return None
