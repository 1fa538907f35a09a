"""Directions in weight space: what the axes of a surface are made of."""

import dataclasses

import numpy as np

from keras_valleys._checks import as_plain, check_vector, check_whole
from keras_valleys._eigen import oriented
from keras_valleys._filters import scale_to
from keras_valleys._names import index_of
from keras_valleys._rows import PathRows, orthonormal, orthonormal_through
from keras_valleys.gradients import sharpness


@dataclasses.dataclass(frozen=True, eq=False)
class Directions:
    """K directions over P weights, usable as the array `vectors` of shape `(K, P)`.

    Args:
        vectors: Array of shape `(K, P)`; kept as float64, read-only.
        labels: One name per direction.
        details: How they were made, as JSON can write it.

    Raises:
        ValueError: Vectors, labels or details that are not such.

    Example:

    >>> plane = keras_valleys.directions.Directions([[1, 0, 0], [0, 2, 0]], ("a", "b"))
    >>> plane.shape, len(plane), float(np.linalg.norm(plane[1]))
    ((2, 3), 2, 2.0)
    """

    vectors: np.ndarray
    labels: tuple
    details: dict = dataclasses.field(default_factory=lambda: {"kind": "given"})

    def __post_init__(self):
        vectors = np.array(self.vectors, "float64")
        labels = (self.labels,) if isinstance(self.labels, str) else tuple(self.labels)
        if vectors.ndim != 2 or not vectors.size or len(labels) != len(vectors):
            raise ValueError(
                "`Directions` expects `vectors` of shape (K, P) and K labels. Received: vectors "
                f"of shape {vectors.shape}, labels={labels}. Give each row one label."
            )
        if not np.all(np.isfinite(vectors)):
            raise ValueError(
                "`Directions` expects finite `vectors`. Received: numbers that are NaN or "
                "infinite. Check the run that they come from."
            )
        details = as_plain("Directions", details=self.details)
        vectors.setflags(write=False)
        for name, value in (("vectors", vectors), ("labels", labels), ("details", details)):
            object.__setattr__(self, name, value)

    @property
    def shape(self):
        """`(K, P)`."""
        return self.vectors.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.vectors, dtype=dtype, copy=copy)

    def __len__(self):
        return len(self.vectors)

    def __getitem__(self, index):
        return self.vectors[index]


def coordinate(objective, names):
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
    names = [names] if isinstance(names, str) or not np.iterable(names) else list(names)
    indices = [index_of(objective, name) for name in names]
    if not names or len(set(indices)) < len(indices):
        raise ValueError(
            "`coordinate` expects the names of different weights. "
            f"Received: names={names}. Name each weight once."
        )
    vectors = np.zeros((len(names), objective.size))
    vectors[np.arange(len(names)), indices] = 1
    names = [name.strip() for name in names]
    return Directions(vectors, names, {"kind": "coordinate", "names": names})


def random(objective, num_directions=2, *, normalization="filter", origin=None, seed=0):
    """Random Gaussian directions, scaled to the weights or orthonormal.

    With `normalization="filter"` each filter of a direction gets the norm of the same filter of the
    weights at the origin, so that surfaces of networks whose weights differ in scale can be
    compared: coordinate 1 is a step as long as the weights themselves. A filter of zeros stays 0.
    What a filter is:

    | Weights | One filter is | Norm over |
    |---|---|---|
    | kernels of Dense, Conv, pointwise kernels | what makes one output | all axes but the last |
    | kernels and recurrent kernels of RNNs | one unit of one gate | all axes but the last |
    | kernels of transposed convolutions | one output channel | all axes but the one before last |
    | depthwise kernels | one channel and multiplier | the spatial axes |
    | EinsumDense, in attention layers as well | one output | the axes that its equation sums |
    | Embedding, and its first LoRA factor | the vector of one token | the last axis |
    | other LoRA factors | one column | all axes but the last |
    | biases; weights of normalizations and PReLU | the whole variable | all axes |
    | other variables of rank 0 or 1 | the whole variable | all axes |
    | other variables | one column | all axes but the last |

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        num_directions: K, at most P.
        normalization: "filter"; "layer", which takes each variable as one filter; or `None` for
            orthonormal directions.
        origin: Weight vector of shape `(P,)` to scale to. `None` is the model's present weights.
        seed: Integer; no global random state is used.

    Returns:
        `Directions`.

    Raises:
        ValueError: More directions than weights, an unknown normalization, or an origin that is of
            another size, not finite or zero.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    >>> model.compile(loss="mean_squared_error")
    >>> objective = keras_valleys.objectives.Objective(model, np.ones((1, 3)), np.ones((1, 2)))
    >>> plane = keras_valleys.directions.random(objective, origin=[3, 0, 4, 0, 0, 1], seed=1)
    >>> [round(float(norm), 4) for norm in np.linalg.norm(plane[0].reshape(3, 2), axis=0)]
    [5.0, 1.0]

    Source: Li et al., Visualizing the Loss Landscape of Neural Nets, 2018, for "filter", "layer".
    """
    check_whole("random", 1, objective.size, num_directions=num_directions)
    if normalization not in ("filter", "layer", None):
        raise ValueError(
            '`random` expects `normalization` to be "filter", "layer" or None. '
            f'Received: normalization={normalization!r}. Use "filter".'
        )
    check_whole("random", seed=seed)
    vectors = np.random.default_rng(seed).standard_normal((num_directions, objective.size))
    if normalization is None:
        vectors = orthonormal(vectors)
    else:
        origin = objective.point() if origin is None else origin
        origin = check_vector("random", objective.size, origin=origin)
        scale_to(origin, vectors, objective, normalization)
    details = {"kind": "random", "normalization": normalization, "seed": int(seed)}
    return Directions(vectors, _numbered("random direction", num_directions), details)


