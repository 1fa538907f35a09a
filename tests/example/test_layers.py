import copy
import math
import pickle

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.lines import BUILDERS, rosette_model
from helpers.weights import weights_of


def to_numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("shape", [(), (7,), (5, 1), (2, 3, 4)])
def test_it_multiplies_by_the_tangent_for_any_shape(shape):
    x = np.random.RandomState(3).normal(size=shape).astype("float32")
    layer = kv.layers.AngleFit(phi_initializer=-1.2)
    np.testing.assert_allclose(to_numpy(layer(x)), math.tan(-1.2) * x, rtol=2e-6)
    assert layer.compute_output_shape(shape) == shape
    assert [tuple(v.shape) for v in layer.trainable_variables] == [()]
    assert layer.trainable_variables[0].path.endswith("/phi")


def test_integer_inputs_are_multiplied_too():
    np.testing.assert_allclose(
        to_numpy(kv.layers.AngleFit()(np.array([[2], [3]]))), [[2], [3]], rtol=1e-6
    )


def test_rotating_by_pi_changes_nothing():
    x = np.float32([[0.3], [-2.0]])
    a, b = (kv.layers.AngleFit(phi)(x) for phi in (0.4, 0.4 + math.pi))
    np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-5)


@pytest.mark.parametrize(
    "phi", [0.3, 1, np.float32(0.3), np.float64(0.3), "zeros", keras.initializers.Constant(0.2)]
)
def test_config_round_trip(phi):
    layer = kv.layers.AngleFit(
        phi, phi_regularizer=keras.regularizers.L2(0.1), phi_constraint=kv.constraints.WrapAngle()
    )
    config = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    for twin in (config, kv.layers.AngleFit.from_config(layer.get_config())):
        twin.build((None, 1))
        layer.build((None, 1)) if not layer.built else None
        assert to_numpy(twin.phi.value) == to_numpy(layer.phi.value)
        assert twin.get_config() == layer.get_config()
        assert isinstance(twin.phi_constraint, kv.constraints.WrapAngle)


@pytest.mark.parametrize("phi", [math.nan, math.inf, -math.inf])
def test_an_angle_that_is_not_finite_is_refused(phi):
    with pytest.raises(ValueError, match="`phi_initializer` to be a finite angle in radians"):
        kv.layers.AngleFit(phi)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_phi_in_float32_and_warns_once(policy):
    layer = kv.layers.AngleFit(0.5, dtype=policy)
    with pytest.warns(UserWarning, match="becomes a staircase") as caught:
        outputs = layer(np.float32([[0.5], [1.0]]))
        layer(np.float32([[0.5], [1.0]]))
    assert len(caught) == 1
    assert layer.phi.dtype == "float32"
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    np.testing.assert_allclose(
        to_numpy(keras.ops.cast(outputs, "float32"))[:, 0],
        np.tan(0.5) * np.array([0.5, 1]),
        rtol=4e-3,
    )


@pytest.mark.parametrize("dtype, precision", [("float32", 1e-7), ("float64", 1e-15)])
def test_other_policies_do_not_warn_and_keep_their_precision(dtype, precision):
    if dtype == "float64" and keras.config.backend() == "jax":
        pytest.skip("x64 is off")
    outputs = kv.layers.AngleFit(0.5, dtype=dtype)(np.array([[1.0]]))  # a warning is an error
    assert abs(to_numpy(outputs)[0, 0] - math.tan(0.5)) < precision


@pytest.mark.parametrize("build", BUILDERS)
def test_saved_models_load_without_custom_objects(build, tmp_path):
    (x, y), _ = kv.datasets.rosette(num_points=5)
    model = rosette_model(build=build)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(weights_of(loaded), weights_of(model))
    a, b = (float(m.evaluate(x, y, verbose=0, return_dict=True)["loss"]) for m in (model, loaded))
    assert a == b
    loaded.fit(x, y, verbose=0)
    if build != "subclassed":
        clone = keras.models.clone_model(model)
        assert clone.count_params() == 1


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "pickle"],
)
def test_models_can_be_copied_and_pickled(build, copied):
    (x, y), _ = kv.datasets.rosette(num_points=5)
    model = rosette_model(build=build)
    model.fit(x, y, verbose=0)
    twin = copied(model)
    np.testing.assert_array_equal(weights_of(twin), weights_of(model))
    twin.fit(x, y, verbose=0)
    assert weights_of(twin) != weights_of(model)


def test_keras_own_layer_checks_pass():
    testing = pytest.importorskip("keras.src.testing", reason="private; gone in this Keras")
    testing.TestCase().run_layer_test(
        kv.layers.AngleFit,
        init_kwargs={"phi_initializer": 0.3},
        input_shape=(4, 3),
        expected_output_shape=(4, 3),
        expected_num_trainable_weights=1,
        expected_num_non_trainable_weights=0,
        expected_num_losses=0,
        run_mixed_precision_check=False,  # warns, as it should
        run_training_check=False,  # Keras warns of its own generator
    )
