"""The objective is `model.evaluate`, for every kind of model."""

import pickle

import keras
import numpy as np
import pytest

from helpers import models, references
from helpers.lines import dense_model
from helpers.objectives import some_points
from helpers.processes import run_python
from helpers.weights import weights_of
from keras_valleys.objectives import Objective


def values_of(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


@pytest.mark.parametrize("make", models.CASES, ids=lambda make: make.__name__)
def test_every_model_is_evaluated_as_keras_does_and_left_as_it_was(make):
    keras.utils.set_random_seed(3)
    model, x, y = make()
    objective = Objective(model, x, y)
    points = some_points(objective)
    before = values_of(model)
    losses = objective(points)
    for value, old in zip(values_of(model), before, strict=True):
        np.testing.assert_array_equal(value, old)
    expected = references.evaluate_at(model, points, x, y, batch_size=models.ROWS)
    assert len(set(expected)) == 3
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


@pytest.mark.skipif(keras.config.backend() == "jax", reason="JAX has float32 unless told before")
def test_double_precision_is_kept():
    model, x, y = models.double_precision()
    objective = Objective(model, x, y)
    points = some_points(objective)
    losses = objective(points)
    assert losses.dtype == "float64"
    expected = references.evaluate_at(model, points, x, y, batch_size=models.ROWS)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


SEVERAL = [models.sequential, models.own_test_step, models.regularizers, models.convolutions]


@pytest.mark.parametrize("make", SEVERAL, ids=lambda make: make.__name__)
def test_batches_are_averaged_as_keras_does(make):
    model, x, y = make()
    objective = Objective(model, x, y, batch_size=10)
    points = some_points(objective)
    expected = references.evaluate_at(model, points, x, y, batch_size=10)
    np.testing.assert_allclose(objective(points), expected, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight", None])
def test_reductions_that_depend_on_the_batch_size(reduction):
    model, x, y = models.sequential()
    model.compile("sgd", keras.losses.MeanAbsoluteError(reduction=reduction))
    weights = np.linspace(0, 3, len(x))
    for batch_size in (7, len(x)):
        objective = Objective(model, x, y, weights, batch_size=batch_size)
        points = some_points(objective)
        expected = references.evaluate_at(model, points, x, y, weights, batch_size)
        np.testing.assert_allclose(objective(points), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["sparse", "column", "one hot"])
def test_class_weights_are_those_of_fit(kind):
    labels = np.array([0, 2, 1, 1, 2, 0, 0])
    x = np.random.RandomState(2).normal(size=(7, 3))
    y = {"sparse": labels, "column": labels[:, None], "one hot": np.eye(3)[labels]}[kind]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "softmax")])
    loss = "categorical_crossentropy" if kind == "one hot" else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(0.0), loss)
    class_weight = {0: 0.5, 2: 3.0}  # 1 keeps the weight 1
    objective = Objective(model, x, y, class_weight=class_weight)
    history = model.fit(x, y, batch_size=7, class_weight=class_weight, verbose=0).history
    assert float(objective(objective.point())) == pytest.approx(history["loss"][0], rel=1e-6)


def test_some_of_the_weights():
    model, x, y = models.sequential()
    whole = Objective(model, x, y)
    first, second = model.layers
    for variables, size in [
        ([second.kernel, first.bias], 4 + 8),
        ("bias", 6),
        ([first.name, second], 26),
        (second, 10),
    ]:
        part = Objective(model, x, y, variables=variables)
        assert part.size == size
        point = whole.point()
        step = np.random.RandomState(4).normal(size=size)
        moved = part.point() + step
        for variable, own in zip(part.variables, part.slices, strict=True):
            place = whole.slices[[v is variable for v in whole.variables].index(True)]
            point[place] = moved[own]
        np.testing.assert_allclose(part(moved), whole(point), rtol=1e-6)
    first.kernel.assign(first.kernel + 1.0)  # what is not varied is held at its present value
    assert float(Objective(model, x, y, variables=second)(part.point())) == pytest.approx(
        float(references.evaluate_at(model, weights_of(model), x, y, batch_size=23)), rel=1e-6
    )
    for wrong in ("nothing", [], model.optimizer.variables[0]):
        with pytest.raises(ValueError, match="`variables` to name trainable variables"):
            Objective(model, x, y, variables=wrong)


def test_what_has_no_loss_is_refused():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    x = np.ones((4, 3))
    for loss in ("never", None):
        if loss is None:
            model.compile("sgd")
        with pytest.raises(ValueError, match="compiled with a loss"):
            Objective(model, x, np.ones((4, 2)))
    with pytest.raises(ValueError, match="expects `model` to be a Keras model"):
        Objective(lambda x: x, x)

    class Silent(models.Subclassed):
        def test_step(self, *arguments):
            return {"mae": 1.0} if keras.config.backend() != "jax" else ({"mae": 1.0}, None)

    silent = Silent()
    silent(x[:, :3])
    silent.compile("sgd", "mse")
    with pytest.raises(ValueError, match="under the key 'loss'"):
        Objective(silent, x, np.ones((4, 2)))


