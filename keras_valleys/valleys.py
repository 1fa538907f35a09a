"""The shape of a sampled surface: its valleys, and the steps that leave one for another."""

import dataclasses

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


def find_valleys(surface):
    """The valleys of a 1-D surface, the lowest first.

    A plateau is one point; a minimum at an end of the surface counts, as the samples show it.
    Points that are not finite separate valleys. No valley narrower than the grid is found.

    Args:
        surface: A 1-D `keras_valleys.surfaces.Surface`.

    Returns:
        List of `Valley`, sorted by loss.

    Raises:
        ValueError: The surface is not 1-D.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> [round(valley.position, 2) for valley in find_valleys(wave)]
    [-1.0, 1.0, 3.0]
    """
    if surface.losses.ndim != 1:
        raise ValueError(
            "`find_valleys` expects a 1-D surface. "
            f"Received: losses of shape {surface.losses.shape}. Evaluate it along one direction."
        )
    (x,) = surface.coordinates
    losses = np.where(np.isfinite(surface.losses), surface.losses, np.inf)
    walls = np.concatenate([[np.inf], losses, [np.inf]])
    starts = np.flatnonzero(walls[:-1] != walls[1:])  # the runs of equal losses: [start, end)
    runs = zip(starts[:-1], starts[1:], strict=True)
    floors = [(a, b) for a, b in runs if walls[a] > walls[a + 1] and walls[b] < walls[b + 1]]
    found = []
    for number, (a, b) in enumerate(floors):
        previous = floors[number - 1][1] if number else 0
        following = floors[number + 1][0] if number + 1 < len(floors) else len(x) - 1
        left = previous + int(np.argmax(losses[previous : a + 1]))
        right = a + int(np.argmax(losses[a : following + 1]))
        loss = float(losses[a])
        rises = [losses[left] if number else np.inf]
        rises.append(losses[right] if number + 1 < len(floors) else np.inf)
        found.append((loss, float((x[a] + x[b - 1]) / 2), min(rises) - loss, (x[left], x[right])))
    return [
        Valley(index, position, loss, float(depth), tuple(map(float, ridges)))
        for index, (loss, position, depth, ridges) in enumerate(sorted(found))
    ]


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
    >>> [step.step for step in derailments(path, wave)]
    [1]
    """
    valleys = find_valleys(surface)
    coordinates = project(trajectory.weights, surface)[:, 0]
    inside = [(row, basin_of(c, valleys, period)) for row, c in enumerate(coordinates)]
    inside = [(row, valley) for row, valley in inside if valley is not None]
    return [
        Derailment(int(trajectory.steps[row]), before, after)
        for (row, before), (_, after) in zip(inside[:-1], inside[1:], strict=True)
        if before != after
    ]


def basin_of(coordinate, valleys, period=None):
    """The valley in whose basin a coordinate lies.

    Args:
        coordinate: A number.
        valleys: What `find_valleys` returned.
        period: Period of the coordinate; `None` for none.

    Returns:
        A `Valley`, or `None` outside the surface and for a coordinate that is not finite.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> round(basin_of(0.4, find_valleys(wave)).position, 2)
    1.0
    """
    if period is not None and valleys:
        start = min(valley.ridges[0] for valley in valleys)
        coordinate = start + (coordinate - start) % period
    for valley in valleys:
        if valley.ridges[0] <= coordinate <= valley.ridges[1]:
            return valley
    return None
