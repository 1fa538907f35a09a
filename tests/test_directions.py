"""Directions against explicit loops over filters, dense PCA and plain geometry."""

import itertools
import json
import math
import tracemalloc

import keras
import models
import numpy as np
import pytest
from keras import layers

from keras_valleys import _filters, _rows, directions, gradients, surfaces
from keras_valleys.directions import Directions
from keras_valleys.objectives import Objective
from keras_valleys.trajectories import Trajectory


def objective_of(make, seed=3, **options):
    keras.utils.set_random_seed(seed)
    return Objective(*make(), **options)


def part_of(objective, name, vector):
    (k,) = [k for k, path in enumerate(objective.names) if path.rsplit("/", 1)[-1] == name]
    return vector[objective.slices[k]].reshape(objective.shapes[k])


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
    (own,) = _filters.filter_axes(model, [variable])
    check_rule(_filters.matched(raw, weights, own), weights, raw, axes)


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
    found = directions.random(objective, 2, origin=origin)
    seen = set()
    for path, part, shape in zip(objective.names, objective.slices, objective.shapes, strict=True):
        name, leaf = path.split("/")[-2:]
        expected, axes = ATTENTION[name] if leaf == "kernel" else (shape, ())
        assert shape == expected
        seen.add((name, leaf))
        for vector in found:
            check_filters(vector[part].reshape(shape), origin[part].reshape(shape), axes)
    assert len(seen) == 8


def test_grouped_attention_as_well():
    inputs = keras.Input((6, 5))
    layer = layers.GroupQueryAttention(3, 4, 2, use_bias=False)
    model = keras.Model(inputs, layer(inputs, inputs))
    axes = _filters.filter_axes(model, model.trainable_variables)
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
            _filters.filter_axes(outer, outer.trainable_variables),
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
    axes = _filters.filter_axes(model, model.trainable_variables)
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
    assert found.details == {"kind": "random", "normalization": "filter", "seed": 5}


def test_the_other_normalizations():
    objective = objective_of(models.nested)
    origin = objective.point().astype("float64")
    origin[objective.slices[0]] *= 3
    found = directions.random(objective, 2, normalization="layer", origin=origin)
    for vector, part in itertools.product(found, objective.slices):
        wanted = np.linalg.norm(origin[part])  # 0 for a bias as Keras makes it
        assert np.linalg.norm(vector[part]) == pytest.approx(wanted, rel=1e-9)
    plain = directions.random(objective, 3, normalization=None, origin=origin)
    np.testing.assert_allclose(plain.vectors @ plain.vectors.T, np.eye(3), atol=1e-12)
    assert plain.details["normalization"] is None
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


def test_coordinates_are_single_weights():
    objective = objective_of(models.nested)
    for name in [objective.weight_names[7], objective.weight_names[-1]]:
        found = directions.coordinate(objective, name)
        assert found.labels == (name,) and found.details == {"kind": "coordinate", "names": [name]}
        assert np.flatnonzero(found).tolist() == [objective.weight_names.index(name)]
    assert objective.names[0].count("/") == 2  # a layer of a model within a model
    pair = f"{objective.names[-2]}[2,1]", " " + objective.names[0].split("/", 1)[-1] + "[ 0,3 ]"
    found = directions.coordinate(objective, pair)
    assert np.argmax(found, axis=1).tolist() == [objective.size - 3, 3]
    assert found.labels == (pair[0], pair[1].strip())
    single = objective_of(models.subclassed)
    places = {"scale": single.names.index(single.variables[0].path)}
    assert np.argmax(directions.coordinate(single, "scale")[0]) == places["scale"] == 0


@pytest.mark.parametrize(
    "names, message",
    [
        ("kernal[0, 1]", r"the name of a weight. Received: 'kernal\[0, 1\]'.*kernel\[2, "),
        ("kernel[0, 1]", r"more of the path. Received: 'kernel\[0, 1\]'. Weights that exist are "),
        ("dense_x/bias[1]", "the name of a weight"),
        ("{last}[3, 0]", r"an index within the shape \(3, 2\) of '.*kernel'. Received"),
        ("{last}[1]", r"within the shape \(3, 2\).*exist are '.*kernel\[2, 1\]'"),
        ("{last}", "an index within the shape"),
        ("{last}[-1, 0]", "an index within the shape"),
        (["{last}[0, 1]", "{last}[0,1]"], "the names of different weights"),
        ([], "the names of different weights"),
        (3, "names that are texts. Received: 3"),
        ([3], "names that are texts. Received: 3"),
    ],
)
def test_names_that_are_not_those_of_one_weight_are_refused(names, message):
    objective = objective_of(models.nested)

    def full(name):
        return name.replace("{last}", objective.names[-2]) if isinstance(name, str) else name

    names = [full(name) for name in names] if isinstance(names, list) else full(names)
    with pytest.raises(ValueError, match=f"`coordinate` expects .*{message}"):
        directions.coordinate(objective, names)


