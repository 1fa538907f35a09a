"""The loss follows all weights that are varied, or the Objective says which it does not follow."""

import functools
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_valleys as kv

BACKEND = keras.config.backend()
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="needs TensorFlow")
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="needs JAX")
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="needs torch")
NOT_COMPILED = "asks tensors for their numbers in Python"


def data():
    random = np.random.RandomState(3)
    return random.normal(size=(17, 3)).astype("float32"), random.normal(size=(17, 1))


class Plain(layers.Layer):
    def build(self, shape):
        self.k = self.add_weight(shape=(3, 1))

    def call(self, x):
        return ops.matmul(x, self.k)


class Raw(Plain):
    def call(self, x):
        return ops.matmul(x, self.k._value)


class InPart(Plain):
    """Half of the loss follows."""

    def call(self, x):
        kept = ops.stop_gradient(ops.sum(ops.convert_to_tensor(self.k._value) * 1.0))
        return ops.matmul(x, self.k) + kept


class Stored(Plain):
    def build(self, shape):
        super().build(shape)
        self.stored = [self.k.value]

    def call(self, x):
        return ops.matmul(x, self.stored[0])


class Unused(Plain):
    def build(self, shape):
        super().build(shape)
        self.unused = self.add_weight(shape=(2,))


class Decides(Plain):
    """Asks a tensor for a number in Python, which no compiled function has."""

    def call(self, x):
        y = ops.matmul(x, self.k)
        return y if ops.sum(self.k) > 0 else 2 * y

    def compute_output_shape(self, shape):
        return (*shape[:-1], 1)


def built(*parts, loss="mean_squared_error", **options):
    model = keras.Sequential(list(parts))
    model(data()[0][:2])
    model.compile("sgd", loss, **options)
    return model


def objective(model, **options):
    return kv.objectives.Objective(model, *data(), **options)


def by_evaluate(model, points):
    """The loss of `model.evaluate` at weights that are set, one point after the other."""
    if model.run_eagerly:  # on JAX Keras itself would build the loss in a trace
        x, y = data()
        model.compute_loss(x, y, model(x))
    before, losses = model.get_weights(), []
    made = objective(model)
    for point in points:
        for variable, value in zip(made.variables, made.split(point), strict=True):
            variable.assign(value)
        losses.append(model.evaluate(*data(), batch_size=17, verbose=0))
    model.set_weights(before)
    return losses


def check_equal(model, rtol=1e-5):
    """At points far from the model's own weights, by value and along a direction."""
    made = objective(model)
    points = made.point() + np.array([[0.0], [1.0], [-0.7]], "float32")
    expected = by_evaluate(model, points)
    assert len(np.unique(expected)) == 3
    np.testing.assert_allclose(made(points), expected, rtol=rtol)
    found = made.along([[0.0], [1.0], [-0.7]], np.ones((1, made.size)), points[0])
    np.testing.assert_allclose(found, expected, rtol=rtol)
    return made


@pytest.mark.parametrize("layer", [Raw, InPart, Stored])
def test_a_weight_that_is_read_past_keras_is_named(layer):
    model = built(layers.Dense(3, name="first"), layer(name="second"))
    with pytest.raises(ValueError, match=r"\['[^']*second/[^']*'\], which .*'second'") as refused:
        objective(model)
    assert "first" not in str(refused.value) and "Read weights in `call`" in str(refused.value)
    # The other weights are followed.
    made = objective(model, variables=["first"])
    assert len(np.unique(made(made.point() + np.array([[0.0], [1.0]], "float32")))) == 2


def test_compare_refuses_what_does_not_follow():
    with pytest.raises(ValueError, match="the loss to follow all weights"):
        kv.comparisons.compare(lambda: built(Raw()), ["sgd"], *data(), 2, verbose=0)


def test_weights_that_do_not_matter_are_not_refused():
    dead = layers.Dense(
        2, "relu", bias_initializer=keras.initializers.Constant(-100), kernel_initializer="ones"
    )
    model = built(Unused(), layers.Dense(3), dead, layers.Dense(1))
    check = objective(model)
    changed = np.tile(check.point(), (2, 1))
    changed[1, check.slices[1]] += 1  # the unused weights
    assert len(np.unique(check(changed))) == 1
    check_equal(model)


