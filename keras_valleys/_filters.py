"""What a filter is, for each kind of weight: the axes over which its norm is taken."""

import keras
import numpy as np
from keras import layers


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
    layers.BatchNormalization, layers.GroupNormalization, layers.LayerNormalization,
    layers.RMSNormalization, layers.PReLU,
)  # fmt: skip
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
        raise ValueError(
            "`random` expects weights to scale to. Received: an origin of zeros. "
            "Give another origin, or use normalization=None."
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
    owners, waiting, seen = {}, [model], set()
    while waiting:
        layer = waiting.pop(0)
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        inside = list(_layers_in([vars(layer), getattr(layer, "layers", [])], set()))
        waiting += inside
        of_others = {id(v) for one in inside if one is not layer for v in one.variables}
        for variable in layer.variables:
            if id(variable) not in of_others:
                owners.setdefault(id(variable), []).append(layer)
    return owners


def _layers_in(value, seen):
    if isinstance(value, keras.layers.Layer):
        yield value
    elif isinstance(value, list | tuple | set | frozenset | dict) and id(value) not in seen:
        seen.add(id(value))
        for part in value.values() if isinstance(value, dict) else value:
            yield from _layers_in(part, seen)
