"""Random directions against explicit loops over filters."""

import itertools
import math
import types

import keras
import numpy as np
import pytest
from keras import layers

import keras_valleys as kv
from helpers import models
from helpers.objectives import objective_of, part_of
from keras_valleys import directions, surfaces
from keras_valleys.directions import filters
from keras_valleys.objectives import Objective

# For each rule: a layer, its input, the weight, its shape, and the axes that number the filters.
RULES = {
    "dense": (layers.Dense(3), (4,), "kernel", (4, 3), (1,)),
    "dense bias": (layers.Dense(3), (4,), "bias", (3,), ()),
    "conv 1-D": (layers.Conv1D(3, 2), (6, 4), "kernel", (2, 4, 3), (2,)),
    "conv 2-D": (layers.Conv2D(5, (3, 2)), (6, 5, 4), "kernel", (3, 2, 4, 5), (3,)),
    "conv 3-D": (layers.Conv3D(5, (3, 1, 2)), (3, 2, 2, 4), "kernel", (3, 1, 2, 4, 5), (4,)),
    "grouped conv": (layers.Conv2D(6, (3, 1), groups=2), (6, 5, 4), "kernel", (3, 1, 2, 6), (3,)),
    "transposed 1-D": (layers.Conv1DTranspose(3, 2), (6, 4), "kernel", (2, 3, 4), (1,)),
    "transposed 2-D": (layers.Conv2DTranspose(5, (3, 2)), (6, 5, 4), "kernel", (3, 2, 5, 4), (2,)),
    "depthwise 1-D": (
        layers.DepthwiseConv1D(3, depth_multiplier=2),
        (6, 5),
        "kernel",
        (3, 5, 2),
        (1, 2),
    ),
    "depthwise 2-D": (
        layers.DepthwiseConv2D((3, 2), depth_multiplier=5),
        (6, 5, 4),
        "kernel",
        (3, 2, 4, 5),
        (2, 3),
    ),
    "separable, depthwise": (
        layers.SeparableConv2D(6, (3, 2), depth_multiplier=5),
        (6, 5, 4),
        "depthwise_kernel",
        (3, 2, 4, 5),
        (2, 3),
    ),
    "separable, pointwise": (
        layers.SeparableConv2D(6, (3, 2), depth_multiplier=5),
        (6, 5, 4),
        "pointwise_kernel",
        (1, 1, 20, 6),
        (3,),
    ),
    "separable 1-D": (layers.SeparableConv1D(6, 3), (6, 5), "depthwise_kernel", (3, 5, 1), (1, 2)),
    "LSTM": (layers.LSTM(3), (5, 2), "kernel", (2, 12), (1,)),
    "LSTM, recurrent": (layers.LSTM(3), (5, 2), "recurrent_kernel", (3, 12), (1,)),
    "GRU bias of rank 2": (layers.GRU(3), (5, 2), "bias", (2, 9), ()),
    "cells": (layers.RNN([layers.SimpleRNNCell(3)]), (5, 2), "kernel", (2, 3), (1,)),
    "einsum": (
        layers.EinsumDense("abc,cde->abed", (None, 4, 5)),
        (2, 3),
        "kernel",
        (3, 5, 4),
        (1, 2),
    ),
    "einsum over the last axes": (
        layers.EinsumDense("abc,dbc->ad", (5,)),
        (2, 3),
        "kernel",
        (5, 2, 3),
        (0,),
    ),
    "einsum with dots": (layers.EinsumDense("...x,xy->...y", 4), (2, 3), "kernel", (3, 4), (1,)),
    "einsum bias of rank 2": (
        layers.EinsumDense("abc,cde->abde", (None, 4, 5), bias_axes="de"),
        (2, 3),
        "bias",
        (4, 5),
        (),
    ),
    "normalization of rank 2": (
        layers.LayerNormalization(axis=[1, 2]),
        (4, 3),
        "gamma",
        (4, 3),
        (),
    ),
    "root mean square": (layers.RMSNormalization(axis=[1, 2]), (4, 3), "scale", (4, 3), ()),
    "slopes": (layers.PReLU(), (4, 3), "alpha", (4, 3), ()),
    "tokens": (layers.Embedding(7, 3), (4,), "embeddings", (7, 3), (0,)),
    "tokens, low rank": (
        layers.Embedding(7, 3, lora_rank=2),
        (4,),
        "lora_embeddings_a",
        (7, 2),
        (0,),
    ),
    "tokens, back from low rank": (
        layers.Embedding(7, 3, lora_rank=2),
        (4,),
        "lora_embeddings_b",
        (2, 3),
        (1,),
    ),
    "low rank": (layers.Dense(3, lora_rank=2), (4,), "lora_kernel_a", (4, 2), (1,)),
    "back from low rank": (layers.Dense(3, lora_rank=2), (4,), "lora_kernel_b", (2, 3), (1,)),
    "wrapped": (layers.TimeDistributed(layers.Dense(3)), (5, 4), "kernel", (4, 3), (1,)),
}


