"""How far to go along a direction until the loss has risen."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import (
    as_numbers,
    as_numbers_of_points,
    check_kind,
    check_number,
    refusal,
)
from keras_valleys.objectives import Objective
from keras_valleys.surfaces.planes import check_directions, declared_of, plane_of
from keras_valleys.trajectories import Trajectory, span

FARTHEST = 10.0  # in norms of the weights
FIRST, LEAST = 2.0**-10, 2.0**-20  # where doubling begins, and the shortest way, of the bound
TOLERANCE = 0.01  # of a way
USUAL = {1: [201], 2: [51, 41]}  # points of a line and of a plane
COARSE = 11  # points of each axis, to see whether the lowest one is on the border
WIDER, MOST_WIDER = 0.5, 3  # of the extent, and how often
SMALL = 1e-3  # of the loss one norm of the weights away: what a factor of a smaller loss is of


def reach(
    objective: Objective,
    directions: ArrayLike | None = None,
    *,
    origin: ArrayLike | None = None,
    rise: float = 10.0,
    num_points: int | Sequence[int] = (51, 41),
) -> tuple[np.ndarray, ...]:
    """Coordinates that go along each direction, each way, until the loss has risen by a factor.

    They are what `evaluate` takes, with the same directions and origin. Each way ends where the
    loss L has first risen to

        L(origin) + (rise - 1) * max(|L(origin)|, S / 1000)

    which is `rise` times the loss at the origin, if that is above 0 and not tiny: of a loss of 0 no
    factor is any rise, and ten times a loss of 1e-9 is rounding. S is the median of what the loss
    changes, where it stays finite, on the ways to where the weights are farther from the origin by
    their own norm. What is NaN or infinite has risen.

    Each end is found by doubling, from a thousandth of the bound, and bisection: what rises and
    falls again between two doublings is not seen. The loss there has risen, and at most 1 % before
    it has not; no way is shorter than a millionth of the bound. A way along which the loss does not
    rise ends at the bound: ten times the norm of the weights at the origin, at least 10, in weight
    space; or half a period, where the direction is a weight that has one. A plane takes at most
    about a hundred evaluations, in some twenty calls.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        directions: Array of shape `(K, P)` with K = 1 or 2, or `(P,)`, as `evaluate` takes it.
            `None` takes the weights themselves, for models of one or two weights.
        origin: Weight vector of shape `(P,)`. `None` is that of the `Directions`, or else the
            model's present weights; where `directions` is `None` as well, the coordinate is the
            weight and the ways begin at the present weights.
        rise: Factor, above 1.
        num_points: Number of points per axis, or an int for each; a line takes the first.

    Returns:
        Tuple of K rising arrays, in units of the directions' lengths; the two ways of one are of
        different lengths.

    Raises:
        ValueError: A loss at the origin that is not finite, shapes that do not belong together, or
            a number out of range.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mean_squared_error")
    >>> objective = keras_valleys.objectives.Objective(model, np.ones((1, 1)), np.zeros((1, 1)))
    >>> (axis,) = keras_valleys.surfaces.reach(objective, [[1.0]], origin=[2.0], rise=4.0)
    >>> len(axis), axis[[0, -1]].round(1).tolist()  # the loss is the square of the weight
    (51, [-6.0, 2.0])
    """
    check_kind("reach", "objective", objective=objective)
    check_number("reach", "a number > 1", "Use rise=10.0.", above=1, rise=rise)
    num_axes = _count_axes("reach", objective, directions)
    vectors, start, _ = plane_of("reach", objective, directions, origin, (), num_axes)
    check_directions("reach", vectors, start, num_axes, objective.size)
    numbers = as_numbers_of_points("reach", num_points, num_axes)
    begin = np.zeros(num_axes)
    if directions is None and origin is None:  # the coordinate is the weight
        begin = objective.point().astype("float64")
    ways = Ways(objective, vectors, start, begin)
    ends = ways.ends(float(rise))
    low, high = begin - ends[1::2], begin + ends[::2]
    return tuple(np.linspace(a, b, n) for a, b, n in zip(low, high, numbers, strict=True))


def usual_coordinates(objective, directions, origin):
    """What `evaluate` takes where it is given no coordinates; arguments as there."""
    num_axes = _count_axes("evaluate", objective, directions)
    numbers = USUAL[num_axes]
    extents = getattr(directions, "details", {}).get("extents")
    if extents is not None:
        vectors, start, _ = plane_of("evaluate", objective, directions, origin, (), num_axes)
        check_directions("evaluate", vectors, start, num_axes, objective.size)
        return _around(objective, vectors, start, np.asarray(extents, "float64").T, numbers)
    if directions is None and num_axes == 1:
        period, _ = objective.period_and_unit(0)
        if period is not None:
            return (np.linspace(-period / 2, period / 2, numbers[0]),)
    return reach(objective, directions, origin=origin, num_points=numbers)


def _around(objective, directions, origin, ends, numbers):
    """Around the path that orthonormal directions are of, and on where the lowest point is outside.

    Args:
        objective: An `Objective`.
        directions: Array of shape `(K, P)`.
        origin: Array of shape `(P,)`.
        ends: Array of shape `(2, K)`: the least and the greatest inner product of the path's rows
            with each direction.
        numbers: Number of points along each axis.
    """
    num_axes = len(directions)
    inside = Trajectory([0, 1], ends - directions @ origin, [np.nan, np.nan])
    axes = span(inside, np.eye(num_axes), np.zeros(num_axes), num_points=COARSE, reach=np.inf)
    low, high = (np.array([axis[k] for axis in axes]) for k in (0, -1))
    for _ in range(MOST_WIDER):
        coarse = [np.linspace(*ends, COARSE) for ends in zip(low, high, strict=True)]
        points = np.stack(np.meshgrid(*coarse, indexing="ij"), axis=-1)
        losses = np.asarray(objective.along(points, directions, origin), "float64")
        losses = np.where(np.isfinite(losses), losses, np.inf)
        lowest = np.array(np.unravel_index(np.argmin(losses), losses.shape))
        below, above = lowest == 0, lowest == COARSE - 1
        if not np.any(below | above):
            break
        more = WIDER * (high - low)
        low, high = low - more * below, high + more * above
    return tuple(np.linspace(a, b, n) for a, b, n in zip(low, high, numbers, strict=True))


class Ways:
    """The ways from a point along each direction, there and back: 2 K of them.

    Args:
        objective: An `Objective`.
        directions: Array of shape `(K, P)`.
        origin: Array of shape `(P,)`.
        begin: Coordinates `(K,)` of where the ways begin.
    """

    def __init__(self, objective, directions, origin, begin):
        self._objective, self._directions, self._origin = objective, directions, origin
        self._begin = begin
        axes = np.eye(len(directions))
        self._steps = np.stack([axes, -axes], axis=1).reshape(-1, len(directions))
        lengths = np.linalg.norm(directions, axis=1)
        norm = max(float(np.linalg.norm(origin + begin @ directions)), 1.0)
        periods = [declared_of(objective, direction)[0] for direction in directions]
        bounds = FARTHEST * norm / lengths
        bounds = [b if p is None else min(p / 2, b) for b, p in zip(bounds, periods, strict=True)]
        self._norms, self._bounds = np.repeat(norm / lengths, 2), np.repeat(bounds, 2)

    def losses(self, distances):
        """The loss at a distance `(2 K,)` on each way; always as many points, for one program."""
        rows = self._begin + np.asarray(distances)[:, None] * self._steps
        found = self._objective.along(rows, self._directions, self._origin)
        return np.asarray(found, "float64")

    def ends(self, rise):
        """The distance `(2 K,)` on each way where the loss has risen, or the bound."""
        top = self._top(rise)
        safe, ends = np.zeros(len(self._bounds)), self._bounds * FIRST
        risen = self._has_risen(ends, top)
        while not np.all(risen | (ends >= self._bounds)):
            goes_on = ~risen & (ends < self._bounds)
            safe = np.where(goes_on, ends, safe)
            ends = np.where(goes_on, np.minimum(2 * ends, self._bounds), ends)
            risen |= goes_on & self._has_risen(ends, top)
        least = self._bounds * LEAST
        while np.any(wide := risen & (ends - safe > TOLERANCE * ends) & (ends > least)):
            middle = np.where(wide, (safe + ends) / 2, ends)
            above = self._has_risen(middle, top)
            ends = np.where(wide & above, middle, ends)
            safe = np.where(wide & ~above, middle, safe)
        return ends

    def _has_risen(self, distances, top):
        losses = self.losses(distances)
        return ~np.isfinite(losses) | (losses >= top)

    def _top(self, rise):
        """The loss that is high enough, as `reach` says."""
        here = float(self.losses(np.zeros(len(self._bounds)))[0])
        if not math.isfinite(here):
            raise refusal(
                "reach",
                "a finite loss at the origin",
                f"a loss of {here}",
                "Give an `origin` where the loss is a number.",
            )
        changes = np.abs(self.losses(np.minimum(self._norms, self._bounds)) - here)
        changes = changes[np.isfinite(changes)]
        usual = float(np.median(changes)) if changes.size else 0.0
        least = max(abs(here), SMALL * usual)
        # Of a loss that is 0 all over, nothing has risen.
        return here + (rise - 1) * least if least else math.nextafter(here, math.inf)


def _count_axes(owner, objective, directions):
    """One or two, or an error."""
    size = objective.size
    vectors = getattr(directions, "vectors", directions)
    shape = (size, size)  # of the weights themselves
    if directions is not None:
        shape = np.atleast_2d(as_numbers(owner, directions=vectors)).shape
    if len(shape) != 2 or shape[0] not in (1, 2) or shape[1] != size:
        raise refusal(
            owner,
            f"one or two `directions` of {size} numbers each",
            "directions=None" if directions is None else f"directions of shape {shape}",
            "Use `keras_valleys.directions.random(objective)`.",
        )
    return shape[0]
