"""Losses that leave the graph: evaluated eagerly with a warning, and not differentiated."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import keras_valleys as kv
from helpers import references
from helpers.objectives import small_data, some_points
from keras_valleys.objectives import Objective

BACKEND = keras.config.backend()


def in_numpy(y, z):
    error = to_numpy(y) - to_numpy(z)
    return keras.ops.convert_to_tensor(np.mean(error**2, axis=-1))


def scaled_in_numpy(y, z):
    scale = 1 + float(np.mean(to_numpy(z)) ** 2)
    return scale * keras.ops.mean(keras.ops.square(y - z), axis=-1)


def by_if(y, z):
    errors = keras.ops.mean(keras.ops.square(y - z), axis=-1)
    return errors if float(keras.ops.mean(errors)) < 0.1 else 2 * errors


def by_py_function(y, z):
    import tensorflow as tf

    return tf.py_function(lambda a, b: tf.reduce_mean((a - b) ** 2, axis=-1), [y, z], tf.float32)


def to_numpy(tensor):
    if BACKEND == "torch":
        return tensor.detach().numpy()
    return np.asarray(tensor)


def model_of(loss, **options):
    keras.utils.set_random_seed(4)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, "tanh"), layers.Dense(1)])
    model.compile("sgd", loss, **options)
    return model


def made(loss, **options):
    """An Objective, and whether it warned that it is not compiled."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        objective = Objective(model_of(loss, **options), *small_data())
        objective(objective.point())
    assert all("not compiled" in str(one.message) for one in told)
    return objective, bool(told)


@pytest.mark.parametrize("run_eagerly", [True, False])
@pytest.mark.parametrize("loss", [in_numpy, scaled_in_numpy, by_if, by_py_function])
def test_a_loss_that_leaves_the_graph_is_evaluated(loss, run_eagerly):
    if loss is by_py_function and BACKEND != "tensorflow":
        pytest.skip("of TensorFlow")
    objective, told = made(loss, run_eagerly=run_eagerly)
    assert told == (BACKEND != "torch")  # where nothing is compiled
    points = some_points(objective)
    if BACKEND == "jax":  # whose `evaluate` cannot do it
        values = [references.evaluate_at(model_of("mse"), p, *small_data()) for p in points]
        assert loss is not in_numpy or np.allclose(objective(points), values, rtol=1e-5)
        assert np.all(objective(points) >= 0.999 * np.array(values))
        return
    model = model_of(loss, run_eagerly=True)
    expected = references.evaluate_at(model, points, *small_data(), batch_size=19)
    np.testing.assert_allclose(objective(points), expected, rtol=1e-5)


def test_run_eagerly_alone_is_no_reason_to_warn():
    objective, told = made("mean_squared_error", run_eagerly=True)
    assert not told and kv.gradients.gradient(objective, objective.point()).any()


@pytest.mark.parametrize("loss", [in_numpy, scaled_in_numpy, by_if])
def test_a_derivative_that_is_none_is_refused(loss):
    objective, _ = made(loss)
    if loss is by_if and BACKEND != "jax":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert kv.gradients.gradient(objective, objective.point()).any()
        return
    whose = "that JAX can differentiate" if BACKEND == "jax" else "as the backend gives it, is its"
    for derive in (
        lambda: kv.gradients.gradient(objective, objective.point()),
        lambda: kv.gradients.sharpness(objective),
    ):
        with warnings.catch_warnings(), pytest.raises(ValueError, match=whose):
            warnings.simplefilter("ignore")
            derive()


def test_descents_that_fit_would_not_make_are_refused():
    objective, _ = made(in_numpy)
    whose = "that JAX can differentiate" if BACKEND == "jax" else "that the backend can different"
    with warnings.catch_warnings(), pytest.raises(ValueError, match=whose):
        warnings.simplefilter("ignore")
        kv.descents.descend(objective, "adam", [objective.point()], 3)


def test_descents_on_level_ground_stay_where_they_are():
    dead = keras.Sequential([keras.Input((2,)), layers.Dense(3, "relu"), layers.Dense(1)])
    first, bias, *_ = dead.trainable_variables
    first.assign(0 * first)
    bias.assign(0 * bias - 9)
    dead.compile(loss="mean_squared_error")
    objective = Objective(dead, *small_data(), variables=[dead.layers[0]])
    starts = [objective.point(), objective.point() + 0.1]
    np.testing.assert_array_equal(
        kv.descents.descend(objective, "sgd", starts, 3).weights, np.float32(starts)
    )