def check_filters(direction, weights, axes):
    """Each filter, one after the other: as long as that of the weights, and turned nowhere."""
    for index in itertools.product(*(range(weights.shape[axis]) for axis in axes)):
        place = [slice(None)] * weights.ndim
        for axis, i in zip(axes, index, strict=True):
            place[axis] = i
        ours, theirs = direction[tuple(place)], weights[tuple(place)]
        lengths = [math.sqrt(sum(float(n) ** 2 for n in np.ravel(a))) for a in (ours, theirs)]
        assert lengths[0] == pytest.approx(lengths[1], rel=1e-9, abs=1e-12)


def check_rule(ours, theirs, raw, axes):
    """As many filters as the axes number, and each is the raw one times a number."""
    check_filters(ours, theirs, axes)
    ratio = ours / raw
    kept = tuple(axis for axis in range(raw.ndim) if axis not in axes)
    np.testing.assert_allclose(ratio, ratio.mean(axis=kept, keepdims=True) + 0 * ratio)
    assert len(np.unique(ratio.round(9))) == math.prod(raw.shape[axis] for axis in axes)


@pytest.mark.parametrize("name", RULES)
def test_each_filter_is_as_long_as_that_of_the_weights(name):
    layer, shape, weight, weight_shape, axes = RULES[name]
    layer = layer.__class__.from_config(layer.get_config())  # made anew, in this test
    model = keras.Sequential([keras.Input(shape), layer])
    (variable,) = [v for v in model.trainable_variables if v.name == weight]
    assert tuple(variable.shape) == weight_shape
    raw, weights = np.random.RandomState(2).normal(size=(2, *weight_shape))
    (own,) = filters.filter_axes(model, [variable])
    check_rule(filters.matched(raw, weights, own), weights, raw, axes)


@pytest.mark.parametrize(
    "make, weight, axes",
    [
        (models.lora, "lora_kernel_a", (1,)),
        (models.lora, "lora_kernel_b", (1,)),
    ],
)
def test_random_directions_follow_the_rules(make, weight, axes):
    objective = objective_of(make)
    origin = np.random.RandomState(2).normal(size=objective.size)
    raw = np.random.default_rng(8).standard_normal((2, objective.size))
    found = directions.random(objective, 2, origin=origin, seed=8)
    for vector, given in zip(found, raw, strict=True):
        check_rule(*(part_of(objective, weight, v) for v in (vector, origin, given)), axes)


ATTENTION = {
    "query": ((5, 2, 3), (1, 2)),
    "key": ((5, 2, 3), (1, 2)),
    "value": ((5, 2, 3), (1, 2)),
    "attention_output": ((2, 3, 5), (2,)),
}


def test_attention_has_one_filter_for_each_output():
    inputs = keras.Input((6, 5))
    layer = layers.MultiHeadAttention(2, 3)
    model = keras.Model(inputs, layer(inputs, inputs))
    model.compile("sgd", "mean_squared_error")
    x = np.random.RandomState(1).normal(size=(2, 6, 5))
    objective = Objective(model, x, x)
    origin = np.random.RandomState(2).normal(size=objective.size)
    found = directions.random(objective, 2, origin=origin, one_dimensional="keep")
    seen = set()
    for path, part, shape in zip(objective.names, objective.slices, objective.shapes, strict=True):
        name, leaf = path.split("/")[-2:]
        expected, axes = ATTENTION[name] if leaf == "kernel" else (shape, ())
        assert shape == expected
        seen.add((name, leaf))
        for vector in found:
            check_filters(vector[part].reshape(shape), origin[part].reshape(shape), axes)
    assert len(seen) == 8
    # Keras has these biases in two dimensions, and biases they are all the same.
    for vector in directions.random(objective, 2, origin=origin):
        for path, part in zip(objective.names, objective.slices, strict=True):
            assert np.any(vector[part]) == path.endswith("kernel")


def test_grouped_attention_as_well():
    inputs = keras.Input((6, 5))
    layer = layers.GroupQueryAttention(3, 4, 2, use_bias=False)
    model = keras.Model(inputs, layer(inputs, inputs))
    axes = filters.filter_axes(model, model.trainable_variables)
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    assert shapes == [(5, 4, 3), (5, 2, 3), (5, 2, 3), (4, 3, 5)]
    assert axes == [(0,), (0,), (0,), (0, 1)]


