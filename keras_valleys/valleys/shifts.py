"""How far the floors of two surfaces of one plane are apart, such as of train and test loss."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_valleys._checks import as_list, check_kind, is_kind, refusal
from keras_valleys._results import Result, counted, frozen, place_text
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import TrajectoryLike, as_trajectory, measured, project
from keras_valleys.valleys.axes import axes_of
from keras_valleys.valleys.between_samples import Patches
from keras_valleys.valleys.finding import find_valleys
from keras_valleys.valleys.valley import BORDER, Valleys

NEWTON = 40  # steps, at most
STILL = 1e-10  # of a sample
ROOM = 1.0  # samples by which a floor may lie beside the lowest one


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Shift(Result):
    """Two floors on one line or plane, and what the way between them costs.

    All losses are of the slice, but `gaps` where `gap_kind` says "true".

    Attributes:
        a_position: Coordinates of the floor of `a`, of its lowest valley, shape `(K,)`.
        b_position: The same of `b`.
        a_loss: Loss of `a` at its own floor.
        b_loss: Loss of `b` at its own floor.
        a_at_b: Loss of `a` at the floor of `b`; NaN where `a` was not sampled there.
        b_at_a: Loss of `b` at the floor of `a`; NaN likewise.
        offset: `b_position - a_position`, on axes with a period the shorter way, shape `(K,)`.
        distance: Euclidean distance of the floors in weight space.
        on_border: Whether the floor of `a`, and that of `b`, is only the lowest point of a border.
        steps: The steps of the path, shape `(T,)`.
        gaps: Loss of `b` minus loss of `a` along the path, shape `(T,)`; NaN where not known.
        gap_kind: "slice", at the nearest points of the plane; "true", at the weights themselves,
            in evaluation mode; "" without a path.
    """

    a_position: np.ndarray
    b_position: np.ndarray
    a_loss: float
    b_loss: float
    a_at_b: float
    b_at_a: float
    offset: np.ndarray
    distance: float
    on_border: tuple[bool, bool]
    steps: np.ndarray
    gaps: np.ndarray
    gap_kind: str = ""

    def __post_init__(self):
        for name in ("a_position", "b_position", "offset", "steps", "gaps"):
            self._set(**{name: frozen(getattr(self, name))})

    @property
    def a_cost(self) -> float:
        """How much higher `a` is at the floor of `b` than at its own."""
        return self.a_at_b - self.a_loss

    @property
    def b_cost(self) -> float:
        """How much higher `b` is at the floor of `a` than at its own."""
        return self.b_at_a - self.b_loss

    def _in_short(self) -> str:
        ends = " and ".join(
            f"{place_text(place)}{f' ({BORDER})' * border}"
            for place, border in zip(
                (self.a_position.tolist(), self.b_position.tolist()), self.on_border, strict=True
            )
        )
        path = ""
        if len(self.gaps):
            rows = counted(len(self.gaps), "row")
            path = f", {self.gap_kind} gap {self.gaps[-1]:.4g} at the end of {rows}"
        return (
            f"floors at {ends}, {self.distance:.4g} apart in weight space; b is {self.b_cost:.4g} "
            f"higher at that of a, a {self.a_cost:.4g} at that of b{path}"
        )


def shift(
    a: Surface | Valleys,
    b: Surface | Valleys,
    trajectory: TrajectoryLike | None = None,
    *,
    objectives: Sequence[Objective] | None = None,
) -> Shift:
    """How far the floors of two surfaces of one line or plane are apart, and what that costs.

    Say `a` is the training loss and `b` that of other data: at the floor of `a`, where training
    leads, `b` is `b_cost` higher than it could be on this plane. A floor is that of the lowest
    valley, located between the samples: on the objectives as `find_valleys` does it, or else on the
    smooth surface through the six samples around, at most one sample from the lowest. Of a loss
    with kinks the latter is as good as the grid.

    Args:
        a: A `keras_valleys.surfaces.Surface`, or its `Valleys`, whose lowest one counts.
        b: Another on the same line or plane; its grid may be another one.
        trajectory: A `keras_valleys.trajectories.Trajectory` over the same weights, or the recorder
            that has it, along which the gap `b` minus `a` is told.
        objectives: The `keras_valleys.objectives.Objective` of `a` and that of `b`. With them the
            floors and losses are measured, and the gaps are those at the path's weights and
            statistics, not at its nearest points of the plane.

    Returns:
        A `Shift`.

    Raises:
        ValueError: Not two surfaces of the same directions and origin, one that is nowhere finite,
            or objectives or a path over other weights.

    Example:

    >>> x, y = np.linspace(-2, 3, 51), np.linspace(-1, 3, 41)
    >>> a, b = (
    ...     keras_valleys.surfaces.Surface(
    ...         (x[:, None] - at) ** 2 + 2 * y**2, (x, y), np.diag([1.0, 5.0]), np.zeros(2)
    ...     )
    ...     for at in (0.03, 1.04)
    ... )
    >>> found = keras_valleys.valleys.shift(a, b)
    >>> round(found.distance, 4), round(found.b_cost, 4)
    (1.01, 1.0201)
    """
    pair: list[Any] = [getattr(one, "surface", one) for one in (a, b)]
    for name, surface in zip("ab", pair, strict=True):
        check_kind("shift", "surface", **{name: surface})
    _check_same_plane(*pair)
    asked = [None, None] if objectives is None else _pair_of(objectives, pair[0])
    functions = [_function(*each) for each in zip(pair, asked, strict=True)]
    floors = [_floor(one, *rest) for one, *rest in zip((a, b), pair, asked, functions, strict=True)]
    (place_a, border_a), (place_b, border_b) = floors
    at_a, at_b = ([float(f(place[None])[0]) for f in functions] for place in (place_a, place_b))
    offset = _shortest(place_b - place_a, pair[0])
    way = offset @ np.asarray(pair[0].directions, "float64")
    steps, gaps, kind = _gaps(trajectory, pair, asked, functions)
    return Shift(
        place_a,
        place_b,
        at_a[0],
        at_b[1],
        at_b[0],
        at_a[1],
        offset,
        float(np.linalg.norm(way)),
        (border_a, border_b),
        steps,
        gaps,
        kind,
    )


def _floor(given, surface, objective, function):
    """Where the lowest floor is, and whether that is only the lowest point of a border."""
    valleys = given if is_kind("valleys", given) else find_valleys(surface, objective=objective)
    if not len(valleys):
        raise refusal(
            "shift", "finite losses", "a surface that is nowhere finite", "Give another range."
        )
    lowest = valleys[0]
    place = np.array(lowest.position)
    if lowest.on_border or objective is not None:
        return place, bool(lowest.on_border)
    return function.lowest_near(place), False


class _Between:
    """The smooth surface through the samples, as a function of coordinates `(n, K)`."""

    def __init__(self, surface):
        axes = axes_of(surface)
        losses = surface.losses[tuple(slice(len(axis.nodes)) for axis in axes)].astype("float64")
        losses = np.where(np.isfinite(losses), losses, np.nan)
        if len(axes) == 1:  # a plane that is the same all along its other axis
            flat = dataclasses.replace(
                axes[0], nodes=np.arange(2.0), stop=1.0, period=None, joined=False
            )
            axes, losses = (*axes, flat), np.stack([losses, losses], axis=1)
        self._axes, self._patches = axes, Patches(losses, axes)
        self._num_axes = surface.losses.ndim

    def __call__(self, points):
        found = np.full(len(points), np.nan)
        places, inside = self._places(points)
        if inside.any():
            found[inside] = self._patches.at(places[inside])[0]
        return found

    def lowest_near(self, point):
        """The lowest place within a sample of one, by Newton's way; itself where none is lower."""
        places, _ = self._places(point[None])
        start, place = places[0], places[0].copy()
        num = self._num_axes
        for _ in range(NEWTON):
            _, slope, second = (part[0] for part in self._patches.at(place[None]))
            curved = np.linalg.eigvalsh(second[:num, :num])
            if not np.all(np.isfinite(slope)) or not curved[0] > 0:
                return point
            step = np.zeros(2)
            step[:num] = np.linalg.solve(second[:num, :num], slope[:num])
            new = np.clip(place - step, start - ROOM, start + ROOM)
            new = self._within(new)
            moved, place = np.abs(new - place).max(), new
            if moved < STILL:
                break
        before, after = self._patches.at(np.stack([start, place]))[0]
        return self._coordinates(place)[:num] if after <= before else point

    def _places(self, points):
        """Places `(n, 2)` as `Patches` takes them, and whether they are among the samples."""
        points = np.asarray(points, "float64")
        if self._num_axes == 1:
            points = np.column_stack([points, np.zeros(len(points))])
        places, inside = np.empty(points.shape), np.ones(len(points), bool)
        for k, (axis, x) in enumerate(zip(self._axes, points.T, strict=True)):
            x = axis.wrap(x) if axis.joined else x
            nodes = np.append(axis.nodes, axis.stop) if axis.joined else axis.nodes
            inside &= (x >= nodes[0]) & (x <= nodes[-1]) & np.isfinite(x)
            places[:, k] = np.interp(x, nodes, np.arange(len(nodes)))
        return places, inside

    def _within(self, place):
        limits = [
            (-np.inf, np.inf) if axis.joined else (0.0, len(axis.nodes) - 1.0)
            for axis in self._axes
        ]
        return np.array([np.clip(c, *ends) for c, ends in zip(place, limits, strict=True)])

    def _coordinates(self, place):
        found = []
        for axis, c in zip(self._axes, place, strict=True):
            nodes = np.append(axis.nodes, axis.stop) if axis.joined else axis.nodes
            c = c % len(axis.nodes) if axis.joined else c
            found.append(np.interp(c, np.arange(len(nodes)), nodes))
        return np.array(found)


