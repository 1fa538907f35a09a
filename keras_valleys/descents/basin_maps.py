"""Which start ends in which valley."""

import dataclasses
import math
import os
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import (
    as_axes,
    as_integers,
    as_labels,
    as_measured,
    check_kind,
    check_whole,
    is_rising,
    refusal,
)
from keras_valleys._optimizers import OptimizerLike, as_candidates
from keras_valleys._progress import check_verbose
from keras_valleys._results import Result, Saved, counted, frozen, grid_text
from keras_valleys.descents.walks import Ground, Walks, check_elementwise, checkpoint_of
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import project

DEPENDS = "model, weights, data, optimizers, coordinates, steps and learning rates"


class Territories(Protocol):
    """The valleys of a surface, as `keras_valleys.valleys.find_valleys` returns them."""

    @property
    def surface(self) -> Surface: ...

    def at(self, coordinates: ArrayLike) -> Any: ...


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class BasinMap(Result, Saved, kind="basin_map"):
    """Which start ends in which valley, for each optimizer.

    The starts are a grid of shape `(n_1,)` or `(n_1, n_2)`, written `*grid`; with learning rates
    it is `(L, *grid)`.

    Args:
        indices: Integer array of shape `(num_optimizers, *grid)`: the valley in whose basin the
            descent ended, at rest or not, -1 for none: it left the surface, or diverged.
        losses: Array of the same shape: the objective's losses at the final weights.
        ends: Array of shape `(num_optimizers, *grid, K)`: the final coordinates on the surface.
        distances: Array of the shape of `indices`: how far from the surface the final weights
            are, in weight space; about 0 for a surface of all weights.
        coordinates: One rising array per axis of the surface: the starts.
        labels: One name per axis.
        optimizers: One name per optimizer.
        steps: Number of updates.
        learning_rates: Array of shape `(L,)`, or empty where each optimizer has its own.

    Raises:
        ValueError: The shapes do not belong together, or something is no real number.

    Example:

    >>> shape = (1, 3)
    >>> basins = keras_valleys.descents.BasinMap(
    ...     [[0, 0, 1]], np.zeros(shape), np.zeros((1, 3, 1)), np.zeros(shape), [[-1.0, 0.5, 2.0]],
    ...     ["x"], ["SGD"], 100,
    ... )
    >>> basins.share(0).tolist()
    [0.6666666666666666]
    """

    indices: np.ndarray
    losses: np.ndarray
    ends: np.ndarray
    distances: np.ndarray
    coordinates: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    optimizers: tuple[str, ...]
    steps: int
    learning_rates: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))

    if typing.TYPE_CHECKING:  # it takes what these can be made of

        def __init__(
            self,
            indices: ArrayLike,
            losses: ArrayLike,
            ends: ArrayLike,
            distances: ArrayLike,
            coordinates: Iterable[ArrayLike],
            labels: Iterable[str],
            optimizers: Iterable[str],
            steps: int,
            learning_rates: ArrayLike = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        owner, given = "BasinMap", as_axes(self.coordinates)
        axes = tuple(as_measured(owner, coordinates=axis) for axis in given)
        axes = tuple(frozen(axis, "float64") for axis in axes)
        check_whole(owner, steps=self.steps)
        names = ("indices", "losses", "ends", "distances", "learning_rates")
        arrays = {name: as_measured(owner, **{name: getattr(self, name)}) for name in names}
        arrays["indices"] = as_integers(owner, whole=True, indices=arrays["indices"])
        arrays["learning_rates"] = arrays["learning_rates"].astype("float64")
        arrays = {name: frozen(array) for name, array in arrays.items()}
        names_of = {name: getattr(self, name) for name in ("labels", "optimizers")}
        texts = {  # of a text each letter is a name
            name: as_labels(owner, list(given) if isinstance(given, str) else given)
            for name, given in names_of.items()
        }
        rates = arrays["learning_rates"]
        grid = tuple(map(len, axes))
        shape = (len(texts["optimizers"]), *((len(rates),) if rates.size else ()), *grid)
        found = [arrays[name].shape for name in names[:4]]
        if found != [shape, shape, (*shape, len(axes)), shape] or len(texts["labels"]) != len(axes):
            raise refusal(
                "BasinMap",
                f"`indices`, `losses` and `distances` of shape {shape} and `ends` of shape "
                f"{(*shape, len(axes))}, as optimizers, learning rates and coordinates say, and "
                f"{len(axes)} labels",
                f"the shapes {found}, labels {texts['labels']}",
                "Make the shapes agree.",
            )
        self._set(**arrays, **texts, coordinates=axes, steps=int(self.steps))

    def share(self, index: int) -> np.ndarray:
        """The part of the starts that ends in a valley.

        Args:
            index: Number of the valley; -1 for those that end in none.

        Returns:
            Array of shape `(num_optimizers,)`, or `(num_optimizers, L)` with learning rates.
        """
        axes = tuple(range(-len(self.coordinates), 0))
        return np.mean(self.indices == index, axis=axes)

    def _in_short(self) -> str:
        facts = [counted(len(self.optimizers), "optimizer")]
        if len(self.learning_rates):
            facts.append(counted(len(self.learning_rates), "learning rate"))
        facts.append(grid_text(self.coordinates, self.labels, "start"))
        return ", ".join([*facts, counted(self.steps, "step")])


def basin_map(
    objective: Objective,
    optimizers: Mapping[str, OptimizerLike] | Sequence[OptimizerLike] | OptimizerLike,
    coordinates: ArrayLike | Iterable[ArrayLike],
    steps: int,
    valleys: Territories,
    *,
    learning_rates: ArrayLike | None = None,
    verbose: Literal["auto", 0, 1] = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
) -> BasinMap:
    """Descend from a grid of starts, and see in which valley each ends.

    The grid lies on the surface whose valleys are given. Descents are those of `descend`, and go
    where they like: for a model of more weights than the surface has axes, the valley is that of
    the nearest point on the surface, and `distances` says how far off it is.

    Args:
        objective: A `keras_valleys.objectives.Objective` over the weights of the surface.
        optimizers: Dictionary of labels to Keras optimizers, or a list of optimizers, or one; each
            as for `descend`. In a list those of the same name are told apart by their learning
            rates, and by a number where these are equal as well.
        coordinates: One rising 1-D array of starts per axis of the surface; a single array for one
            axis.
        steps: Number of updates.
        valleys: What `keras_valleys.valleys.find_valleys` found on the surface.
        learning_rates: 1-D array of rates, each of which takes the place of that of the
            optimizers: the map has one more axis. `None` keeps their own.
        verbose: As for `descend`.
        checkpoint: As for `descend`.

    Returns:
        A `BasinMap`.

    Raises:
        ValueError: As for `descend`; coordinates that do not rise or of another number than the
            surface's axes; learning rates not above 0, or for an optimizer with a schedule.
        OSError: The checkpoint cannot be written.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> model.compile(loss=keras_valleys.losses.RootError())
    >>> (x, y), _ = keras_valleys.datasets.rosette()
    >>> objective = keras_valleys.objectives.Objective(model, x, y)
    >>> phi = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    >>> surface = keras_valleys.surfaces.evaluate(objective, coordinates=phi)
    >>> valleys = keras_valleys.valleys.find_valleys(surface)
    >>> starts = np.radians([-60.0, 5.0, 45.0])
    >>> optimizers = {"sgd": keras.optimizers.SGD(0.01), "adam": keras.optimizers.Adam(0.01)}
    >>> basins = keras_valleys.descents.basin_map(objective, optimizers, starts, 60, valleys)
    >>> [[round(np.degrees(valleys[k].position[0])) for k in row] for row in basins.indices]
    [[-36, 0, 36], [-36, 0, 36]]
    """
    owner = "basin_map"
    check_kind(owner, "objective", objective=objective)
    if not (hasattr(valleys, "surface") and hasattr(valleys, "at")):
        check_kind(owner, "valleys", valleys=valleys)
    surface = valleys.surface
    check_verbose(verbose, owner)
    check_whole(owner, 1, steps=steps)
    axes = _as_axes(coordinates, surface, objective)
    own = learning_rates is None
    rates = [None] if own else _as_rates(learning_rates)
    candidates = as_candidates(owner, optimizers=optimizers, with_rates=own)
    ground, num = Ground(owner, objective), math.prod(map(len, axes))
    for candidate in candidates:
        check_elementwise(owner, candidate, objective, num=num)
        _check_rates(candidate, rates)
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    starts = (surface.origin + mesh @ surface.directions).astype(objective.dtype)
    facts = [starts, steps, np.array(rates, "float64")]
    kept = checkpoint_of(owner, checkpoint, objective, candidates, facts=facts, depends=DEPENDS)
    walks = Walks(ground, starts, steps).run(candidates, kept, verbose, rates=rates)
    found = [part[:, -1] for part in walks]
    grid = (len(candidates), *(() if own else (len(rates),)), *map(len, axes))
    indices, losses, ends, distances = _where(objective, np.stack(found), valleys, grid)
    return BasinMap(
        indices,
        losses,
        ends,
        distances,
        tuple(axes),
        surface.labels,
        tuple(candidate.label for candidate in candidates),
        steps,
        np.array([] if own else rates, "float64"),
    )


def _where(objective, weights, valleys, grid):
    """Valleys, losses, coordinates and distances of final weights, in the shape of the grid."""
    surface = valleys.surface
    ends = project(weights, surface)
    off = weights - (surface.origin + ends @ surface.directions)
    with np.errstate(invalid="ignore", over="ignore"):
        distances = np.linalg.norm(off, axis=-1)
    num_axes = ends.shape[-1]
    indices = np.asarray(valleys.at(ends))
    losses = np.stack([objective(part) for part in weights])  # as for each optimizer alone
    indices = np.where(np.isfinite(losses), indices, -1)
    return (
        indices.reshape(grid),
        losses.reshape(grid),
        ends.reshape(*grid, num_axes),
        distances.reshape(grid),
    )


def _as_axes(coordinates, surface, objective):
    try:
        axes = [as_measured("basin_map", coordinates=axis) for axis in as_axes(coordinates)]
        axes = [axis.astype("float64") for axis in axes]
    except ValueError:
        axes = []
    if len(axes) != len(surface.coordinates) or not all(map(is_rising, axes)):
        raise refusal(
            "basin_map",
            "`coordinates` to be one rising 1-D array of finite numbers for each of the surface's "
            f"{len(surface.coordinates)} axes",
            {"coordinates": coordinates},
            "Use numpy.linspace(start, stop, n)"
            f"{', for each axis: coordinates=(t, t)' * (len(surface.coordinates) == 2)}.",
        )
    if surface.origin.size != objective.size:
        raise refusal(
            "basin_map",
            "valleys of a surface over the objective's weights",
            f"a surface over {surface.origin.size} weights, an objective over {objective.size}",
            "Evaluate the surface on the same objective.",
        )
    return axes


def _as_rates(learning_rates):
    try:
        rates = as_measured("basin_map", learning_rates=learning_rates).astype("float64")
    except ValueError:
        rates = np.empty(0)
    if rates.ndim != 1 or not rates.size or not np.all((rates > 0) & (rates < np.inf)):
        raise refusal(
            "basin_map",
            "`learning_rates` to be a 1-D array of numbers above 0",
            {"learning_rates": learning_rates},
            "Use numpy.geomspace(0.001, 1, 200).",
        )
    return rates.tolist()


def _check_rates(candidate, rates):
    try:
        candidate.fresh(rates[0])
    except (AttributeError, TypeError, ValueError) as error:
        raise refusal(
            "basin_map",
            "optimizers whose learning rate can be set, where it is given `learning_rates`",
            f"{candidate.label} ({error})",
            "Give it a number as its learning rate.",
        ) from error
