"""The loss, sampled on a line or a plane in weight space."""

import dataclasses
import importlib
import math
import os
import typing
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._backend import backend_version
from keras_valleys._checks import (
    as_axes,
    as_labels,
    as_measured,
    as_plain_dict,
    check_kind,
    is_rising,
    refusal,
)
from keras_valleys._fingerprints import digest_of
from keras_valleys._progress import Checkpoint, check_verbose
from keras_valleys._results import AS_JSON, Result, Saved, cut, frozen, grid_text, place_text
from keras_valleys.objectives import Objective
from keras_valleys.surfaces.executors import check_executor
from keras_valleys.surfaces.planes import check_directions, declared_of, plane_of
from keras_valleys.surfaces.reaching import usual_coordinates
from keras_valleys.surfaces.refining import MOST, check_tolerance, refine_curve
from keras_valleys.surfaces.sampling import Sampler
from keras_valleys.surfaces.statistics import note_on, said_of_statistics
from keras_valleys.surfaces.units import Periods, Units, as_periods, as_units, of_version_0_1

DEPENDS = "model, weights, data, coordinates, directions, origin and refine"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Surface(Result, Saved, kind="surface"):
    """Losses on a grid of one or two axes in weight space.

    `losses[i, j]` is the loss at the weights
    `origin + coordinates[0][i] * directions[0] + coordinates[1][j] * directions[1]`.
    They are the slice: where a path beside the surface is drawn on it, it has losses of its own.
    Losses that are not finite stay as they are.

    Args:
        losses: Array of shape `(n_1,)` or `(n_1, n_2)`.
        coordinates: One rising array per axis, of lengths `n_1` (and `n_2`).
        directions: Array of shape `(K, P)`, K the number of axes.
        origin: Weight vector of shape `(P,)`.
        labels: One name per axis.
        loss_name: Name of the loss.
        details: Dictionary that says how the losses were found, of what JSON can hold.
        periods: One number per axis, after which the loss comes back to itself, or `None`: pi for
            the angle of a line. A single number for a single axis.
        units: One text per axis, "" for a plain number. "rad" is an angle, printed in degrees.

    Raises:
        ValueError: The shapes do not belong together, losses, coordinates, directions or origin are
            no real numbers, coordinates do not rise, JSON cannot hold the details, or periods or
            units are none.

    Example:

    >>> phi = np.linspace(-1.5, 1.5, 301)
    >>> surface = keras_valleys.surfaces.Surface(
    ...     np.sin(phi) ** 2, [phi], [[1.0]], [0.0], ["phi"], periods=np.pi, units="rad"
    ... )
    >>> round(np.degrees(surface.periods[0]))
    180
    """

    losses: np.ndarray
    coordinates: tuple[np.ndarray, ...]
    directions: np.ndarray
    origin: np.ndarray
    labels: tuple[str, ...] = ()
    loss_name: str = "loss"
    details: dict[str, Any] = dataclasses.field(default_factory=dict, metadata=AS_JSON)
    periods: tuple[float | None, ...] = dataclasses.field(default=(), metadata=AS_JSON)
    units: tuple[str, ...] = ()

    if typing.TYPE_CHECKING:  # it takes what these can be made of

        def __init__(
            self,
            losses: ArrayLike,
            coordinates: ArrayLike | Sequence[ArrayLike],
            directions: ArrayLike,
            origin: ArrayLike,
            labels: Sequence[str] | str = (),
            loss_name: str = "loss",
            details: dict[str, Any] = ...,
            periods: Periods = None,
            units: Units = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        axes = tuple(map(frozen, as_coordinates(self.coordinates)))
        names = ("losses", "directions", "origin")
        measured = (as_measured("Surface", **{name: getattr(self, name)}) for name in names)
        losses, directions, origin = map(frozen, measured)
        labels = as_labels("Surface", self.labels)
        labels = labels or tuple(f"direction {k + 1}" for k in range(len(axes)))
        if (
            len(axes) not in (1, 2)
            or losses.shape != tuple(map(len, axes))
            or directions.shape != (len(axes), origin.size)
            or origin.ndim != 1
            or len(labels) != len(axes)
        ):
            raise refusal(
                "Surface",
                "K axes, 1 or 2: losses (n_1, ..., n_K), K coordinate arrays, directions (K, P), "
                "origin (P,), K labels",
                f"losses {losses.shape}, coordinates {[len(axis) for axis in axes]}, directions "
                f"{directions.shape}, origin {origin.shape}, labels {labels}",
                "Make the shapes agree.",
            )
        details = as_plain_dict("Surface", details=self.details)
        self._set(losses=losses, coordinates=axes, directions=directions, origin=origin)
        self._set(labels=labels, loss_name=str(self.loss_name), details=details)
        periods = as_periods("Surface", self.periods, len(axes))
        self._set(periods=periods, units=as_units("Surface", self.units, len(axes)))

    @property
    def statistics_sentence(self) -> str:
        """With which statistics, such as BatchNormalization's, it was evaluated; "" for none."""
        said = self.details.get("statistics")
        return str(said.get("sentence", "")) if isinstance(said, dict) else ""

    @classmethod
    def _completed(cls, fields):
        """In files of version 0.1 an axis labeled "phi" is the angle of a line."""
        if ("units" in fields) != ("periods" in fields):
            raise KeyError("periods and units, of which one is missing")
        return fields if "units" in fields else {**fields, **of_version_0_1(fields["labels"])}

    def _in_short(self) -> str:
        points = grid_text(self.coordinates, self.labels, "point")
        finite, lowest = np.isfinite(self.losses), "nowhere finite"
        if finite.any():
            flat = np.argmin(np.where(finite, self.losses, np.inf))
            where = np.unravel_index(flat, finite.shape)
            place = [axis[i] for axis, i in zip(self.coordinates, where, strict=True)]
            lowest = f"lowest {self.losses[where]:.4g} at {place_text(place)}"
        return f"{points}, loss {cut(self.loss_name)!r}, {lowest}"


def evaluate(
    objective: Objective,
    directions: ArrayLike | None = None,
    *,
    coordinates: ArrayLike | Sequence[ArrayLike] | None = None,
    origin: ArrayLike | None = None,
    labels: Sequence[str] | str | None = None,
    periods: Periods = None,
    units: Units = None,
    verbose: int | str = "auto",
    checkpoint: str | os.PathLike | None = None,
    executor: Executor | None = None,
    refine: float | None = None,
) -> Surface:
    """Sample the loss on a line or a plane in weight space, in few compiled calls.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        directions: Array of shape `(K, P)` with K = 1 or 2, or `(P,)` for one axis, or the
            `Directions` that a function of `keras_valleys.directions` returned. `None` takes
            the weights themselves as axes, for models of one or two weights: the coordinate is
            then the weight.
        coordinates: One rising 1-D array per axis; a single array for one axis. In units of the
            directions' lengths. `None` takes 51 x 41 points, or 201 of a line: for `principal`
            directions around their path, without strips and further where the surface still falls
            at the border; a whole period of a weight that has one; else as far as `reach` says.
        origin: Weight vector of shape `(P,)` where all coordinates are 0. `None` is that of the
            `Directions`, such as the first of the points that `between` was given, or else the
            model's present weights; where `directions` is `None` as well, it is 0.
        labels: One name per axis. `None` takes the names of the weights or of the directions, or
            "direction 1", "direction 2".
        periods: One number or `None` per axis, in units of the coordinate: after it the loss comes
            back to itself. `None` takes what the layers declare of the weights that are axes, see
            `keras_valleys.objectives.Objective`; directions that mix weights have none. `()`
            declares none.
        units: One text per axis, "rad" for an angle in radians; `None` and `()` as for `periods`.
        verbose: 0 for silence, 1 for a progress bar, "auto" for one where more than two seconds of
            work are left once the first points are computed. With the bar it is said where
            statistics are held away from the weights that they belong to.
        checkpoint: Path of a file that keeps the finished losses. Called again with the same
            arguments after it was killed, `evaluate` goes on from there, with the same result. The
            file stays when the surface is complete, and a call that finds it computes nothing. The
            losses of a data set that is streamed come in one call, and are kept at its end.
        executor: A `concurrent.futures.Executor` that computes parts of the points, each with a
            copy of the model and its data: `ProcessPoolExecutor(4,
            multiprocessing.get_context("spawn"))`, because TensorFlow and JAX do not survive a
            fork; for Dask `client.get_executor()`; for MPI mpi4py's `MPIPoolExecutor()`. What is
            lost with a worker is computed here, with a warning.
        refine: Tolerance, in units of the coordinate, for a curve: points are added where it bends
            and around minima and maxima, until these are known to the tolerance, or as well as
            the rounding of the losses allows; at most 50 points for each one given. Much narrower
            valleys than the grid are found where they bend the curve at the grid's points. `None`
            adds none.

    Returns:
        A `Surface`. Its `details` name the data, versions and directions, "num_points", and for a
        model with statistics, such as BatchNormalization's, with which it was evaluated, and which
        points need not have had these: the ends of a line to another network.

    Raises:
        ValueError: Shapes that do not belong together, coordinates that do not rise, a zero
            direction, numbers that are not finite, a checkpoint of something else, an `executor`
            that takes no work, an objective that cannot be pickled for it, another argument outside
            its range.
        OSError: The checkpoint cannot be written.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> model.compile(loss=keras_valleys.losses.RootError())
    >>> (x, y), _ = keras_valleys.datasets.rosette()
    >>> objective = keras_valleys.objectives.Objective(model, x, y)
    >>> phi = np.linspace(-1.5, 1.5, 61)
    >>> surface = keras_valleys.surfaces.evaluate(objective, coordinates=phi, refine=1e-4)
    >>> [round(np.degrees(v.position[0])) for v in keras_valleys.valleys.find_valleys(surface)]
    [0, 36, -36, -72, 72]
    """
    check_kind("evaluate", "objective", objective=objective)
    if coordinates is None:
        coordinates = usual_coordinates(objective, directions, origin)
    axes = as_coordinates(coordinates)
    check_verbose(verbose)
    check_executor(executor)
    check_tolerance(refine, len(axes))
    surface = unsampled("evaluate", objective, directions, axes, origin, labels, periods, units)
    vectors, start, details = surface.directions, surface.origin, dict(surface.details)
    identity = digest_of(objective, *axes, vectors, start, repr(refine)) if checkpoint else ""
    sampler = Sampler(
        objective,
        vectors,
        start,
        checkpoint=Checkpoint(checkpoint, identity, owner="evaluate", depends=DEPENDS),
        verbose=verbose,
        executor=executor,
        note=note_on(details.get("statistics", {})),
    )
    shape = surface.losses.shape

    def on_grid(indices):
        where = np.unravel_index(indices, shape)
        return np.stack([axis[i] for axis, i in zip(axes, where, strict=True)], axis=-1)

    losses = sampler(on_grid, math.prod(shape)).reshape(shape)
    if refine is not None:
        axes, losses, details["refine"] = _refined(sampler, axes, losses, refine)
    details["num_points"] = losses.size
    return dataclasses.replace(surface, losses=losses, coordinates=axes, details=details)


def unsampled(owner, objective, directions, axes, origin, labels, periods, units):
    """A surface without its losses, of what `evaluate` takes: what does not fit is told here."""
    kind = {"kind": "weights" if directions is None else "given"}
    details = _details(objective, getattr(directions, "details", kind))
    vectors, start, labels = plane_of(owner, objective, directions, origin, labels, len(axes))
    check_directions(owner, vectors, start, len(axes), objective.size)
    declared = [declared_of(objective, vector) for vector in vectors]
    said = said_of_statistics(objective, axes, vectors, start, details["directions"])
    if said:
        details["statistics"] = said
    return Surface(
        np.broadcast_to(0.0, tuple(map(len, axes))),
        axes,
        vectors,
        start,
        labels or (),
        objective.loss_name,
        details,
        [period for period, _ in declared] if periods is None else periods,
        [unit for _, unit in declared] if units is None else units,
    )


def _refined(sampler, axes, losses, tolerance):
    def sample(x):
        return sampler(lambda indices: x[indices, None], len(x))

    x, losses, levels, complete = refine_curve(sample, axes[0], losses, tolerance)
    if not complete:
        warnings.warn(
            f"`evaluate` stopped refining at {len(x)} points, before the tolerance {tolerance}: "
            f"more than {MOST} for each of the {len(axes[0])} given. The curve may be noise; give "
            "a larger `refine`, or more coordinates.",
            RuntimeWarning,
            stacklevel=3,
        )
    details = {"tolerance": float(tolerance), "start": len(axes[0]), "levels": levels}
    return (x,), losses, {**details, "complete": complete}


def _details(objective, directions):
    versions = {
        "keras_valleys": importlib.import_module("keras_valleys").__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "backend": backend_version(),
    }
    fingerprint = getattr(objective, "fingerprint", "")
    return {"data": fingerprint, "versions": versions, "directions": directions}


def as_coordinates(coordinates):
    """What a user gives as coordinates as a tuple of float64 arrays, or an error."""
    measured = (as_measured("A surface", coordinates=axis) for axis in as_axes(coordinates))
    axes = tuple(axis.astype("float64") for axis in measured)
    if not axes or not all(map(is_rising, axes)):
        raise refusal(
            "A surface",
            "`coordinates` to be one rising 1-D array of finite numbers per axis",
            {"coordinates": coordinates},
            "Use numpy.linspace(start, stop, n).",
        )
    return axes
