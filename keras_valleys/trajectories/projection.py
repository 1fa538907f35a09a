"""A trajectory beside a line or a plane: where it is, how far off, and what contains it."""

import dataclasses
import typing
import warnings
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import as_numbers, as_numbers_of_points, check_kind, is_finite, refusal
from keras_valleys._results import Result, counted, cut, frozen
from keras_valleys.trajectories.measuring import Loss, measured
from keras_valleys.trajectories.recorded import (
    Trajectories,
    TrajectoryLike,
    as_trajectories,
    as_trajectory,
)
from keras_valleys.trajectories.trajectory import blocks, first_finite

SHORTER = 0.6  # of the longer axis of a plane, at least, in weight space


class OnPlane(Protocol):
    """What lies on a line or a plane in weight space, as a `keras_valleys.surfaces.Surface`."""

    @property
    def origin(self) -> np.ndarray: ...

    @property
    def directions(self) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Plane:
    """An origin with an orthonormal basis `(rank, P)` and the way from it to coordinates."""

    origin: np.ndarray
    basis: np.ndarray
    to_coordinates: np.ndarray

    @classmethod
    def through(cls, origin, directions):
        """The plane of `directions (K, P)`; those that depend on others share the coordinates."""
        u, lengths, vt = np.linalg.svd(np.asarray(directions, "float64"), full_matrices=False)
        rank = int(np.sum(lengths > lengths[0] * np.finfo("float64").eps * max(np.shape(vt))))
        to_coordinates = u[:, :rank].T / lengths[:rank, None]
        return cls(np.asarray(origin, "float64"), vt[:rank], to_coordinates)

    def __call__(self, weights):
        """Orthonormal coordinates `(n, rank)` of weights, and what is left of them `(n, P)`."""
        away = weights - self.origin
        inside = away @ self.basis.T
        away -= inside @ self.basis
        return inside, away


