import keras
import numpy as np
import pytest

from keras_valleys.constraints import WrapAngle


def wrap(angles):
    return np.asarray(keras.ops.convert_to_numpy(WrapAngle()(keras.ops.convert_to_tensor(angles))))


def test_angles_inside_are_returned_bit_for_bit():
    inside = np.random.RandomState(1).uniform(-1.5707962, 1.5707962, 1001).astype("float32")
    inside = np.concatenate([inside, np.float32([0, -0.0, 1e-40, -1.5707962, 1.5707962])])
    assert wrap(inside).tobytes() == inside.tobytes()


def test_angles_outside_are_wrapped_into_the_half_open_interval():
    angles = np.concatenate(
        [np.random.RandomState(2).uniform(-700, 900, 5001), [np.pi / 2, -np.pi / 2, 1e9]]
    ).astype("float32")
    wrapped = wrap(angles).astype("float64")
    assert np.all(wrapped >= -np.pi / 2) and np.all(wrapped < np.pi / 2)
    exact = angles.astype("float64") - np.pi * np.floor(angles.astype("float64") / np.pi + 0.5)
    far = np.abs(angles) > 1e6
    apart = np.abs(wrapped - exact)[~far]
    assert np.max(np.minimum(apart, np.pi - apart)) < 5e-6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_bounds_hold_in_every_dtype(dtype):
    if dtype == "float64" and keras.config.backend() == "jax":
        pytest.skip("x64 is off")
    angles = keras.ops.cast(np.linspace(-4, 5, 901), dtype)
    wrapped = keras.ops.convert_to_numpy(WrapAngle()(angles)).astype("float64")
    assert np.all(wrapped >= -np.pi / 2) and np.all(wrapped < np.pi / 2)


def test_angles_that_are_not_finite_become_nan():
    assert np.all(np.isnan(wrap(np.float32([np.nan, np.inf, -np.inf]))))


def test_it_is_deserialized_by_name():
    config = keras.constraints.serialize(WrapAngle())
    assert config["registered_name"] == "keras_valleys>WrapAngle"
    assert isinstance(keras.constraints.deserialize(config), WrapAngle)