def test_an_error_or_an_interrupt_leaves_the_model_as_it_was():
    class Breaking(models.Subclassed):
        raised = None

        def call(self, inputs):
            if self.raised is not None:
                raise self.raised
            return super().call(inputs)

    model = Breaking()
    model(np.zeros((1, 3)))
    model.compile("sgd", "mse")
    x, y = np.ones((4, 3)), np.ones((4, 2))
    objective = Objective(model, x, y)
    before = values_of(model)
    for model.raised in (RuntimeError("broken"), KeyboardInterrupt()):
        with pytest.raises(type(model.raised)):
            objective(some_points(objective))
    model.raised = None
    for value, old in zip(values_of(model), before, strict=True):
        np.testing.assert_array_equal(value, old)
    expected = references.evaluate_at(model, objective.point(), x, y)
    assert float(objective(objective.point())) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TensorFlow's strategies")
def test_within_the_scope_of_a_strategy():
    code = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np, keras_valleys as kv
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
x, y = np.random.RandomState(0).normal(size=(12, 3)), np.ones((12, 2))
with strategy.scope():
    model = keras.Sequential([
        keras.Input((3,)), keras.layers.Dense(2, kernel_regularizer="l2"),
        keras.layers.BatchNormalization(),
    ])
    model.compile("sgd", keras.losses.MeanAbsoluteError())
    inside = kv.objectives.Objective(model, x, y)
    values = [float(inside(inside.point()))]
values.append(float(inside(inside.point())))
outside = kv.objectives.Objective(model, x, y)
values.append(float(outside(outside.point())))
with strategy.scope():
    values.append(float(outside(outside.point())))
expected = model.evaluate(x, y, batch_size=12, verbose=0)
assert np.allclose(values, expected, rtol=1e-6), (values, expected)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr[-2000:]


def test_two_objectives_of_two_models_do_not_mix():
    objectives = [Objective(dense_model(slope), np.ones((3, 1)), np.ones(3)) for slope in (2, 5)]
    assert [float(o(o.point())) for o in objectives] == [1.0, 16.0]


@pytest.mark.parametrize(
    "make",
    [models.batch_normalization, models.several_inputs_and_outputs, models.subclassed, models.tied],
    ids=lambda make: make.__name__,
)
def test_pickled_and_back_it_is_the_same_function(make):
    model, x, y = make()
    objective = Objective(model, x, y, np.linspace(1, 2, models.ROWS), batch_size=9)
    again = pickle.loads(pickle.dumps(objective))
    points = some_points(objective)
    np.testing.assert_allclose(again(points), objective(points), rtol=1e-6)
    assert again.signature() == objective.signature()
    part = Objective(model, x, y, variables="kernel")
    restored = pickle.loads(pickle.dumps(part))
    assert restored.shapes == part.shapes and {v.name for v in restored.variables} == {"kernel"}
    assert part.signature() != objective.signature()


def test_the_signature_is_of_what_the_loss_depends_on():
    keras.utils.set_random_seed(2)
    model, x, y = models.batch_normalization()
    known = Objective(model, x, y).signature()
    keras.utils.set_random_seed(2)
    again = models.batch_normalization()[0]  # with other names
    assert Objective(again, x, y).signature() == known
    again.trainable_variables[0].assign(2 * again.trainable_variables[0])  # what is varied
    assert Objective(again, x, y).signature() == known
    again.non_trainable_variables[0].assign(2 + again.non_trainable_variables[0])
    changed = Objective(again, x, y).signature()
    assert changed != known
    assert Objective(model, x, y, np.ones(len(x))).signature() != known
    model.compile("sgd", "mean_absolute_error")
    assert Objective(model, x, y).signature() != known


def test_weights_that_are_held_keep_their_regularizers():
    model, x, y = models.regularizers()
    part = Objective(model, x, y, variables=model.layers[1])
    expected = references.evaluate_at(model, weights_of(model), x, y, batch_size=models.ROWS)
    assert float(part(part.point())) == pytest.approx(float(expected), rel=1e-6)


def test_states_of_recurrent_layers_are_those_after_a_reset_and_the_models_are_left_alone():
    model, x, y = models.stateful()
    objective = Objective(model, x, y)
    before = float(objective(objective.point()))
    state = model.layers[0].states[0]
    state.assign(np.full(state.shape, 0.5))
    assert float(objective(objective.point())) == before
    assert objective.signature() == Objective(model, x, y).signature()
    assert float(Objective(model, x, y)(objective.point())) == before
    assert np.all(keras.ops.convert_to_numpy(state.value) == 0.5)