def principal(trajectories, num_directions=2):
    """The orthonormal directions in which paths of an optimizer vary most (PCA).

    Of all finite rows, each counted once, about their mean: `details["explained_variance"]` is the
    part of the variance that lies in each direction. They say nothing of where the plane is:
    through the final weights, as in Li et al., with `origin=path.weights[-1]`; or through the
    mean. The largest number of each direction is positive.

    Args:
        trajectories: A `keras_valleys.trajectories.Trajectory`, an array of shape `(T, P)`, or a
            list of these over the same weights. They are read block by block: memory grows with T
            and K P, not with T P or P squared.
        num_directions: K.

    Returns:
        `Directions`.

    Raises:
        ValueError: Paths of different sizes, or finite rows that do not span K dimensions about
            their mean, such as fewer than K + 1 different ones.

    Example:

    >>> path = np.array([[0, 0, 1], [3, 4, 1], [6, 8, 1], [3, 4, 2]])
    >>> axes = keras_valleys.directions.principal(path)
    >>> [round(float(number), 2) for number in axes[0]]
    [0.6, 0.8, 0.0]
    >>> [round(part, 3) for part in axes.details["explained_variance"]]
    [0.985, 0.015]
    """
    check_whole("principal", 1, num_directions=num_directions)
    paths = PathRows(trajectories)
    total, values, mixing = paths.leading(num_directions)
    # Below that part of the variance lies the rounding of the weights.
    rank = int(np.sum(values > 1e-12 * total))
    if rank < num_directions:
        raise ValueError(
            f"`principal` expects at least {num_directions + 1} different finite rows that span "
            f"{num_directions} dimensions. Received: {paths.num_rows} rows, {paths.num_finite} of "
            f"them finite, that span {rank} dimensions. "
            "Record more steps, or ask for fewer directions."
        )
    vectors = oriented(orthonormal(paths.combined(mixing)))
    explained = np.clip(values / total, 0, 1).tolist()
    details = {"kind": "principal", "explained_variance": explained, "num_rows": paths.num_finite}
    return Directions(vectors, _numbered("principal direction", num_directions), details)


def between(start, end, third=None, *, orthonormal=True):
    """From one weight vector to another, or the plane through three.

    The coordinates belong to `origin=start`; `details["coordinates"]` are those of the points.

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
    start = check_vector("between", np.size(start), start=start)
    steps = [check_vector("between", start.size, end=end) - start]
    if third is not None:
        steps.append(check_vector("between", start.size, third=third) - start)
    steps = np.stack(steps)
    found = orthonormal_through(steps)
    if found is None:
        raise ValueError(
            "`between` expects points that differ and are not on one line. Received: points at the "
            f"distances {np.linalg.norm(steps, axis=1).tolist()} from `start`. Give other points."
        )
    vectors, coordinates = found if orthonormal else (steps, np.eye(len(steps)))
    coordinates = [[0.0] * len(steps), *coordinates.tolist()]
    details = {"kind": "between", "orthonormal": bool(orthonormal), "coordinates": coordinates}
    return Directions(vectors, ("from start to end", "towards third")[: len(steps)], details)


def hessian(objective, num_directions=2, *, origin=None, seed=0):
    """The orthonormal directions in which the loss curves up most: Hessian eigenvectors.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        num_directions: K, at most P.
        origin: Weight vector of shape `(P,)` where the Hessian is taken. `None` is the model's
            present weights.
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
    check_whole("hessian", 1, objective.size, num_directions=num_directions)
    found = sharpness(objective, origin, num_eigenvalues=num_directions, num_samples=0, seed=seed)
    details = {
        "kind": "hessian", "seed": seed, "eigenvalues": found.eigenvalues.tolist(),
        "residuals": found.residuals.tolist(),
    }  # fmt: skip
    return Directions(found.eigenvectors, _numbered("eigenvector", num_directions), details)


def _numbered(name, count):
    return tuple(f"{name} {k + 1}" for k in range(count))
