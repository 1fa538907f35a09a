"""The objective is `model.evaluate` at any point of weight space."""

import keras
import numpy as np
import pytest

from helpers import references
from helpers.lines import BUILDERS, dense_model, rosette_model
from helpers.weights import weights_of
from keras_valleys.datasets import rosette
from keras_valleys.objectives import Objective


def mlp(**options):
    """Regularizers, BatchNormalization, Dropout and a frozen layer in one model."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(5, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.1)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(4, trainable=False),
            keras.layers.Dense(2),
        ]
    )
    model.compile("adam", **{"loss": "mean_absolute_error", **options})
    return model


def some_data(rows=37):
    random = np.random.RandomState(7)
    return random.normal(size=(rows, 3)).astype("float32"), random.normal(size=(rows, 2))


def some_points(objective, shape):
    noise = np.random.RandomState(8).normal(size=(*shape, objective.size))
    return objective.point() + 0.3 * noise.astype("float32")


@pytest.mark.parametrize("build", BUILDERS)
def test_it_is_evaluate_for_the_angle(build):
    (x, y), _ = rosette()
    model = rosette_model(build=build)
    objective = Objective(model, x, y)
    points = np.linspace(-1.4, 1.5, 7)[:, None]
    np.testing.assert_allclose(
        objective(points), references.evaluate_at(model, points, x, y), rtol=1e-6
    )
    assert objective.size == 1 and objective.weight_names == ["phi"]
    assert objective.loss_name == "root_error"


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_evaluate_for_a_network_and_leaves_it_untouched(weighted):
    x, y = some_data()
    sample_weight = np.linspace(0, 2, len(x)) if weighted else None
    model = mlp()
    model.fit(x, y, verbose=0)
    before = [np.array(keras.ops.convert_to_numpy(v.value)) for v in model.variables]
    objective = Objective(model, x, y, sample_weight)
    points = some_points(objective, (2, 3))
    losses = objective(points)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), value)
    assert losses.shape == (2, 3)
    expected = references.evaluate_at(model, points, x, y, sample_weight)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_several_inputs_and_outputs():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    both = keras.layers.Concatenate()([a, b])
    outputs = {
        "u": keras.layers.Dense(1, name="u")(both),
        "v": keras.layers.Dense(2, name="v")(both),
    }
    model = keras.Model({"a": a, "b": b}, outputs)
    model.compile(
        "sgd",
        {"u": "mean_squared_error", "v": "mean_absolute_error"},
        loss_weights={"u": 2, "v": 3},
    )
    random = np.random.RandomState(9)
    x = {"a": random.normal(size=(20, 2)), "b": random.normal(size=(20, 3))}
    y = {"u": random.normal(size=(20, 1)), "v": random.normal(size=(20, 2))}
    objective = Objective(model, x, y)
    points = some_points(objective, (3,))
    np.testing.assert_allclose(
        objective(points), references.evaluate_at(model, points, x, y), rtol=1e-5
    )


def test_the_flat_vector_has_keras_order_and_names():
    model = mlp()
    objective = Objective(model, *some_data())
    np.testing.assert_array_equal(objective.point(), weights_of(model))
    assert objective.size == 5 * 3 + 5 + 5 + 5 + 4 * 2 + 2
    for variable, name, part in zip(
        model.trainable_variables, objective.names, objective.slices, strict=True
    ):
        assert name == variable.path
        value = keras.ops.convert_to_numpy(variable.value)
        np.testing.assert_array_equal(objective.point()[part], np.ravel(value))
    assert len(objective.weight_names) == objective.size
    assert Objective(dense_model(), np.ones((4, 1)), np.ones((4, 1))).weight_names == [
        "kernel",
        "bias",
    ]


def test_along_is_the_same_points_and_sees_new_weights():
    x, y = some_data()
    model = mlp()
    objective = Objective(model, x, y)
    directions = np.random.RandomState(1).normal(size=(2, objective.size))
    coefficients = np.random.RandomState(2).normal(size=(3, 4, 2))
    points = objective.point() + coefficients @ directions
    losses = objective.along(coefficients, directions, objective.point())
    np.testing.assert_allclose(losses, objective(points), rtol=2e-5)
    first = float(objective(objective.point()))
    model.fit(x, y, epochs=3, verbose=0)  # moves BatchNormalization's statistics as well
    again = float(objective(objective.point()))
    assert again != first
    assert again == pytest.approx(
        float(references.evaluate_at(model, objective.point(), x, y)), rel=1e-5
    )


def test_a_fresh_model_with_several_outputs_stays_readable():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])
    model.compile("sgd", ["mean_squared_error", "mean_absolute_error"])
    x, y = np.ones((6, 4), "float32"), np.ones((6, 1), "float32")
    objective = Objective(model, x, [y, y])
    loss = float(objective(objective.point()))
    assert all(float(keras.ops.convert_to_numpy(v.value)) == 0 for v in model.metrics_variables)
    assert loss == pytest.approx(
        float(references.evaluate_at(model, objective.point(), x, [y, y])), rel=1e-5
    )


def test_a_loss_that_is_not_reduced_is_averaged_as_evaluate_does():
    x, y = np.arange(5.0)[:, None], np.ones((5, 1))
    model = dense_model(loss=keras.losses.MeanSquaredError(reduction=None))
    objective = Objective(model, x, y)
    expected = references.evaluate_at(model, objective.point(), x, y)
    assert float(objective(objective.point())) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("change", ["compile", "freeze"])
def test_a_model_that_has_become_another_is_refused(change):
    model = mlp()
    objective = Objective(model, *some_data())
    objective(objective.point())
    if change == "compile":
        model.compile("sgd", "mean_squared_error")
    else:
        model.layers[0].trainable = False  # which also drops its regularizer from the loss
    with pytest.raises(ValueError, match="Make a new Objective"):
        objective(objective.point())


def test_no_points_are_no_losses():
    objective = Objective(rosette_model(), *rosette()[0])
    assert objective(np.empty((0, 1))).shape == (0,)
    assert objective(np.empty((3, 0, 1))).shape == (3, 0)


def test_diverged_points_stay_diverged():
    (x, y), _ = rosette()
    losses = Objective(rosette_model(), x, y)([[np.nan], [np.inf], [0.0]])
    assert np.isnan(losses[0]) and not np.isfinite(losses[1]) and np.isfinite(losses[2])


@pytest.mark.parametrize(
    "make, x, y, message",
    [
        (
            lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]),
            3,
            3,
            "compiled with a loss",
        ),
        (lambda: dense_model(loss=None), 3, 3, "compiled with a loss"),
        (dense_model, 3, 4, "of one length >= 1"),
        (dense_model, 0, 0, "of one length >= 1"),
    ],
)
def test_bad_input_is_refused(make, x, y, message):
    with pytest.raises(ValueError, match=message):
        Objective(make(), np.ones((x, 1)), np.ones((y, 1)))


def test_unbuilt_and_frozen_models_and_data_that_are_no_arrays_are_refused():
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    frozen = dense_model()
    frozen.trainable = False
    frozen.compile("sgd", "mse")
    for model in (unbuilt, frozen):
        with pytest.raises(ValueError, match="is built and has trainable weights"):
            Objective(model, np.ones((3, 1)), np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"points of shape \(..., 2\)"):
        Objective(dense_model(), np.ones((3, 1)), np.ones((3, 1)))([1.0, 2.0, 3.0])