def test_a_single_variable_that_is_the_whole_point():
    model = built(layers.Dense(3, bias_initializer="random_normal"), layers.Dense(1))
    made = objective(model, variables=model.layers[0].bias)
    assert made.shapes == [(3,)]
    assert len(np.unique(made(made.point() + np.array([[0.0], [1.0]], "float32")))) == 2


def test_embeddings_that_no_row_asks_for_and_masks():
    tokens = np.array([[1, 2, 0], [2, 2, 0]])
    inputs = keras.Input((3,), dtype="int32")
    vectors = layers.Embedding(9, 2, mask_zero=True)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(layers.LSTM(2)(vectors)))
    model.compile("sgd", "mean_squared_error")
    made = kv.objectives.Objective(model, tokens, np.ones((2, 1)))
    points = made.point() + np.array([[0.0], [0.5]], "float32")
    before, expected = model.get_weights(), []
    for point in points:
        model.set_weights(made.split(point))
        expected.append(model.evaluate(tokens, np.ones((2, 1)), verbose=0))
    model.set_weights(before)
    np.testing.assert_allclose(made(points), expected, rtol=1e-5)


@pytest.mark.filterwarnings(f"ignore:.*{NOT_COMPILED}")
@pytest.mark.parametrize("kind", ["if", "numpy"])
def test_python_that_looks_at_numbers_is_run_as_evaluate_runs_it(kind):
    def with_numpy(y_true, y_pred):
        error = ops.convert_to_numpy(y_pred) - ops.convert_to_numpy(y_true)
        return ops.convert_to_tensor(np.mean(error**2, axis=-1).astype("float32"))

    if kind == "if":
        model = built(layers.Dense(3), Decides(), run_eagerly=True)
    else:
        model = built(layers.Dense(3), Plain(), loss=with_numpy, run_eagerly=True)
    check_equal(model)


@pytest.mark.skipif(BACKEND == "torch", reason="nothing is compiled on torch")
def test_it_is_said_that_nothing_is_compiled():
    made = objective(built(Decides(), run_eagerly=True))
    with pytest.warns(UserWarning, match=NOT_COMPILED):
        made(made.point())
    with warnings.catch_warnings():  # once
        warnings.simplefilter("error")
        made(made.point() + 1)


# TensorFlow


def traced_layer(**options):
    import tensorflow as tf

    class Traced(Plain):
        @tf.function(**options)
        def call(self, x):
            return tf.matmul(x, self.k)

    return Traced()


@on_tensorflow
@pytest.mark.parametrize("options", [{}, {"jit_compile": True}, {"reduce_retracing": True}])
def test_a_function_that_was_traced_before_follows(options):
    model = built(layers.Dense(3), traced_layer(**options))
    model.evaluate(*data(), batch_size=17, verbose=0)
    layer = model.layers[1]
    before = np.array(layer(data()[0]))
    made = check_equal(model)
    gradient = kv.gradients.gradient(made, made.point())
    assert np.all(gradient[made.slices[-1]] != 0)
    np.testing.assert_array_equal(layer(data()[0]), before)  # and is as it was


@on_tensorflow
def test_test_step_as_a_function_follows():
    import tensorflow as tf

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)
            self.tracker = keras.metrics.Mean(name="loss")

        def call(self, x):
            return self.dense(x)

        @tf.function
        def test_step(self, batch):
            x, y = batch
            self.tracker.update_state(tf.reduce_mean((self(x) - tf.cast(y, "float32")) ** 2))
            return {"loss": self.tracker.result()}

        @property
        def metrics(self):
            return [self.tracker]

    model = Model()
    model.compile("sgd", "mean_squared_error")
    model(data()[0])
    model.evaluate(*data(), batch_size=17, verbose=0)
    check_equal(model)


