"""An Objective has its own copy of the data, and leaves the model as it was, unbuilt parts too."""

import pickle

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.processes import run_python
from helpers.weights import weights_of
from keras_valleys.objectives import Objective

BACKEND = keras.config.backend()


def network(dtype="float32", **options):
    keras.utils.set_random_seed(4)
    parts = [keras.layers.Dense(4, "tanh", dtype=dtype), keras.layers.Dense(2, dtype=dtype)]
    model = keras.Sequential([keras.Input((3,), dtype=dtype), *parts])
    model.compile(keras.optimizers.SGD(0.1), "mean_squared_error", **options)
    return model


def numbers(rows=20):
    random = np.random.RandomState(8)
    return random.randint(0, 9, (rows, 3)).astype("uint8"), random.normal(size=(rows, 2))


class Refills(keras.utils.PyDataset):
    """Hands out the same array again and again, with other numbers in it."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.buffer = x, y, np.zeros((5, 3), x.dtype)

    def __len__(self):
        return len(self.x) // 5

    def __getitem__(self, index):
        rows = slice(5 * index, 5 * index + 5)
        self.buffer[:] = self.x[rows]
        return self.buffer, self.y[rows]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "bool"])
def test_a_buffer_that_is_filled_anew(dtype):
    model, (x, y) = network(), numbers()
    x = x.astype(dtype)
    expected = model.evaluate(x, y, batch_size=5, verbose=0)
    made = Objective(model, Refills(x, y))
    assert float(made(made.point())) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_arrays_that_are_changed_afterwards(dtype):
    model, (x, y) = network(), numbers()
    x, y = x.astype(dtype), y.astype("float32")
    made = Objective(model, x, y)
    before = made(made.point())
    x[:], y[:] = 0, 9
    assert made(made.point()) == before
    assert Objective(model, *made._batches.arrays[:2])(made.point()) == before
    sent = pickle.loads(pickle.dumps(made))
    assert sent(made.point()) == before


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_tensors_of_few_digits(dtype):
    model, (x, y) = network(), numbers()
    x, y = (keras.ops.cast(keras.ops.convert_to_tensor(part), dtype) for part in (x, y))
    rounded = keras.ops.convert_to_numpy(keras.ops.cast(y, "float32"))
    plain = keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))
    made = Objective(model, x, y)
    expected = model.evaluate(plain, rounded, batch_size=20, verbose=0)
    assert float(made(made.point())) == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no float64 unless it is started with it")
def test_the_float_type_goes_with_it():
    code = """
import sys, pickle, keras
import keras_valleys
made = pickle.loads(sys.stdin.buffer.read())
print(made.dtype, keras.config.floatx(), repr(float(made(made.point()))))
"""
    keras.config.set_floatx("float64")
    try:
        made = Objective(network("float64"), *numbers())
        sent, expected = pickle.dumps(made), float(made(made.point()))
    finally:
        keras.config.set_floatx("float32")
    code = code.replace("sys.stdin.buffer.read()", repr(sent))
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    dtype, floatx, loss = done.stdout.split()[-3:]
    assert (dtype, floatx) == ("float64", "float64")
    assert float(loss) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("options", [{}, {"metrics": ["mae"]}, {"loss_weights": 0.5}])
def test_the_first_fit_is_the_same_with_and_without(options):
    x, y = numbers()
    histories, ends = [], []
    for with_objective in (False, True):
        model = network(**options)
        if with_objective:
            made = Objective(model, x, y)
            made(made.point())
            kv.gradients.gradient(made)
        keras.utils.set_random_seed(7)
        fitted = model.fit(x, y, batch_size=4, epochs=3, shuffle=True, verbose=0)
        histories.append(fitted.history)
        ends.append(weights_of(model))
    assert histories[0] == histories[1]
    np.testing.assert_array_equal(*ends)
    expected = model.evaluate(x, y, batch_size=20, verbose=0, return_dict=True)["loss"]
    assert float(made(made.point())) == pytest.approx(expected, rel=1e-6)


def test_several_outputs_that_are_unbuilt():
    inputs = keras.Input((3,))
    outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in ("a", "b")}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"a": "mse", "b": "mae"}, loss_weights={"a": 2.0, "b": 0.25})
    x, y = numbers()
    targets = {"a": y[:, :1], "b": y[:, 1:]}
    made = Objective(model, x, targets)
    assert not model._compile_loss.built and model._compile_loss.metrics == []
    found = float(made(made.point()))
    expected = model.evaluate(x, targets, batch_size=20, verbose=0, return_dict=True)
    assert set(expected) == {"loss", "a_loss", "b_loss"}
    assert found == pytest.approx(expected["loss"], rel=1e-6)


@pytest.mark.skipif(BACKEND != "jax", reason="the others compile once for any number of points")
def test_few_compilations_for_any_number_of_points(caplog):
    import jax

    made = Objective(network(), *numbers())
    points = made.point() + np.linspace(0, 1, 70)[:, None]
    expected = made(points)
    with jax.log_compiles():
        for number in range(1, 21):
            np.testing.assert_array_equal(made(points[:number]), expected[:number])
    compiled = [one for one in caplog.messages if one.startswith("Finished XLA compilation")]
    whole = [one for one in compiled if "jit(call)" in one]
    assert len(whole) <= 6, whole
