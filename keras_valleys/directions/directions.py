"""Directions in weight space: what the axes of a surface are made of."""

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from keras_valleys._checks import (
    as_labels,
    as_measured,
    as_plain,
    check_kind,
    check_vector,
    check_whole,
    refusal,
    shortened,
)
from keras_valleys._linalg import orthonormal_through
from keras_valleys._results import Result, counted, cut, frozen
from keras_valleys.gradients import sharpness
from keras_valleys.objectives import Objective


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Directions(Result):
    """K directions over P weights, usable as the array `vectors` of shape `(K, P)`.

    Args:
        vectors: Array of shape `(K, P)`; kept as float64, read-only.
        labels: One name per direction.
        details: How they were made, as JSON can write it.
        origin: Weight vector of shape `(P,)` where the axes begin, for which `evaluate` and `span`
            take it where they are given no other; read-only. `None` leaves it to them.

    Raises:
        ValueError: Vectors, labels, details or an origin that are not such.

    Example:

    >>> plane = keras_valleys.directions.Directions([[1, 0, 0], [0, 2, 0]], ("a", "b"))
    >>> plane.shape, len(plane), float(np.linalg.norm(plane[1]))
    ((2, 3), 2, 2.0)
    """

    vectors: np.ndarray
    labels: tuple[str, ...]
    details: dict[str, Any] = dataclasses.field(default_factory=lambda: {"kind": "given"})
    origin: np.ndarray | None = None

    if typing.TYPE_CHECKING:  # it takes what these can be made of

        def __init__(
            self,
            vectors: ArrayLike,
            labels: Iterable[str],
            details: dict[str, Any] = ...,
            origin: ArrayLike | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        vectors = frozen(as_measured("Directions", vectors=self.vectors), "float64")
        labels = as_labels("Directions", self.labels)
        if vectors.ndim != 2 or not vectors.size or len(labels) != len(vectors):
            raise refusal(
                "Directions",
                "`vectors` of shape (K, P) and K labels",
                f"vectors of shape {vectors.shape}, labels={labels}",
                "Give each row one label.",
            )
        if not np.all(np.isfinite(vectors)):
            raise refusal(
                "Directions",
                "finite `vectors`",
                "numbers that are NaN or infinite",
                "Check the run that they come from.",
            )
        details, origin = as_plain("Directions", details=self.details), self.origin
        if origin is not None:
            origin = frozen(check_vector("Directions", vectors.shape[1], origin=origin), "float64")
        self._set(vectors=vectors, labels=labels, details=details, origin=origin)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(K, P)`."""
        return self.vectors.shape

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.vectors, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.vectors[index]

    def _in_short(self) -> str:
        count, size = self.vectors.shape
        names = ", ".join(map(cut, self.labels))
        return f"{counted(count, 'direction')} over {counted(size, 'weight')}: {names}"


def coordinate(objective: Objective, names: str | Iterable[str]) -> Directions:
    """The axes of single weights; coordinates are then offsets from the origin.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        names: The name of a weight or a list of names, such as "phi", "kernel[0, 2]" or
            "dense/kernel[0, 2]": as much of the variable's path as tells it from others, and the
            index of the weight, which a variable of one weight does not need.

    Returns:
        `Directions` of length 1, one per name, labeled with the names.

    Raises:
        ValueError: A name is not that of exactly one weight, or is given twice.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.compile(loss="mean_squared_error")
    >>> objective = keras_valleys.objectives.Objective(model, np.ones((1, 3)), np.ones((1, 2)))
    >>> axes = keras_valleys.directions.coordinate(objective, ["kernel[2, 0]", "bias[1]"])
    >>> np.argmax(axes, axis=1).tolist()
    [4, 7]
    """
    check_kind("coordinate", "objective", objective=objective)
    names = [names] if isinstance(names, str) or not np.iterable(names) else list(names)
    indices = [index_of(objective, name) for name in names]
    if not names or len(set(indices)) < len(indices):
        raise refusal(
            "coordinate",
            "the names of different weights",
            {"names": names},
            "Name each weight once.",
        )
    vectors = np.zeros((len(names), objective.size))
    vectors[np.arange(len(names)), indices] = 1
    names = [name.strip() for name in names]
    return Directions(vectors, tuple(names), {"kind": "coordinate", "names": names})


def between(
    start: ArrayLike, end: ArrayLike, third: ArrayLike | None = None, *, orthonormal: bool = True
) -> Directions:
    """From one weight vector to another, or the plane through three.

    The coordinates begin at `start`, which `evaluate` takes as its origin;
    `details["coordinates"]` are those of the points.

    Args:
        start: Weight vector of shape `(P,)`, the origin.
        end: Another.
        third: A third for a plane, not on the line through the others.
        orthonormal: If `True`, the first direction is the unit vector towards `end`, so that its
            coordinate is the distance in weight space, and the second the unit vector orthogonal
            to it towards `third`. If `False`, the directions are `end - start` and
            `third - start`: `end` has the coordinates (1, 0) and `third` (0, 1).

    Returns:
        `Directions`.

    Raises:
        ValueError: Points that are not finite, of different sizes, equal or on one line.

    Example:

    >>> axes = keras_valleys.directions.between([1, 1, 0], [1, 5, 0], [4, 3, 0])
    >>> axes.details["coordinates"]
    [[0.0, 0.0], [4.0, 0.0], [2.0, 3.0]]
    """
    origin = check_vector("between", np.size(start), start=start)
    ways = [check_vector("between", origin.size, end=end) - origin]
    if third is not None:
        ways.append(check_vector("between", origin.size, third=third) - origin)
    steps = np.stack(ways)
    found = orthonormal_through(steps)
    if found is None:
        raise refusal(
            "between",
            "points that differ and are not on one line",
            f"points at the distances {np.linalg.norm(steps, axis=1).tolist()} from `start`",
            "Give other points.",
        )
    vectors, coordinates = found if orthonormal else (steps, np.eye(len(steps)))
    coordinates = [[0.0] * len(steps), *coordinates.tolist()]
    details = {"kind": "between", "orthonormal": bool(orthonormal), "coordinates": coordinates}
    labels = ("from start to end", "towards third")[: len(steps)]
    return Directions(vectors, labels, details, origin)


def hessian(
    objective: Objective,
    num_directions: int | None = None,
    *,
    origin: ArrayLike | None = None,
    seed: int = 0,
) -> Directions:
    """The orthonormal directions in which the loss curves up most: Hessian eigenvectors.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        num_directions: K, at most P. `None` is 2, or 1 for a single weight.
        origin: Weight vector of shape `(P,)` where the Hessian is taken, and where the axes begin.
            `None` is the model's present weights.
        seed: Integer of the random vectors that the search starts with.

    Returns:
        `Directions`; `details["eigenvalues"]` falls, `details["residuals"]` says how exact.

    Raises:
        ValueError: As in `keras_valleys.gradients.sharpness`, which also tells more.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mean_squared_error")
    >>> x = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> objective = keras_valleys.objectives.Objective(model, x, np.zeros((2, 1)))
    >>> axes = keras_valleys.directions.hessian(objective)
    >>> [round(value, 4) for value in axes.details["eigenvalues"]]
    [4.0, 1.0]
    """
    check_kind("hessian", "objective", objective=objective)
    num_directions = min(2, objective.size) if num_directions is None else num_directions
    check_whole("hessian", 1, objective.size, num_directions=num_directions)
    found = sharpness(objective, origin, num_eigenvalues=num_directions, num_samples=0, seed=seed)
    details = {
        "kind": "hessian",
        "seed": seed,
        "eigenvalues": found.eigenvalues.tolist(),
        "residuals": found.residuals.tolist(),
    }
    labels = numbered("eigenvector", num_directions)
    return Directions(found.eigenvectors, labels, details, origin)


def numbered(name, count):
    """Labels of directions of one kind."""
    return tuple(f"{name} {k + 1}" for k in range(count))


def index_of(objective, name):
    """The place in the flat vector of the weight with a name such as "dense/kernel[0, 2]"."""
    parts = (
        re.fullmatch(r"\s*/?(.*?)\s*(?:\[([-\d,\s]*)\])?\s*", name)
        if isinstance(name, str)
        else None
    )
    if not parts:
        raise _unknown(objective, name, "names that are texts", objective.names)
    variable, index = parts.groups()
    fits = [k for k, path in enumerate(objective.names) if f"/{path}".endswith(f"/{variable}")]
    exact = [k for k in fits if objective.names[k] == variable]
    fits = exact or fits
    if len(fits) != 1:
        wanted = "more of the path" if fits else "the name of a weight"
        some = [objective.names[k] for k in fits] or _close(objective, variable)
        raise _unknown(objective, name, wanted, some)
    shape, part = objective.shapes[fits[0]], objective.slices[fits[0]]
    place = [int(number) for number in re.findall(r"-?\d+", index or "")]
    if index is None and math.prod(shape) == 1:
        return part.start
    if len(place) != len(shape) or any(not 0 <= i < n for i, n in zip(place, shape, strict=True)):
        wanted = f"an index within the shape {shape} of {objective.names[fits[0]]!r}"
        raise _unknown(objective, name, wanted, [objective.names[fits[0]]])
    return part.start + int(np.ravel_multi_index(place, shape))


def _close(objective, variable):
    """The paths that look most like a name, or the first ones."""
    ends: dict[str, str] = {}
    for path in objective.names:
        pieces = path.split("/")
        for k in range(len(pieces)):
            ends.setdefault("/".join(pieces[k:]), path)
    near = difflib.get_close_matches(variable, ends, n=4, cutoff=0.5)
    return list(dict.fromkeys(ends[end] for end in near)) or objective.names[:4]


def _unknown(objective, name, wanted, paths):
    """An error that names the last weight of each path, as it may be asked for."""
    shapes = dict(zip(objective.names, objective.shapes, strict=True))
    examples = [
        path if math.prod(shapes[path]) == 1 else f"{path}{[n - 1 for n in shapes[path]]}"
        for path in paths[:6]
    ]
    return refusal(
        "coordinate",
        wanted,
        shortened(name),
        f"Weights that exist are {', '.join(map(repr, examples))}.",
    )
