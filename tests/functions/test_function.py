"""Functions of one's own, and the Keras model of a function."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_valleys as kv
from helpers.known import KNOWN, objective_of, some_points
from keras_valleys._fingerprints import code_of

LIMITS = [(-2.0, 3.0), (-1.0, 2.0)]


@keras.saving.register_keras_serializable(package="keras_valleys_tests")
def ripples(x, y, height):
    return x**2 + 3 * y**2 + height * ops.sin(5 * x)


def own(**options):
    return kv.functions.Function("ripples", ripples, LIMITS, [2.5, 1.0], arguments={"height": 0.5})


def test_a_function_of_ones_own():
    function, points = own(), some_points(own()).reshape(6, 10, 2)
    x, y = points[..., 0], points[..., 1]
    expected = x**2 + 3 * y**2 + 0.5 * np.sin(5 * x)
    np.testing.assert_allclose(function(points), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(objective_of(function)(points), expected, rtol=1e-5, atol=1e-6)
    assert function.minima.shape == function.saddles.shape == (0, 2)
    with pytest.raises(ValueError, match="a function that is made with `slopes`.*gradients"):
        function.gradient(points)
    sloped = kv.functions.Function(
        "flat", lambda x, y: x, LIMITS, [0, 1], slopes=lambda x, y: (1.0, 0.0 * y)
    )
    assert sloped.gradient(points).shape == (6, 10, 2)
    assert np.all(sloped.gradient(points) == [1, 0])


def test_of_three_weights_and_of_a_number_of_its_own():
    function = kv.functions.Function(
        "bowl", lambda a, b, c: a**2 + b**2 + 4 * c**2, [(-1, 2), (-2, 3), (0, 1)], [1, 2, 0.5]
    )
    assert [len(axis) for axis in function.coordinates()] == [121, 101, 101]
    assert objective_of(function)([1.0, 2.0, 0.5]) == function([1.0, 2.0, 0.5]) == 6
    flat = kv.functions.Function("flat", lambda w: 2.0 + 0 * w, (-1, 2), 1.5)
    assert flat.limits.tolist() == [[-1, 2]] and flat([[0.3], [0.4]]).tolist() == [2, 2]


def test_axes_and_rows():
    function = kv.functions.rosenbrock()
    for given, sizes in ((None, (121, 101)), (7, (7, 7)), ((3, 5), (3, 5)), (np.int64(2), (2, 2))):
        axes = function.coordinates(given)
        assert tuple(map(len, axes)) == sizes
        assert [[axis[0], axis[-1]] for axis in axes] == function.limits.tolist()
    assert [len(axis) for axis in kv.functions.power().coordinates()] == [601]
    x, y = function.data(5)
    assert x.shape == y.shape == (5, 1) and not x.any() and not y.any()
    for wrong in (1, (3,), (3, 4, 5), 2.5, (3, "a"), True):
        with pytest.raises(ValueError, match="`num_points` to be an integer >= 2, or 2 of them"):
            function.coordinates(wrong)
    with pytest.raises(ValueError, match="`num_steps` to be an integer >= 1"):
        function.data(0)


@pytest.mark.parametrize("name", ["low rosenbrock", "turned valley", "cusp", "own"])
def test_a_saved_model_is_the_same_function(name, tmp_path):
    function = own() if name == "own" else KNOWN[name][0]
    model = function.build_model(function.start / 2, optimizer=keras.optimizers.SGD(0.001))
    model.fit(*function.data(2), batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    points = some_points(function)
    twin = kv.objectives.Objective(loaded, *function.data())
    assert twin.point().tolist() == model.get_weights()[0].tolist()
    np.testing.assert_array_equal(twin(points), objective_of(function)(points))
    (layer,) = [one for one in loaded.layers if isinstance(one, kv.functions.WeightVector)]
    assert layer.start == model.layers[-1].start == (function.start / 2).tolist()
    assert layer.get_config() == model.layers[-1].get_config()
    assert loaded.loss.get_config() == model.loss.get_config()
    loaded.fit(*function.data(2), batch_size=1, verbose=0)


def test_the_model_predicts_its_weights_and_takes_a_start():
    function = kv.functions.himmelblau()
    model = function.build_model()
    assert model.count_params() == 2 and model.name == "himmelblau"
    assert model.predict(np.ones((3, 1)), verbose=0).tolist() == [[0, 0]] * 3
    assert kv.functions.power().build_model(-2).get_weights()[0].tolist() == [-2]
    first, second = function.build_model([1, 2]), function.build_model([3, 2])
    assert first.get_weights()[0].tolist() == [1, 2]
    assert float(second.evaluate(*function.data(4), batch_size=3, verbose=0)[0]) == 0
    for wrong in ([1.0], 3.0, [1, np.nan], "ab", [[1, 2]]):
        with pytest.raises(ValueError, match="`Function.build_model` expects `start`"):
            function.build_model(wrong)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_narrow_policy_makes_no_staircase(policy):
    function = kv.functions.power(1.5)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        objective, points = objective_of(function), some_points(function)
        np.testing.assert_allclose(objective(points), function(points), rtol=1e-6)
    finally:
        keras.config.set_dtype_policy(before)


def test_float64_is_float64():
    if keras.config.backend() == "jax":
        pytest.skip("x64 is off")
    function = kv.functions.himmelblau()
    keras.config.set_floatx("float64")
    try:
        objective, points = objective_of(function), some_points(function) / 3
        assert objective.dtype == "float64"
        on_torch = keras.config.backend() == "torch"  # where Keras divides losses in float32
        rtol = 1e-6 if on_torch else 1e-13
        np.testing.assert_allclose(objective(points), function(points), rtol=rtol)
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "two words"}, "`Function` expects `name` to be a word"),
        ({"name": None}, "`Function` expects `name` to be a word"),
        ({"value": 3}, "`Function` expects `value` to be a function of one argument"),
        ({"limits": [(3, -2), (-1, 2)]}, "`Function` expects `limits` to be a rising pair"),
        ({"limits": [(-2, np.inf), (-1, 2)]}, "`Function` expects `limits` to be a rising pair"),
        ({"limits": []}, "`Function` expects `limits` to be a rising pair"),
        ({"start": [1.0]}, "`Function` expects `start`"),
        ({"minima": [[1.0]]}, "`minima` to be points of 2 finite numbers"),
        ({"saddles": [1.0, 2.0]}, "`saddles` to be points of 2 finite numbers"),
        ({"arguments": {"height": object()}}, "`arguments`"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    given = {"name": "bowl", "value": ripples, "limits": LIMITS, "start": [1, 1], **change}
    with pytest.raises(ValueError, match=message):
        kv.functions.Function(**given)


def test_points_of_another_size_are_refused():
    for points in (3.0, [1.0], np.zeros((4, 3)), "text"):
        with pytest.raises(ValueError, match="`beale` expects"):
            kv.functions.beale()(points)
    with pytest.raises(ValueError, match="`WeightVector` expects `start`"):
        kv.functions.WeightVector([])
    with pytest.raises(ValueError, match="`FunctionLoss` expects `value`"):
        kv.functions.FunctionLoss("mse")


def test_functions_are_values():
    assert kv.functions.power(0.5) == kv.functions.power() != kv.functions.power(0.6)
    assert repr(kv.functions.himmelblau()).endswith("4 known minima)")
    assert repr(kv.functions.beale()).endswith("1 known minimum)")
    with pytest.raises(ValueError):
        kv.functions.beale().minima[0, 0] = 4


def test_two_functions_of_one_name_are_told_apart_by_their_code():
    """A checkpoint or a finished run of the one is none of the other."""

    def bowl(height, power=2):
        def value(x, y):
            return x**power + height * y**2

        return value

    def steep(x, y):
        return max((abs(part) for part in (x, y)), key=lambda part: 2.5 * part)

    def flat(x, y):
        return max((abs(part) for part in (x, y)), key=lambda part: 3.5 * part)

    flat.__name__ = steep.__name__
    values = [bowl(1.0), bowl(2.0), bowl(1.0, power=4), steep, flat, lambda x, y: x + 2 * y]
    values += [lambda x, y: x + 3 * y, lambda x, y: x - 3 * y]
    codes = [code_of(value) for value in values]
    assert len(set(codes)) == len(codes) and code_of(bowl(1.0)) == codes[0]
    assert "0x" not in "".join(codes)  # no address, which another process would not have
    kept = [kv.functions.Function("bowl", bowl(c), LIMITS, [1, 1]) for c in (1.0, 2.0, 1.0)]
    one, other, again = (objective_of(function).signature() for function in kept)
    assert one == again != other
    powers = [objective_of(kv.functions.power(p)).signature() for p in (0.5, 0.6)]
    assert powers[0] != powers[1]