class _Measured:
    """The objective as a function of coordinates `(n, K)`."""

    def __init__(self, surface, objective):
        self._plane, self._objective = (surface.directions, surface.origin), objective

    def __call__(self, points):
        return np.asarray(self._objective.along(points, *self._plane), "float64")


def _function(surface, objective):
    return _Between(surface) if objective is None else _Measured(surface, objective)


def _gaps(trajectory, surfaces, objectives, functions):
    """The steps of a path, `b` minus `a` at each, and of which kind these losses are."""
    if trajectory is None:
        return np.zeros(0, int), np.zeros(0), ""
    path = as_trajectory("shift", trajectory)
    if objectives[0] is not None:
        bare = dataclasses.replace(path, losses=np.full(len(path), np.nan), loss_kind="recorded")
        one, other = (measured(bare, objective).losses for objective in objectives)
        return path.steps, other - one, "true"
    points = project(path.weights, surfaces[0])
    return path.steps, functions[1](points) - functions[0](points), "slice"


def _shortest(offset, surface):
    """An offset, on axes with a period the shorter way round."""
    periods = [period or np.inf for period in surface.periods]
    turns = np.array(
        [
            np.round(x / p) * p if np.isfinite(p) else 0.0
            for x, p in zip(offset, periods, strict=True)
        ]
    )
    return offset - turns


def _pair_of(objectives, surface):
    pair = as_list(objectives)
    if len(pair) != 2:
        raise refusal(
            "shift", "two `objectives`, that of each surface", f"{len(pair)}", "Give (train, test)."
        )
    for one in pair:
        check_kind("shift", "objective", objectives=one)
        if one.size != surface.origin.size:
            raise refusal(
                "shift",
                "objectives over the weights of the surfaces",
                f"surfaces over {surface.origin.size} weights, an objective over {one.size}",
                "Give those that the surfaces were evaluated with.",
            )
    return pair


def _check_same_plane(a, b):
    shapes = (a.directions.shape, a.origin.shape), (b.directions.shape, b.origin.shape)
    if (
        shapes[0] != shapes[1]
        or not np.allclose(a.directions, b.directions)
        or not np.allclose(a.origin, b.origin)
        or a.periods != b.periods
    ):
        raise refusal(
            "shift",
            "two surfaces of the same directions, origin and periods",
            f"directions of shapes {shapes[0][0]} and {shapes[1][0]} that differ, or origins",
            "Evaluate both by `keras_valleys.surfaces.evaluate_all`.",
        )