def walk(rows=23, size=40, seed=2):
    random = np.random.default_rng(seed)
    scales = np.r_[5, 3, 2, 0.1 * np.ones(size - 3)]
    turn = np.linalg.qr(random.normal(size=(size, size)))[0]
    return (random.normal(size=(rows, size)) * scales) @ turn + 7


def check_principal(found, rows, count):
    """The twin: the eigenvectors of the dense covariance."""
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    expected = vectors.T[::-1][:count]
    signs = np.sign([row[np.abs(row).argmax()] for row in expected])
    np.testing.assert_allclose(found, expected * signs[:, None], atol=1e-8)
    explained = (values[::-1] / values.sum())[:count]
    np.testing.assert_allclose(found.details["explained_variance"], explained, rtol=1e-9)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(count), atol=1e-12)


@pytest.mark.parametrize("gram_rows", [1, 1024], ids=["by products", "by all pairs"])
@pytest.mark.parametrize("shape", [(23, 40), (60, 40)])
def test_principal_directions_are_those_of_the_covariance(shape, gram_rows, monkeypatch):
    monkeypatch.setattr(_rows, "GRAM_ROWS", gram_rows)
    monkeypatch.setattr(_rows, "BLOCK_NUMBERS", 200)
    rows = walk(*shape)
    for count in (1, 3):
        check_principal(directions.principal(rows, count), rows, count)
    np.testing.assert_array_equal(directions.principal(rows), directions.principal(rows.tolist()))


def test_several_paths_are_one_set_of_rows():
    rows = walk(30)
    bad = rows.copy()[:8]
    bad[[1, 4, 6], [0, 3, 39]] = np.nan, np.inf, -np.inf
    paths = [
        Trajectory(np.arange(8), bad, np.zeros(8)),
        Trajectory(np.arange(12), rows[8:20], np.zeros(12)),
        rows[20:],
    ]
    found = directions.principal(paths, 3)
    check_principal(found, np.delete(rows, [1, 4, 6], axis=0), 3)
    assert found.details["kind"] == "principal" and found.details["num_rows"] == 27
    alone = directions.principal(paths[1])
    check_principal(alone, rows[8:20], 2)


def test_a_single_weight_has_one_principal_direction():
    found = directions.principal(np.array([[3.0], [4.0], [4.5]]), 1)
    assert found.vectors.tolist() == [[1.0]]
    assert found.details["explained_variance"] == pytest.approx([1.0])


@pytest.mark.parametrize("gram_rows", [1, 1024])
@pytest.mark.parametrize(
    "rows, message",
    [
        (np.ones((5, 3)), "at least 3 different finite rows .* span 0 dimensions"),
        (np.ones((1, 3)), "Received: 1 rows, 1 of them finite, that span 0 dimensions"),
        (np.full((4, 3), np.nan), "Received: 4 rows, 0 of them finite, that span 0"),
        (np.outer(np.arange(6.0), [1, 2, 3]) + 0.1, "6 of them finite, that span 1 dimensions"),
        (np.arange(6.0)[:, None], "span 1 dimensions"),
        (np.empty((0, 3)), "Received: 0 rows"),
    ],
)
def test_rows_that_span_too_little_are_refused(rows, message, gram_rows, monkeypatch):
    monkeypatch.setattr(_rows, "GRAM_ROWS", gram_rows)
    with pytest.raises(ValueError, match=f"`principal` expects .*{message}"):
        directions.principal(rows)


def test_long_paths_of_large_models_need_little_memory():
    random = np.random.default_rng(1)
    rows = (random.normal(size=(1500, 2)) * [3, 2]).astype("float32")
    wide = rows @ random.normal(size=(2, 15_000)).astype("float32")
    tracemalloc.start()
    found = directions.principal(wide)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < wide.nbytes / 2  # 90 MB; a float64 copy alone would be 180
    assert sum(found.details["explained_variance"]) == pytest.approx(1, abs=1e-6)
    left = wide[::100] - wide.mean(axis=0)
    inside = left @ found.vectors.T @ found.vectors
    np.testing.assert_allclose(inside, left, atol=1e-3)