@keras.saving.register_keras_serializable(package="keras_valleys_tests")
class Holder(keras.Model):
    """Layers in lists and dictionaries, a shared table, and a weight of its own."""

    def __init__(self, **options):
        super().__init__(**options)
        self.parts = {"first": [layers.Conv1DTranspose(2, 3)], "second": (layers.GRU(3),)}
        self.table = layers.Embedding(7, 4)
        self.mixing = self.add_weight(shape=(3, 5), name="mixing")

    def build(self, shape):
        self.table.build(shape)
        self.tied = self.table.embeddings  # is tracked as this model's own as well

    def call(self, inputs):
        vectors = keras.ops.take(self.tied, inputs, axis=0)
        hidden = self.parts["second"][0](self.parts["first"][0](vectors))
        return keras.ops.matmul(hidden, self.mixing)


def test_owners_are_found_wherever_they_are():
    inner = Holder(name="inner")
    inputs = keras.Input((6,), dtype="int32")
    middle = keras.Model(inputs, inner(inputs), name="middle")
    outer = keras.Sequential([keras.Input((6,), dtype="int32"), middle, layers.Dense(2)])
    found = {
        (v.name, tuple(v.shape)): axes
        for v, axes in zip(
            outer.trainable_variables,
            filters.filter_axes(outer, outer.trainable_variables),
            strict=True,
        )
    }
    assert found == {
        ("mixing", (3, 5)): (0,),
        ("kernel", (3, 2, 4)): (0, 2),
        ("bias", (2,)): (0,),
        ("kernel", (2, 9)): (0,),
        ("recurrent_kernel", (3, 9)): (0,),
        ("bias", (2, 9)): (0, 1),
        ("embeddings", (7, 4)): (1,),
        ("kernel", (5, 2)): (0,),
    }


OTHERS = [models.attention, models.convolutions, models.noise, models.recurrent, models.tied]


@pytest.mark.parametrize("make", OTHERS, ids=lambda make: make.__name__)
def test_every_model_has_its_directions(make):
    model, _, _ = make()
    axes = filters.filter_axes(model, model.trainable_variables)
    for variable, own in zip(model.trainable_variables, axes, strict=True):
        rank = len(variable.shape)
        assert set(own) <= set(range(rank)) and (own or not rank)
        assert rank > 1 or own == tuple(range(rank))


def test_random_directions_depend_on_the_seed_alone():
    objective = objective_of(models.nested)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = directions.random(objective, 3, seed=5)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    np.testing.assert_array_equal(found, directions.random(objective, 3, seed=5))
    np.testing.assert_array_equal(found[:1], directions.random(objective, 1, seed=5))
    assert not np.allclose(found, directions.random(objective, 3, seed=6))
    assert found.labels[2] == "random direction 3" and found.shape == (3, objective.size)
    known = {"kind": "random", "normalization": "filter", "one_dimensional": "zero", "seed": 5}
    assert found.details == known


def test_the_other_normalizations():
    objective = objective_of(models.nested)
    origin = objective.point().astype("float64")
    origin[objective.slices[0]] *= 3
    options = dict(normalization="layer", origin=origin)
    found = directions.random(objective, 2, **options)
    kept = directions.random(objective, 2, one_dimensional="keep", **options)
    for part, shape in zip(objective.slices, objective.shapes, strict=True):
        assert np.all(np.any(found.vectors[:, part], axis=1) == (len(shape) > 1))
    for vector, part in itertools.product(kept, objective.slices):
        wanted = np.linalg.norm(origin[part])  # 0 for a bias as Keras makes it
        assert np.linalg.norm(vector[part]) == pytest.approx(wanted, rel=1e-9)
    plain = directions.random(objective, 3, normalization=None, origin=origin)
    np.testing.assert_allclose(plain.vectors @ plain.vectors.T, np.eye(3), atol=1e-12)
    assert plain.details["normalization"] is None and plain.details["one_dimensional"] == "keep"
    kernels = directions.random(objective, 3, normalization=None, one_dimensional="zero")
    np.testing.assert_allclose(kernels.vectors @ kernels.vectors.T, np.eye(3), atol=1e-12)
    flat = [
        part
        for part, shape in zip(objective.slices, objective.shapes, strict=True)
        if len(shape) < 2
    ]
    assert flat and not any(np.any(kernels.vectors[:, part]) for part in flat)
    raw = np.random.default_rng(0).standard_normal(objective.size)
    np.testing.assert_allclose(plain[0], raw / np.linalg.norm(raw), rtol=1e-9)


def test_a_filter_of_zeros_stays_and_a_subset_has_its_own():
    model, x, y = models.sequential()
    kernel = model.layers[1].kernel
    objective = Objective(model, x, y, variables=[kernel])
    origin = np.arange(8.0).reshape(4, 2)
    origin[:, 1] = 0
    found = directions.random(objective, origin=np.ravel(origin))
    assert found.shape == (2, 8) and not np.any(found.vectors.reshape(2, 4, 2)[:, :, 1])
    assert np.linalg.norm(found[1]) == pytest.approx(math.sqrt(0 + 4 + 16 + 36))


