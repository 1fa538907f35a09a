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

TRIES = 20  # to draw directions that differ
PARALLEL = 1e-9  # the least eigenvalue of the products of unit vectors that differ

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
    ranks = [len(variable.shape) for variable in variables]
    return [
        rule(owner, n) for (rule, owner), n in zip(_rules(model, variables), ranks, strict=True)
    ]


def is_kernel(objective):
    """Which of the P weights are of kernels and their like, in which a filter is a part.

    All others are biases, weights of normalizations and PReLU, of whatever rank Keras has them, and
    variables of rank 0 and 1: the tensors "of dimension <= 1" of Li et al.
    """
    found = np.ones(objective.size, bool)
    rules = _rules(objective.model, objective.variables)
    for part, (rule, _) in zip(objective.slices, rules, strict=True):
        found[part] = rule is not _whole
    return found


def _rules(model, variables):
    """The rule of the table for each variable, and the layer that it asks."""
    owners = _owners(model)
    found = []
    for variable in variables:
        fits = (
            (rule, owner)
            for kinds, names, rule in TABLE
            for owner in owners.get(id(variable), [model])
            if isinstance(owner, kinds) and (names is None or variable.name in names)
        )
        found.append(next(fits) if len(variable.shape) > 1 else (_whole, None))
    return found


def scale_to(weights, directions, objective, normalization):
    """Give each filter of each direction, in place, the norm of the same filter of the weights.

    Args:
        weights: Flat weight vector.
        directions: Array of shape `(K, P)`.
        objective: Says which variables the flat vector holds.
        normalization: "filter"; with "layer" each variable is one filter.
    """
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
    one_dimensional: Literal["zero", "keep"] | None = None,
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
    | other variables of rank 2 and more | one column | all axes but the last |
    | biases; weights of normalizations and PReLU | the whole variable, if kept | all axes |
    | other variables of rank 0 or 1 | the whole variable, if kept | all axes |

    The last two rows are one-dimensional weights, and their entries are 0 by default, as in the
    pictures of Li et al. and in their code: their norm says nothing of how far they can go. With
    them, plain networks of 21 convolutions reached losses of 5e8 on coordinates from -1 to 1, and
    with skip connections 1e7; without them 1.4e4 and 2.9e3, where 9 valleys were seen and 1. Biases
    of recurrent and attention layers are among them, which Keras keeps in two dimensions.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        num_directions: K, at most P. `None` is 2, or 1 for a single weight.
        normalization: "filter"; "layer", which takes each variable as one filter; or `None` for
            orthonormal directions.
        one_dimensional: "zero" sets the entries of one-dimensional weights to 0, "keep" treats
            them as the table says. `None` is "zero" but where less than K other weights would be
            left that are not 0 at the origin, as for the angle of a line or a model of scales
            alone; and it is "keep" with `normalization=None`, whose directions are equally likely
            among all. `details["one_dimensional"]` says which it was.
        origin: Weight vector of shape `(P,)` to scale to, where the axes begin. `None` is the
            model's present weights.
        seed: Integer; no global random state is used.

    Returns:
        `Directions`.

    Raises:
        ValueError: More directions than weights, an unknown normalization, an origin that is of
            another size, not finite or zero, or "zero" where too few other weights are left.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.compile(loss="mean_squared_error")
    >>> objective = keras_valleys.objectives.Objective(model, np.ones((1, 3)), np.ones((1, 2)))
    >>> point = [3, 0, 4, 0, 0, 1, 7, 8]  # the last two are biases
    >>> plane = keras_valleys.directions.random(objective, origin=point, seed=1)
    >>> [round(float(norm), 4) for norm in np.linalg.norm(plane[0].reshape(4, 2)[:3], axis=0)]
    [5.0, 1.0]
    >>> plane[0, 6:].tolist()
    [0.0, 0.0]

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
    center = objective.point() if origin is None else origin
    center = check_vector("random", objective.size, origin=center)
    if normalization is not None and not np.any(center):
        raise refusal(
            "random",
            "weights to scale to",
            "an origin of zeros",
            "Give another origin, or use normalization=None.",
        )
    kept, one_dimensional = _kept(objective, one_dimensional, normalization, center, num_directions)
    numbers = np.random.default_rng(seed)
    for _ in range(TRIES):
        vectors = numbers.standard_normal((num_directions, objective.size))
        vectors[:, ~kept] = 0
        if normalization is None:
            vectors = orthonormal(vectors)
        else:
            scale_to(center, vectors, objective, normalization)
        if _differ(vectors):
            break
    details = {
        "kind": "random",
        "normalization": normalization,
        "one_dimensional": one_dimensional,
        "seed": int(seed),
    }
    labels = numbered("random direction", num_directions)
    return Directions(vectors, labels, details, origin)


def _kept(objective, one_dimensional, normalization, center, num_directions):
    """Which of the P weights the directions move, and whether one-dimensional ones are among them.

    Returns:
        Booleans of shape `(P,)`, and "zero" or "keep".
    """
    if one_dimensional not in ("zero", "keep", None):
        raise refusal(
            "random",
            '`one_dimensional` to be "zero", "keep" or None',
            {"one_dimensional": one_dimensional},
            'Use "zero" for the pictures of Li et al., which None is wherever it can.',
        )
    everything = np.ones(objective.size, bool)
    if one_dimensional == "keep" or (one_dimensional is None and normalization is None):
        return everything, "keep"
    kernels = is_kernel(objective)
    movable = int(np.sum(kernels if normalization is None else kernels & (center != 0)))
    if movable >= num_directions:
        return kernels, "zero"
    if one_dimensional is None:
        return everything, "keep"
    raise refusal(
        "random",
        f"at least {num_directions} weights of kernels and their like, not 0 at the origin, with "
        'one_dimensional="zero"',
        f"{movable} of {objective.size} weights, the others of biases, scales and single numbers",
        'Use one_dimensional="keep", or None, which keeps them here.',
    )


def _differ(vectors):
    """Whether directions span as many dimensions: of few filters two may be the same by chance."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.all(lengths):
        return False
    units = vectors / lengths
    return bool(np.linalg.eigvalsh(units @ units.T)[0] > PARALLEL)
