"""The steps of a trajectory that leave one valley for another."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import refusal
from keras_valleys._results import Result
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import TrajectoryLike, as_trajectory, project
from keras_valleys.valleys.axes import Periodic
from keras_valleys.valleys.finding import find_valleys
from keras_valleys.valleys.valley import Valley, Valleys


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Derailment(Result):
    """A step after which a trajectory lies in another basin than before.

    Attributes:
        step: Number of updates made when it was still in the old basin.
        before: The `Valley` that it left.
        after: The `Valley` whose basin it is in from the next row on.
        rise: The loss of the trajectory at that next row minus the one at this row, recorded or
            true as the trajectory has it: negative where it fell, NaN where one of them is not
            known.
    """

    step: int
    before: Valley
    after: Valley
    rise: float

    def _in_short(self) -> str:
        ways = f"from valley {self.before.index} to {self.after.index}"
        return f"step {self.step}, {ways}, rise {self.rise:.4g}"


def derailments(
    trajectory: TrajectoryLike,
    surface: Surface | Valleys,
    *,
    persistence: float | None = None,
    periodic: Periodic = "auto",
) -> list[Derailment]:
    """The steps at which a trajectory crosses a ridge into another basin.

    A trajectory of more weights than the surface has axes is projected on it.

    Args:
        trajectory: A `keras_valleys.trajectories.Trajectory`.
        surface: A `keras_valleys.surfaces.Surface` over the same weights; or the `Valleys` that
            `find_valleys` found on it, and the next two arguments are left out.
        persistence: As for `find_valleys`.
        periodic: As for `find_valleys`.

    Returns:
        List of `Derailment`, in the order of the steps. Rows that are in no basin, because they
        are outside of the surface or not finite, are skipped. Where no step led to a row (see
        `no_steps` of `keras_valleys.trajectories.Trajectory`) nothing was derailed.

    Raises:
        ValueError: As for `find_valleys`, or the trajectory has another number of weights.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> path = keras_valleys.trajectories.Trajectory(
    ...     [0, 1, 2], [[-0.9], [-0.2], [0.3]], [0.25, 0.5, 1.0]
    ... )
    >>> [(found.step, found.rise) for found in keras_valleys.valleys.derailments(path, wave)]
    [(1, 0.5)]
    """
    trajectory = as_trajectory("derailments", trajectory)
    auto = isinstance(periodic, str) and periodic == "auto"
    if not isinstance(surface, Valleys):
        valleys = find_valleys(surface, persistence=persistence, periodic=periodic)
    elif persistence is None and auto:
        valleys = surface
    else:
        raise refusal(
            "derailments",
            "`persistence` and `periodic` with a surface only",
            "valleys that are found already",
            "Give these arguments to `find_valleys`.",
        )
    coordinates = project(trajectory.weights, valleys.surface)
    return passages(
        valleys,
        coordinates,
        losses=trajectory.losses,
        steps=trajectory.steps,
        no_steps=trajectory.no_steps,
    )


def passages(
    valleys: Valleys,
    coordinates: ArrayLike,
    *,
    losses: ArrayLike,
    steps: ArrayLike,
    no_steps: ArrayLike = (),
) -> list[Derailment]:
    """The derailments of a path that is given by its coordinates on the surface.

    Args:
        valleys: The `Valleys` of the surface.
        coordinates: Array of shape `(n, K)`.
        losses: Array of shape `(n,)`; NaN where the loss is not known.
        steps: Integers of shape `(n,)`.
        no_steps: Those of `steps` to whose rows no step led.

    Returns:
        List of `Derailment`.

    Example:

    >>> curve = keras_valleys.surfaces.Surface([1, 4, 2, 0, 3], [range(5)], [[1.0]], [0.0])
    >>> valleys = keras_valleys.valleys.find_valleys(curve)
    >>> path = np.array([[0.2], [9.0], [2.5]])
    >>> found = keras_valleys.valleys.passages(
    ...     valleys, path, losses=[2.0, 9.0, 1.0], steps=[0, 1, 2]
    ... )
    >>> [(crossing.step, crossing.rise) for crossing in found]
    [(0, -1.0)]
    """
    indices, steps = np.asarray(valleys.at(coordinates)), np.asarray(steps)
    pairs = crossed_rows(indices, np.isin(steps, no_steps))
    known = np.asarray(losses, "float64")
    with np.errstate(invalid="ignore"):
        rises = known[pairs[:, 1]] - known[pairs[:, 0]]
    return [
        Derailment(int(steps[before]), valleys[indices[before]], valleys[indices[after]], rise)
        for (before, after), rise in zip(pairs.tolist(), rises.tolist(), strict=True)
    ]


def crossed_rows(indices, no_steps=None):
    """The rows of a path between which it leaves one valley for another.

    Args:
        indices: Integers of shape `(n,)`: the index of the valley that each row is in, -1 for none.
        no_steps: Booleans of shape `(n,)`: whether no step led to a row; `None` for nowhere.

    Returns:
        Integers `(D, 2)`: of each derailment the last row in the one valley, and the next, in
        another. Rows in no valley are skipped, and ways on which no step led to a row.

    Example:

    >>> keras_valleys.valleys.crossed_rows([1, 1, -1, 0, 0, 1]).tolist()
    [[1, 3], [4, 5]]
    """
    indices = np.asarray(indices)
    rows = np.flatnonzero(indices >= 0)
    changed = np.flatnonzero(np.diff(indices[rows]))
    pairs = np.stack([rows[changed], rows[changed + 1]], axis=1)
    if no_steps is None or not np.any(no_steps):
        return pairs
    before, after = np.cumsum(no_steps)[pairs].T
    return pairs[before == after]
