import keras
import numpy as np
import pytest
from keras import ops

import keras_valleys as kv
from helpers import references


def to_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def some(shape, seed):
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("root", [1, 4 / 3, 2, 3, 4.0, 10])
@pytest.mark.parametrize("shape", [(7, 1), (5, 3), (2, 3, 4)])
def test_values_are_the_formula(root, shape):
    y_true, y_pred = some(shape, 1), some(shape, 2)
    expected = references.root_error(y_true, y_pred, root)
    np.testing.assert_allclose(
        to_numpy(kv.losses.root_error(y_true, y_pred, root)), expected, rtol=2e-6
    )
    loss = kv.losses.RootError(root)(y_true, y_pred)
    np.testing.assert_allclose(float(loss), expected.mean(), rtol=2e-6)


def test_it_meets_the_losses_of_keras():
    y_true, y_pred = some((9, 2), 1), some((9, 2), 2)
    squared, absolute = keras.losses.MeanSquaredError(), keras.losses.MeanAbsoluteError()
    assert float(kv.losses.RootError(1)(y_true, y_pred)) == pytest.approx(
        float(squared(y_true, y_pred))
    )
    assert float(kv.losses.RootError(2)(y_true, y_pred)) == pytest.approx(
        float(absolute(y_true, y_pred))
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("root", [1, 2, 4, 100])
def test_gradients_are_finite_everywhere_and_zero_at_zero_error(dtype, root):
    if dtype == "float64" and keras.config.backend() == "jax":
        pytest.skip("x64 is off")
    tiny, huge = {"float16": (6e-8, 3e4), "float64": (1e-300, 1e150)}.get(dtype, (1e-37, 1e18))
    errors = [0.0, -0.0, 1e-45, -1e-41, tiny, -2 * tiny, 1e-4, 0.5, -3.0, huge]
    errors = ops.cast(np.array(errors)[:, None], dtype)
    values = kv.losses.root_error(ops.zeros_like(errors), errors, root)
    gradients = references.gradient(
        lambda e: kv.losses.root_error(ops.zeros_like(e), e, root), errors
    )
    assert keras.backend.standardize_dtype(values.dtype) == dtype
    values = np.asarray(
        ops.convert_to_numpy(ops.cast(values, "float64" if dtype == "float64" else "float32"))
    )
    assert np.all(values[:2] == 0) and np.all(gradients[:2] == 0)
    assert np.all(np.isfinite(gradients))
    exact = np.abs(np.array([1e-4, 0.5, 3.0]))
    precision = {"float16": 2e-3, "bfloat16": 2e-2}.get(dtype, 2e-6)
    np.testing.assert_allclose(values[6:9], exact ** (2 / root), rtol=precision, atol=1e-8)


def test_gradients_are_the_formula():
    errors = some((40, 1), 5)
    for root in (1, 2, 3, 4):
        found = references.gradient(
            lambda e, r=root: kv.losses.root_error(ops.zeros_like(e), e, r), errors
        )
        p = 2 / root
        np.testing.assert_allclose(
            found,
            p * np.abs(errors) ** (p - 1) * np.sign(errors),
            rtol=1e-5,
            err_msg=f"root {root}",
        )


def test_nan_stays_nan_and_infinity_infinity():
    values = to_numpy(
        kv.losses.root_error(np.zeros((2, 1), "float32"), np.float32([[np.nan], [np.inf]]))
    )
    assert np.isnan(values[0]) and values[1] == np.inf


def test_flat_targets_do_what_keras_own_losses_do():
    flat, column = some((6,), 1), some((6, 1), 2)
    for y_true, y_pred in [(flat, column), (column, flat)]:
        keras_loss = keras.losses.MeanAbsoluteError(reduction=None)(y_true, y_pred)
        ours = kv.losses.RootError(2, reduction=None)(y_true, y_pred)
        np.testing.assert_allclose(to_numpy(ours), to_numpy(keras_loss), rtol=1e-6)
        assert to_numpy(ours).shape == (6,)


@pytest.mark.parametrize(
    "shapes", [((6,), (6, 2)), ((6, 2), (6,)), ((6, 1, 1), (6,)), ((6, 2), (6, 2, 3))]
)
def test_other_rank_mismatches_are_errors(shapes):
    y_true, y_pred = (np.zeros(shape, "float32") for shape in shapes)
    with pytest.raises(ValueError, match="one rank, or \\(N,\\) against \\(N, 1\\)"):
        kv.losses.RootError()(y_true, y_pred)


@pytest.mark.parametrize("root", [0, 0.99, -4, float("nan"), float("inf"), "4", None])
def test_impossible_roots_are_refused(root):
    with pytest.raises(ValueError, match="expects `root` to be a finite number >= 1"):
        kv.losses.RootError(root)
    with pytest.raises(ValueError, match="expects `root` to be a finite number >= 1"):
        kv.losses.root_error(np.zeros((1, 1)), np.zeros((1, 1)), root=root)


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", None]
)
def test_sample_weights_and_reductions_are_those_of_keras(reduction):
    y_true, y_pred, weights = some((7, 3), 1), some((7, 3), 2), np.float32([1, 0, 2, 0.5, 3, 1, 0])
    expected = keras.losses.MeanAbsoluteError(reduction=reduction)(y_true, y_pred, weights)
    found = kv.losses.RootError(2, reduction=reduction)(y_true, y_pred, weights)
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=1e-6)


@pytest.mark.parametrize(
    "dtype", [None, "float32", "float16", "bfloat16", keras.DTypePolicy("mixed_bfloat16")]
)
def test_config_round_trip_keeps_root_and_dtype(dtype):
    loss = kv.losses.RootError(3, reduction="sum", name="three", dtype=dtype)
    twin = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (twin.root, twin.reduction, twin.name, twin.dtype) == (3.0, "sum", "three", loss.dtype)
    assert twin.get_config() == loss.get_config()
    y_true, y_pred = some((5, 1), 1), some((5, 1), 2)
    assert float(twin(y_true, y_pred)) == float(loss(y_true, y_pred))
    assert keras.backend.standardize_dtype(loss(y_true, y_pred).dtype) == loss.dtype


def test_the_function_compiles_by_its_registered_name():
    function = keras.saving.get_registered_object("keras_valleys>root_error")
    assert function is kv.losses.root_error


def test_class_weights_scale_the_rows():
    x, y = some((8, 1), 1), np.int32([[0], [1]] * 4)
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
    model.compile("sgd", kv.losses.RootError(2))
    model.optimizer.learning_rate = 0.0
    history = model.fit(x, y, class_weight={0: 1.0, 1: 3.0}, batch_size=8, verbose=0)
    expected = np.mean(np.abs(x - y) * np.where(y == 0, 1, 3))
    assert float(history.history["loss"][0]) == pytest.approx(expected, rel=1e-6)