def inside(weights, plane):
    """Orthonormal coordinates `(T, rank)`; NaN in rows that are not finite."""
    found = np.full((len(weights), len(plane.basis)), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # of weights beyond 1e150
        for rows, block in blocks(weights):
            found[rows], _ = plane(block)
    return found


def measure(weights, plane):
    """Where a path `(T, P)` lies.

    Returns:
        Orthonormal coordinates `(T, rank)`, the distances from the plane and from the first finite
        row `(T,)`, NaN in rows that are not finite, and the share of the variance in the plane.
    """
    within = np.full((len(weights), len(plane.basis)), np.nan)
    off, travelled = np.full((2, len(weights)), np.nan)
    start, total, count = first_finite(weights), 0.0, 0
    with np.errstate(over="ignore", invalid="ignore"):  # of weights beyond 1e150
        for rows, block in blocks(weights):
            within[rows], rest = plane(block)
            off[rows] = np.linalg.norm(rest, axis=1)
            block -= 0.0 if start is None else start
            travelled[rows] = np.linalg.norm(block, axis=1)
            total, count = total + block.sum(axis=0), count + len(rows)
        seen = within[~np.isnan(travelled)]
        explained = np.sum((seen - seen.mean(axis=0)) ** 2) if count else 0.0
        # About the start, which is a row itself: no more than a factor of T is canceled.
        variance = np.nansum(travelled**2) - np.sum(np.square(total)) / max(count, 1)
        share = float(min(explained / variance, 1.0)) if variance > 0 else np.nan
    return within, off, travelled, share


def near(inside, losses, start, reach):
    """Which rows `(T,)` of a path are no part of a run that blew up.

    Args:
        inside: Orthonormal coordinates `(T, rank)`, NaN in rows that are not finite.
        losses: Losses `(T,)`, NaN where unknown.
        start: The first finite weight vector.
        reach: How many times farther than the good rows a row may be.
    """
    finite = np.all(np.isfinite(inside), axis=1)
    if not finite.any() or np.isinf(reach):
        return finite
    length = np.linalg.norm(start)
    with np.errstate(over="ignore", invalid="ignore"):
        away = np.linalg.norm(inside - inside[finite][0], axis=1)
    known = losses[finite & np.isfinite(losses)]
    # Not better than the start: there the way back is no longer sought.
    good = away[finite & (losses <= known[0])].max(initial=0.0) if known.size else length
    first = away[finite][1:2].max(initial=0.0)
    return finite & (away <= (max(reach * good, length) or reach * first))


def axes_around(paths, directions, origin, *, num_points, margin, reach):
    """The coordinates of `keras_valleys.trajectories.span`."""
    directions, origin, paths = _checked(paths, directions, origin)
    numbers = as_numbers_of_points("span", num_points, len(directions))
    _check_numbers(margin, reach)
    plane = Plane.through(origin, directions)
    rows = [inside(path.weights, plane) for path in paths]
    parts = [
        part[near(part, path.losses, first_finite(path.weights), reach)]
        for part, path in zip(rows, paths, strict=True)
    ]
    finite = sum(int(np.all(np.isfinite(part), axis=1).sum()) for part in rows)
    kept = np.concatenate(parts)
    if len(kept) < finite:
        warnings.warn(
            f"`span` leaves out {finite - len(kept)} of {finite} rows, of runs that blew up. "
            "Use reach=numpy.inf for a range that contains them.",
            RuntimeWarning,
            stacklevel=3,
        )
    lengths = np.linalg.norm(directions, axis=1)
    return _with_room(kept @ plane.to_coordinates, lengths, numbers, margin)


def _with_room(coordinates, lengths, numbers, margin):
    """One rising array per column; one that does not move gets the extent of the other.

    And none is a strip: the shorter one is widened on both sides to `SHORTER` of the longer.
    """
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    extents = (high - low) * lengths
    rounding = 1e-6 * np.abs(coordinates * lengths).max(axis=0)  # of weights in float32
    still = (extents <= rounding) | (extents <= 1e-6 * extents.max())
    longest = extents[~still].max(initial=0.0)
    own = longest / lengths if longest else np.full_like(lengths, 2.0)
    room = np.where(still, own / 2, margin * (high - low))
    low, high = low - room, high + room
    wanted = SHORTER * ((high - low) * lengths).max() / lengths
    more = np.maximum(wanted - (high - low), 0) / 2
    low, high = low - more, high + more
    return tuple(np.linspace(a, b, n) for a, b, n in zip(low, high, numbers, strict=True))


def _checked(paths, directions, origin):
    """Directions `(K, P)`, an origin `(P,)`, and the paths with a finite row."""
    sizes = sorted({path.weights.shape[1] for path in paths})
    paths = [path for path in paths if first_finite(path.weights) is not None]
    if len(sizes) != 1 or not paths:
        raise refusal(
            "span",
            "trajectories over the same weights, one of them with a finite row",
            f"{len(paths)} with one, over {sizes} weights",
            "Leave out the others.",
        )
    if directions is None:
        directions, origin = np.eye(*sizes), np.zeros(sizes) if origin is None else origin
    origin = getattr(directions, "origin", None) if origin is None else origin
    origin = first_finite(paths[-1].weights[::-1]) if origin is None else origin
    origin = as_numbers("span", origin=origin)
    directions = np.atleast_2d(as_numbers("span", directions=directions))
    _check_plane(directions, origin, *sizes)
    return directions, origin, paths


def _check_plane(directions, origin, size):
    if len(directions) not in (1, 2) or {directions.shape[1:], origin.shape} != {(size,)}:
        raise refusal(
            "span",
            f"one or two directions and an origin of {size} weights, as the trajectories have",
            f"directions of shape {directions.shape}, origin of shape {origin.shape}",
            f"Give directions of shape (K, {size}).",
        )
    finite = np.all(np.isfinite(directions)) and np.all(np.isfinite(origin))
    if not finite or np.any(~np.any(directions, axis=1)):
        raise refusal(
            "span",
            "directions that lead somewhere",
            "one of zeros, or numbers that are not finite",
            "Give each axis a nonzero direction.",
        )


def _check_numbers(margin, reach):
    known = is_finite(reach) or (isinstance(reach, float) and reach == np.inf)
    if not (is_finite(margin) and margin >= 0 and known and reach > 0):
        raise refusal(
            "span",
            "`margin` to be >= 0 and `reach` to be > 0",
            {"margin": margin, "reach": reach},
            "Use margin=0.2, reach=10.0.",
        )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Projection(Result):
    """A trajectory beside a line or a plane, and how true the picture of it there is.

    Attributes:
        steps: Array of shape `(T,)`: the number of updates before each row.
        coordinates: Array of shape `(T, K)`: the nearest point on the line or plane; NaN where
            the weights are not finite.
        distances: Array of shape `(T,)`: the Euclidean distance from it in weight space.
        travelled: Array of shape `(T,)`: the Euclidean distance from the first finite row.
        losses: Array of shape `(T,)`: the losses of the rows, of the kind of `loss_kind`; NaN
            where unknown.
        plane_losses: Array of shape `(T,)`: the losses at the nearest points; NaN where unknown.
        explained_variance: Share, 0 to 1, of the variance of the finite rows about their mean
            that lies in the line or plane; NaN for a path that does not move.
        num_diverged: Number of rows whose weights or loss are not finite.
        num_weights: P.
        label: Name of the run.
        loss_kind: "true" or "recorded", as of a `Trajectory`: recorded losses are of single batches
            in training mode, and not to be compared with those on the plane.
        loss_source: Where `losses` came from, in words.
        plane_source: With which statistics `plane_losses`, the slice, were evaluated, in words; ""
            without an objective, and for a model without statistics.
        no_steps: Those of `steps` to whose rows no step led, as of a `Trajectory`.
    """

    steps: np.ndarray
    coordinates: np.ndarray
    distances: np.ndarray
    travelled: np.ndarray
    losses: np.ndarray
    plane_losses: np.ndarray
    explained_variance: float
    num_diverged: int
    num_weights: int
    label: str = ""
    loss_kind: str = "recorded"
    loss_source: str = ""
    plane_source: str = ""
    no_steps: np.ndarray = typing.cast("np.ndarray", ())

    def __post_init__(self):
        self._set(no_steps=frozen(self.no_steps, "int64"))
        for name in ("steps", "coordinates", "distances", "travelled", "losses", "plane_losses"):
            self._set(**{name: frozen(getattr(self, name))})

    def _in_short(self) -> str:
        rows, axes = self.coordinates.shape
        where = "a plane" if axes == 2 else "a line"
        facts = [f"{counted(rows, 'row')} of {counted(self.num_weights, 'weight')} on {where}"]
        if not np.isnan(self.explained_variance):
            facts.append(f"{100 * self.explained_variance:.3g} % of the variance in it")
        if self.label:
            facts.append(f"label={cut(self.label)!r}")
        return ", ".join(facts)


def on_surface(
    trajectory: TrajectoryLike, surface: OnPlane, objective: Loss | None = None
) -> Projection:
    """The path on a surface, and how far it is from being there.

    Args:
        trajectory: A `Trajectory` over P weights, or the recorder that has it; it is read in
            blocks.
        surface: A `keras_valleys.surfaces.Surface` over the same weights.
        objective: The surface's `keras_valleys.objectives.Objective`. It measures the losses on
            the plane, and as `measured` does the true ones of the path, in place of what was
            recorded. `None` measures nothing.

    Returns:
        A `Projection`. Without an objective an unknown loss (NaN) does not count as diverged.

    Raises:
        ValueError: The trajectory or the objective has another number of weights.

    Example:

    >>> line = keras_valleys.surfaces.Surface(np.zeros(2), [[0, 1]], [[2.0, 0.0]], np.zeros(2))
    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0, 1], [6, 9]], [3.0, 2.0])
    >>> found = keras_valleys.trajectories.on_surface(path, line)
    >>> found.coordinates[:, 0], found.distances, round(found.explained_variance, 2)
    (array([0., 3.]), array([1., 9.]), 0.36)
    """
    path = as_trajectory("on_surface", trajectory)
    _check_on_plane("on_surface", surface)
    if objective is not None:
        check_kind("on_surface", "objective", objective=objective)
    weights, size = path.weights, surface.origin.size
    _check_size("on_surface", weights, size)
    if objective is not None and objective.size != size:
        raise refusal(
            "on_surface",
            f"an objective over the surface's {size} weights",
            f"one over {objective.size}",
            "Use the one that the surface came from.",
        )
    plane = Plane.through(surface.origin, surface.directions)
    inside, distances, travelled, share = measure(weights, plane)
    coordinates = inside @ plane.to_coordinates
    finite = ~np.isnan(travelled)
    if objective is not None:
        path = _completed(path, objective)
    losses = path.losses.astype("float64")
    plane_losses, diverged = np.full(len(losses), np.nan), ~finite | np.isinf(losses)
    if objective is not None and finite.any():
        feet = coordinates[finite]
        plane_losses[finite] = objective.along(feet, surface.directions, surface.origin)
        diverged |= ~np.isfinite(losses)
    return Projection(
        path.steps,
        coordinates,
        distances,
        travelled,
        losses,
        plane_losses,
        share,
        int(diverged.sum()),
        size,
        path.label,
        path.loss_kind,
        path.loss_source,
        "" if objective is None else getattr(objective, "statistics_sentence", ""),
        path.no_steps,
    )


def _completed(trajectory, objective):
    """A path with the true loss at each row; those that it has stay."""
    if trajectory.loss_kind == "true" and not np.isnan(trajectory.losses).any():
        return trajectory
    found = measured(trajectory, objective)
    if trajectory.loss_kind == "true":
        known = ~np.isnan(trajectory.losses)
        found = dataclasses.replace(found, losses=np.where(known, trajectory.losses, found.losses))
    return found


def project(weights: ArrayLike, surface: OnPlane) -> np.ndarray:
    """Least-squares coordinates of weight vectors on a surface.

    The coordinates `c` that minimize `|origin + c @ directions - weights|`, also right for
    directions that are not orthonormal.

    Args:
        weights: Array of shape `(..., P)`.
        surface: A `keras_valleys.surfaces.Surface` over the same P weights.

    Returns:
        float64 array of shape `(..., K)`, in units of the surface's coordinates.

    Raises:
        ValueError: The weights have another size than the surface's.

    Example:

    >>> plane = keras_valleys.surfaces.Surface(
    ...     np.zeros((2, 3)), ([0, 1], [0, 1, 2]), np.eye(2, 3), np.zeros(3)
    ... )
    >>> keras_valleys.trajectories.project([4.0, 5.0, 6.0], plane)
    array([4., 5.])
    """
    _check_on_plane("project", surface)
    weights = as_numbers("project", weights=weights)
    _check_size("project", weights, surface.origin.size)
    plane = Plane.through(surface.origin, surface.directions)
    with np.errstate(over="ignore", invalid="ignore"):  # of weights that diverged
        return (weights - plane.origin) @ plane.basis.T @ plane.to_coordinates


def _check_on_plane(owner, surface):
    """Refuse what has no place in weight space; what is placed need not have losses."""
    if not (hasattr(surface, "origin") and hasattr(surface, "directions")):
        check_kind(owner, "surface", surface=surface)


def _check_size(name, weights, size):
    if weights.shape[-1:] != (size,):
        raise refusal(
            name,
            f"weight vectors of the surface's size {size}",
            f"{weights.shape[-1]} weights" if weights.ndim else "a single number",
            "Record all trainable weights, or evaluate the surface over the recorded ones.",
        )


def span(
    trajectories: Trajectories,
    directions: ArrayLike | None = None,
    origin: ArrayLike | None = None,
    *,
    num_points: int | Sequence[int] = (51, 41),
    margin: float = 0.2,
    reach: float = 10.0,
) -> tuple[np.ndarray, ...]:
    """Coordinates of a line or a plane that contains trajectories.

    They are what `keras_valleys.surfaces.evaluate` takes, with the same directions and origin. An
    axis along which no path moves gets the length, in weight space, of the other, or 1 each way;
    one along which they move little is widened on both sides to 0.6 of the longer one.

    Rows that are not finite do not count, nor do those where a run blew up: farther from its start
    than `reach` times the farthest row that was no worse than the start (without losses: than the
    start is from zero). One warning says how many.

    Args:
        trajectories: A `Trajectory`, or the recorder that has it, or a list of them.
        directions: Array of shape `(K, P)` with K = 1 or 2, or what `numpy.asarray` makes one of.
            `None` takes the weights themselves, for models of one or two weights.
        origin: Weight vector of shape `(P,)`. `None` is that of the `Directions`, such as the first
            of the points that `between` was given, or else the last finite row of the last
            trajectory, the model's weights after that fit; where `directions` is `None` as well,
            it is 0.
        num_points: Number of points per axis, or an int for each; a line takes the first.
        margin: Room on each side, relative to the extent of the paths.
        reach: See above; `numpy.inf` keeps all finite rows.

    Returns:
        Tuple of K rising arrays.

    Raises:
        ValueError: No finite row, shapes that do not belong together, or numbers out of range.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0, 1], [6, 9]], [3.0, 2.0])
    >>> x, y = keras_valleys.trajectories.span(path, margin=0.5)
    >>> [float(value) for value in (x[0], x[-1], y[0], y[-1])]
    [-3.0, 9.0, -3.0, 13.0]
    """
    paths = as_trajectories("span", trajectories)
    return axes_around(paths, directions, origin, num_points=num_points, margin=margin, reach=reach)
