"""Random directions, as long as the filters of the weights."""

from typing import Literal

import numpy as np
from keras import layers
from numpy.typing import ArrayLike

from keras_valleys._checks import check_kind, check_vector, check_whole, refusal
from keras_valleys._linalg import orthonormal
from keras_valleys._weights import layers_in, layers_of
from keras_valleys.directions.directions import Directions, numbered
from keras_valleys.objectives import Objective


def _whole(layer, rank):
    return tuple(range(rank))


def _all_but_last(layer, rank):
    return tuple(range(rank - 1))


def _last(layer, rank):
    return (rank - 1,)


def _all_but_last_two(layer, rank):
    return tuple(range(rank - 2))


def _all_but_one_before_last(layer, rank):
    return (*range(rank - 2), rank - 1)


def _summed(layer, rank):
    inputs, output = layer.equation.replace(" ", "").split("->")
    letters = inputs.split(",")[1]
    return tuple(axis for axis, letter in enumerate(letters) if letter not in output)


_SCALES = (
    layers.BatchNormalization,
    layers.GroupNormalization,
    layers.LayerNormalization,
    layers.RMSNormalization,
    layers.PReLU,
)

_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)

_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)

_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)

# The first row that fits counts; variables of rank 0 and 1 are always one filter.
#   layers            names of their variables                axes of the norm
TABLE = (
    (layers.Layer, ("bias", "gamma", "beta"), _whole),
    (_SCALES, None, _whole),
    (layers.Embedding, ("embeddings", "lora_embeddings_a"), _last),
    (_DEPTHWISE, ("kernel",), _all_but_last_two),
    (_SEPARABLE, ("depthwise_kernel",), _all_but_last_two),
    (_TRANSPOSED, ("kernel",), _all_but_one_before_last),
    (layers.EinsumDense, ("kernel",), _summed),
    # Dense, Conv, pointwise and recurrent kernels, LoRA factors, and what is not known here.
    (layers.Layer, None, _all_but_last),
)


def filter_axes(model, variables):
    """For each variable the axes that the norm of a filter is taken over."""
    owners = _owners(model)
    found = []
    for variable in variables:
        rank = len(variable.shape)
        fits = [
            rule(owner, rank)
            for kinds, names, rule in TABLE
            for owner in owners.get(id(variable), [model])
            if isinstance(owner, kinds) and (names is None or variable.name in names)
        ]
        found.append(fits[0] if rank > 1 else _whole(None, rank))
    return found


def scale_to(weights, directions, objective, normalization):
    """Give each filter of each direction, in place, the norm of the same filter of the weights.

    Args:
        weights: Flat weight vector.
        directions: Array of shape `(K, P)`.
        objective: Says which variables the flat vector holds.
        normalization: "filter"; with "layer" each variable is one filter.
    """
    if not np.any(weights):
        raise refusal(
            "random",
            "weights to scale to",
            "an origin of zeros",
            "Give another origin, or use normalization=None.",
        )
    every_axes = filter_axes(objective.model, objective.variables)
    for part, shape, axes in zip(objective.slices, objective.shapes, every_axes, strict=True):
        axes = tuple(range(len(shape))) if normalization == "layer" else axes
        for direction in directions:
            scaled = matched(direction[part].reshape(shape), weights[part].reshape(shape), axes)
            direction[part] = np.ravel(scaled)


def matched(direction, weights, axes):
    """The direction with each filter as long as the same filter of the weights."""
    length, wanted = (
        np.sqrt(np.sum(np.square(array), axis=axes, keepdims=True))
        for array in (direction, weights)
    )
    return direction * (wanted / np.where(length > 0, length, 1))


def _owners(model):
    """The layers that made each variable, by its id; several where they share it."""
    owners: dict[int, list] = {}
    for layer in layers_of(model):
        inside = [one for one in layers_in(layer) if one is not layer]
        of_others = {id(variable) for one in inside for variable in one.variables}
        for variable in layer.variables:
            if id(variable) not in of_others:
                owners.setdefault(id(variable), []).append(layer)
    return owners


def random(
    objective: Objective,
    num_directions: int | None = None,
    *,
    normalization: Literal["filter", "layer"] | None = "filter",
    origin: ArrayLike | None = None,
    seed: int = 0,
) -> Directions:
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
        num_directions: K, at most P. `None` is 2, or 1 for a single weight.
        normalization: "filter"; "layer", which takes each variable as one filter; or `None` for
            orthonormal directions.
        origin: Weight vector of shape `(P,)` to scale to, where the axes begin. `None` is the
            model's present weights.
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
    check_kind("random", "objective", objective=objective)
    num_directions = min(2, objective.size) if num_directions is None else num_directions
    check_whole("random", 1, objective.size, num_directions=num_directions)
    if normalization not in ("filter", "layer", None):
        raise refusal(
            "random",
            '`normalization` to be "filter", "layer" or None',
            {"normalization": normalization},
            'Use "filter".',
        )
    check_whole("random", seed=seed)
    vectors = np.random.default_rng(seed).standard_normal((num_directions, objective.size))
    if normalization is None:
        vectors = orthonormal(vectors)
    else:
        center = objective.point() if origin is None else origin
        center = check_vector("random", objective.size, origin=center)
        scale_to(center, vectors, objective, normalization)
    details = {"kind": "random", "normalization": normalization, "seed": int(seed)}
    labels = numbered("random direction", num_directions)
    return Directions(vectors, labels, details, origin)