def test_between_two_points_and_through_three():
    start, end, third = np.random.RandomState(4).normal(size=(3, 6))
    line = directions.between(start, end)
    distance = np.linalg.norm(end - start)
    np.testing.assert_allclose(line.vectors, [(end - start) / distance], rtol=1e-12)
    np.testing.assert_allclose(line.details["coordinates"], [[0], [distance]])
    plane = directions.between(start, end, third)
    np.testing.assert_allclose(plane.vectors @ plane.vectors.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(plane[0], line[0], rtol=1e-12)
    points = start + np.array(plane.details["coordinates"]) @ plane
    np.testing.assert_allclose(points, [start, end, third], rtol=1e-12)
    assert plane.details["coordinates"][1][1] == 0 < plane.details["coordinates"][2][1]
    oblique = directions.between(start, end, third, orthonormal=False)
    np.testing.assert_array_equal(oblique, [end - start, third - start])
    assert oblique.details["coordinates"] == [[0, 0], [1, 0], [0, 1]]
    assert oblique.labels == ("from start to end", "towards third") and len(line.labels) == 1


@pytest.mark.parametrize(
    "points, message",
    [
        (([1, 2], [1, 2]), "points that differ and are not on one line"),
        (([1, 2], [1, 3], [1, 2]), r"Received: points at the distances \[1.0, 0.0\]"),
        (([1, 2], [2, 3], [3, 4.0000001]), "not on one line"),
        (([1, 2, 3], [1, 2]), "`end` to be a weight vector of 3 finite numbers. Received: shape"),
        (([1, 2], [1, np.nan]), "`end` to be a weight vector"),
        (([1, np.inf], [1, 2]), "`start` to be a weight vector"),
        (([[1, 2]], [[1, 3]]), "`start` to be a weight vector"),
        (([1, 2], [1, 3], [1]), "`third` to be a weight vector"),
    ],
)
@pytest.mark.parametrize("orthonormal", [True, False])
def test_points_that_make_no_line_or_plane_are_refused(points, message, orthonormal):
    with pytest.raises(ValueError, match=f"`between` expects .*{message}"):
        directions.between(*points, orthonormal=orthonormal)


def test_hessian_directions_are_the_sharpest():
    objective = objective_of(models.sequential)
    origin = objective.point() + 0.1
    found = directions.hessian(objective, 3, origin=origin, seed=4)
    expected = gradients.sharpness(objective, origin, num_eigenvalues=3, seed=4)
    np.testing.assert_array_equal(found, expected.eigenvectors)
    assert found.details["eigenvalues"] == expected.eigenvalues.tolist()
    assert found.labels == ("eigenvector 1", "eigenvector 2", "eigenvector 3")
    step = 0.02
    losses = objective([origin + s * v for v in found for s in (-step, 0, step)]).reshape(3, 3)
    curvature = (losses.astype("float64") @ [1, -2, 1]) / step**2
    np.testing.assert_allclose(curvature, expected.eigenvalues, rtol=0.05)


def test_directions_are_an_array_with_labels():
    given = np.arange(6).reshape(2, 3)
    found = Directions(given, ["a", "b"])
    given[0, 0] = 99
    assert found[0].tolist() == [0, 1, 2] and found.labels == ("a", "b")
    assert found.shape == (2, 3) and len(found) == 2 and [len(row) for row in found] == [3, 3]
    assert np.asarray(found) is found.vectors and found.vectors.dtype == "float64"
    assert np.asarray(found, "float32").dtype == "float32"
    np.testing.assert_array_equal([1, 2] @ np.asarray(found), np.array([1, 2]) @ found)
    np.testing.assert_array_equal(np.array(found, copy=True), found)
    with pytest.raises(ValueError, match="copy"):
        np.array(found, "float32", copy=False)
    with pytest.raises(ValueError, match="read-only"):
        found.vectors[0, 0] = 1
    assert found.details == {"kind": "given"} and json.dumps(found.details)
    assert Directions(np.ones((1, 2)), "phi").labels == ("phi",)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1, 2], ["a"]), r"`vectors` of shape \(K, P\) and K labels. Received: .* \(2,\)"),
        (([[1, 2]], ["a", "b"]), r"labels=\('a', 'b'\). Give each row one label"),
        ((np.empty((0, 3)), []), "`Directions` expects `vectors`"),
        (([[1, np.nan]], "a"), "finite `vectors`"),
        (([[1, 2]], "a", {"seed": np.int64(3)}), "`details` to be what JSON can write"),
        (([[1, 2]], "a", {"value": math.nan}), "`details` to be what JSON can write"),
    ],
)
def test_what_is_no_set_of_directions_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Directions(*arguments)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda o: directions.random(o, 27), "`random` expects `num_directions` .* from 1 to 26"),
        (lambda o: directions.random(o, 0), "Received: num_directions=0. Use num_directions=1"),
        (lambda o: directions.random(o, normalization="row"), 'be "filter", "layer" or None'),
        (lambda o: directions.random(o, seed=1.5), "`seed` to be an integer >= 0. Received"),
        (lambda o: directions.random(o, seed=-1), "Received: seed=-1"),
        (lambda o: directions.random(o, origin=[1.0]), r"vector of 26 finite numbers.*shape \(1,"),
        (lambda o: directions.random(o, origin=[np.inf] * 26), "NaN or infinite"),
        (lambda o: directions.random(o, origin=[0] * 26), "an origin of zeros. Give another"),
        (lambda o: directions.hessian(o, 27), "`hessian` expects `num_directions`"),
        (lambda o: directions.hessian(o, seed="a"), "`seed` to be an integer"),
        (lambda o: directions.principal(np.ones((3, 2)), 0), "`num_directions` to be an integer"),
        (lambda o: directions.principal([]), "`principal` expects trajectories, or arrays"),
        (
            lambda o: directions.principal([np.ones((3, 2)), np.ones((3, 4))]),
            r"over the same P weights. Received: shapes \[\(3, 2\), \(3, 4\)\]",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(objective_of(models.sequential))