@on_tensorflow
@pytest.mark.filterwarnings(f"ignore:.*{NOT_COMPILED}")
def test_functions_of_the_graph_that_are_python_follow():
    import tensorflow as tf

    class AutoGraph(Plain):
        @tf.function
        def call(self, x):
            if tf.reduce_sum(x) > 0:
                return tf.matmul(x, self.k)
            return tf.matmul(x, self.k) * 2.0

    class Python(Plain):
        def call(self, x):
            y = tf.py_function(lambda x: tf.matmul(x, self.k), [x], tf.float32)
            return tf.ensure_shape(y, (None, 1))

    check_equal(built(AutoGraph()))
    check_equal(built(layers.Dense(3), Python()))


@on_tensorflow
def test_graphs_that_were_saved_or_fixed_are_refused(tmp_path):
    import tensorflow as tf

    class Fixed(Plain):
        def build(self, shape):
            super().build(shape)
            function = tf.function(lambda x: tf.matmul(x, self.k))
            self.fixed = function.get_concrete_function(tf.TensorSpec((None, 3)))

        def call(self, x):
            return self.fixed(x)

    with pytest.raises(ValueError, match="the loss to follow"):
        objective(built(Fixed()))
    keras.Sequential([keras.Input((3,)), layers.Dense(1)]).export(tmp_path / "saved", verbose=False)
    loaded = layers.TFSMLayer(tmp_path / "saved", call_endpoint="serve")
    with pytest.raises(ValueError, match="a TFSMLayer has in the graph"):
        objective(built(keras.Input((3,)), loaded))


# JAX


@on_jax
def test_a_function_that_jax_has_compiled_is_refused():
    import jax

    class Jitted(Plain):
        @functools.partial(jax.jit, static_argnums=0)
        def call(self, x):
            return x @ self.k

    model = built(layers.Dense(3), Jitted())
    for _ in range(2):
        with pytest.raises(ValueError, match="'jitted', or a loss, reads past Keras"):
            objective(model)


@on_jax
def test_a_function_of_jax_with_parameters_follows():
    import jax.numpy as jnp

    def call(params, inputs):
        return jnp.tanh(inputs @ params["w"])

    layer = layers.JaxLayer(call, params={"w": np.ones((3, 1), "float32")})
    check_equal(built(keras.Input((3,)), layers.Dense(3), layer))


# torch


@on_torch
@pytest.mark.parametrize("kind", ["wrapped", "attribute", "recurrent", "tied"])
def test_modules_of_torch_follow(kind):
    import torch

    class Holds(layers.Layer):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def call(self, x):
            found = self.module(x)
            return found[0] if isinstance(found, tuple) else found

    keras.utils.set_random_seed(2)  # of torch as well
    linear = torch.nn.Linear(3, 3)
    wrapped = keras.layers.TorchModuleWrapper
    parts = {
        "wrapped": [keras.Input((3,)), wrapped(torch.nn.Linear(3, 1))],
        "attribute": [
            Holds(torch.nn.Sequential(linear, torch.nn.BatchNorm1d(3), torch.nn.Tanh())),
            layers.Dense(1),
        ],
        "recurrent": [Holds(torch.nn.LSTM(3, 1))],
        "tied": [Holds(torch.nn.Sequential(linear, torch.nn.Tanh(), linear)), layers.Dense(1)],
    }[kind]
    model = built(*parts)
    own = [variable.value for variable in model.trainable_variables]
    made = check_equal(model)
    assert all(v.value is one for v, one in zip(model.trainable_variables, own, strict=True))
    modules = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert all(isinstance(module.weight, torch.nn.Parameter) for module in modules)
    point = made.point() + 0.1
    slope = kv.gradients.gradient(made, point)
    step = 1e-2 * np.random.RandomState(1).normal(size=made.size)
    rise = (made(point + step) - made(point - step)) / 2
    assert rise == pytest.approx(slope @ step, rel=2e-2)


@on_torch
def test_memory_that_is_read_through_a_view_is_seen():
    class Detached(Plain):
        def call(self, x):
            return x @ self.k._value.detach().T.T

    with pytest.raises(ValueError, match="the loss to follow"):
        objective(built(Detached()))