LEFT_OUT = {
    "dense bias",
    "GRU bias of rank 2",
    "einsum bias of rank 2",
    "normalization of rank 2",
    "root mean square",
    "slopes",
}


@pytest.mark.parametrize("name", RULES)
def test_one_dimensional_weights_are_left_out(name):
    """Whatever rank Keras has them in; kernels and their like stay, of one filter too."""
    layer, shape, weight, _, _ = RULES[name]
    layer = layer.__class__.from_config(layer.get_config())
    model = keras.Sequential([keras.Input(shape), layer])
    ends = np.cumsum([math.prod(v.shape) for v in model.trainable_variables]).tolist()
    parts = [slice(a, b) for a, b in itertools.pairwise([0, *ends])]
    known = dict(model=model, variables=model.trainable_variables, slices=parts, size=ends[-1])
    found = filters.is_kernel(types.SimpleNamespace(**known))
    for variable, part in zip(model.trainable_variables, parts, strict=True):
        assert len(set(found[part])) == 1 and not (found[part][0] and len(variable.shape) < 2)
        assert variable.name != weight or found[part][0] == (name not in LEFT_OUT)


@keras.saving.register_keras_serializable(package="keras_valleys_tests")
class Scale(layers.Layer):
    """A weight of its own, of rank 0 or 1."""

    def __init__(self, rank, **options):
        super().__init__(**options)
        self.rank = rank

    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:] * self.rank, initializer="ones", name="scale")

    def call(self, inputs):
        return inputs * self.scale


ALL_FLAT = {
    "an angle": lambda: [kv.layers.AngleFit(phi_initializer=0.7)],
    "slopes": lambda: [layers.PReLU(alpha_initializer="ones")],
    "scales": lambda: [Scale(1)],
    "a number": lambda: [Scale(0)],
    "normalizations": lambda: [layers.LayerNormalization(), layers.BatchNormalization()],
}


@pytest.mark.parametrize("name", ALL_FLAT)
def test_a_model_of_one_dimensional_weights_alone_moves_these(name):
    size = 1 if name == "an angle" else 3
    model = keras.Sequential([keras.Input((size,)), *ALL_FLAT[name]()])
    model.compile("sgd", "mean_squared_error")
    x = np.random.RandomState(1).normal(size=(5, size))
    made = Objective(model, x, x)
    for normalization in ("filter", "layer", None):
        found = directions.random(made, normalization=normalization, seed=3)
        assert np.all(np.linalg.norm(found, axis=1) > 0)
        assert found.details["one_dimensional"] == "keep"
        with pytest.raises(ValueError, match='of biases, scales .*Use one_dimensional="keep"'):
            directions.random(made, normalization=normalization, one_dimensional="zero")


def test_a_line_with_an_offset_has_two_directions_that_differ():
    """Its kernel alone is one number, and of numbers there is only forth and back."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    made = Objective(model, np.ones((3, 1)), np.ones((3, 1)))
    for seed in range(8):
        found = directions.random(made, origin=[2.0, 3.0], seed=seed)
        assert found.details["one_dimensional"] == "keep"
        assert abs(np.linalg.det(found.vectors)) == pytest.approx(12)
        np.testing.assert_allclose(np.abs(found.vectors), [[2, 3], [2, 3]])
    assert directions.random(made, 1, origin=[2.0, 3.0])[0, 1] == 0
    # A subset that is the bias alone, and kernels that are zero.
    only = Objective(model, np.ones((3, 1)), np.ones((3, 1)), variables=["bias"])
    assert directions.random(only, origin=[3.0]).shape == (1, 1)
    assert directions.random(made, 1, origin=[0.0, 3.0])[0].tolist()[1] in (3, -3)


def test_what_one_dimensional_may_be():
    made = objective_of(models.nested)
    with pytest.raises(ValueError, match='`one_dimensional` to be "zero", "keep" or None'):
        directions.random(made, one_dimensional="zeros")


def test_scaled_directions_undo_a_scaling_of_the_network():
    """A relu network is the same function if one layer is halved and the next doubled."""
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(5, "relu", use_bias=False), layers.Dense(2)]
    )
    model.compile("sgd", "mean_squared_error")
    random = np.random.RandomState(1)
    objective = Objective(model, random.normal(size=(9, 3)), random.normal(size=(9, 2)))
    point = objective.point().astype("float64")
    factors = np.ones(objective.size)
    factors[objective.slices[0]], factors[objective.slices[1]] = 8, 1 / 8
    losses = []
    for origin in (point, point * factors):
        plane = directions.random(objective, origin=origin, seed=2)
        axes = np.linspace(-0.7, 1, 4), np.linspace(-0.4, 0.5, 3)
        surface = surfaces.evaluate(objective, plane, coordinates=axes, origin=origin)
        losses.append(surface.losses)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
