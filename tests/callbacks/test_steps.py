"""Which steps a callback sees, and what their losses are."""

import warnings

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.fits import ROWS, Stop, fit, some_data
from helpers.lines import BuiltLine, rosette_model
from helpers.weights import weights_of
from keras_valleys.callbacks import TrajectoryRecorder

BACKEND = keras.config.backend()


@pytest.mark.skipif(BACKEND == "torch", reason="torch makes one step per execution only")
@pytest.mark.parametrize("steps_per_execution, seen", [(2, [0, 2, 4, 5, 7, 9]), (3, [0, 3, 5, 8])])
def test_several_steps_per_execution_say_which_steps_were_seen(steps_per_execution, seen):
    reference = TrajectoryRecorder()
    fit(rosette_model(), reference)
    recorder = TrajectoryRecorder()
    fit(rosette_model(steps_per_execution=steps_per_execution), recorder)
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, [*seen, 10])
    np.testing.assert_allclose(path.weights, reference.trajectory.weights[path.steps], atol=1e-6)
    assert np.all(np.isnan(path.losses)) and "not seen" in path.loss_source


@pytest.mark.skipif(BACKEND == "torch", reason="torch makes one step per execution only")
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.05, gradient_accumulation_steps=3),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05), initial_scale=3e38),
    ],
)
def test_steps_per_execution_are_counted_where_an_optimizer_skips_updates(optimizer):
    recorder, model = TrajectoryRecorder(), rosette_model(optimizer(), steps_per_execution=2)
    fit(model, recorder)
    np.testing.assert_array_equal(recorder.trajectory.steps, [0, 2, 4, 5, 7, 9, 10])


def test_stop_training_leaves_a_whole_trajectory():
    recorder, model = TrajectoryRecorder(), rosette_model()
    fit(model, recorder, Stop(7, None))
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, np.arange(8))
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))


@pytest.mark.parametrize("how", [KeyboardInterrupt, RuntimeError("no more")])
def test_after_an_exception_what_was_recorded_is_there(how):
    reference = TrajectoryRecorder()
    fit(rosette_model(), reference)
    recorder, model = TrajectoryRecorder(), rosette_model()
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        fit(model, recorder, Stop(7, how))
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, np.arange(7))
    np.testing.assert_allclose(path.losses[:6], reference.trajectory.losses[:6], atol=1e-6)
    fit(model, recorder, epochs=1)  # and it goes on from there
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, np.arange(13))
    assert np.all(np.isfinite(path.losses[:-1]))
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))


@pytest.mark.parametrize("order", [1, -1])
def test_a_step_after_which_another_callback_raised_is_counted(order):
    recorder, model = TrajectoryRecorder(), rosette_model()
    with pytest.raises(KeyboardInterrupt):
        fit(model, *[Stop(7, KeyboardInterrupt), recorder][::order])
    made = int(keras.ops.convert_to_numpy(model.optimizer.iterations.value))
    fit(model, recorder, epochs=1)
    steps = recorder.trajectory.steps
    # The seventh step's loss has not reached a recorder that stands behind.
    expected = [t for t in range(made + 6) if t != 6 or order == -1]
    assert made == 7 and list(steps) == expected


def test_after_an_exception_steps_are_counted_where_gradients_are_accumulated():
    optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=3)
    recorder, model = TrajectoryRecorder(), rosette_model(optimizer)
    with pytest.raises(KeyboardInterrupt):
        fit(model, recorder, Stop(7, KeyboardInterrupt))
    fit(model, recorder, epochs=1)
    np.testing.assert_array_equal(recorder.trajectory.steps, np.arange(13))


def test_a_step_that_failed_is_not_counted():
    class Fails(kv.losses.RootError):
        def call(self, y_true, y_pred):
            raise ArithmeticError("no loss")

    recorder, model = TrajectoryRecorder(), rosette_model()
    model.compile(keras.optimizers.SGD(0.05), Fails())
    with pytest.raises(ArithmeticError, match="no loss"):
        fit(model, recorder)
    model.compile(keras.optimizers.SGD(0.05), kv.losses.RootError())
    fit(model, recorder, epochs=1)
    np.testing.assert_array_equal(recorder.trajectory.steps, np.arange(6))


def test_after_an_exception_between_recorded_steps_the_count_goes_on():
    recorder, model = TrajectoryRecorder(every=4), rosette_model()
    with pytest.raises(KeyboardInterrupt):
        fit(model, recorder, Stop(3, KeyboardInterrupt))
    fit(model, recorder, epochs=1)
    np.testing.assert_array_equal(recorder.trajectory.steps, [0, 4, 8])
    np.testing.assert_array_equal(recorder.trajectory.weights[-1], weights_of(model))


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9),
        lambda: keras.optimizers.ScheduleFreeAdamW(0.05),
    ],
    ids=["use_ema", "schedule_free"],
)
def test_final_weights_are_those_of_the_model_where_the_optimizer_replaces_them(optimizer):
    recorder, model = TrajectoryRecorder(), rosette_model(optimizer())
    fit(model, recorder)
    path = recorder.trajectory
    assert len(path) == 11
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))
    assert abs(float(path.weights[-1, 0] - path.weights[-2, 0])) > 1e-4


def test_a_bare_callback_on_a_worker_thread_records_the_same():
    x, y = some_data()
    paths = []
    for bare in (True, False):
        recorder = TrajectoryRecorder()
        callbacks = recorder if bare else [recorder]
        rosette_model().fit(
            x, y, batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=callbacks
        )
        paths.append(recorder.trajectory)
    np.testing.assert_array_equal(paths[0].weights, paths[1].weights)
    np.testing.assert_array_equal(paths[0].losses, paths[1].losses)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_a_generator_of_unknown_length():
    x, y = some_data()
    recorder, model = TrajectoryRecorder(), rosette_model()
    for _ in range(2):
        model.fit(((x, y) for _ in range(4)), verbose=0, callbacks=[recorder])
    path = recorder.trajectory
    np.testing.assert_array_equal(path.steps, np.arange(9))
    assert np.all(np.isfinite(path.losses[:-1]))
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))


def test_a_step_loss_that_is_not_the_loss_is_noticed():
    inputs = keras.Input((1,))
    outputs = kv.layers.AngleFit(phi_regularizer=keras.regularizers.L2(0.1))(inputs)
    model, loss = keras.Model(inputs, outputs), kv.losses.RootError()
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=[kv.metrics.StepLoss(loss)])
    recorder = TrajectoryRecorder()
    fit(model, recorder)
    path = recorder.trajectory
    assert "running mean undone" in path.loss_source
    x, y = some_data()
    exact = kv.objectives.Objective(model, x[:16], y[:16])(path.weights[0])
    assert path.losses[0] == pytest.approx(float(exact), rel=1e-6)


def regularized():
    """No loss of the weights at first, more and more of it later."""
    regularizer = keras.regularizers.L2(0.5)
    return dense_line(kernel_initializer="zeros", kernel_regularizer=regularizer), None


def reweighted(first):
    """Sample weights of another size after the first batches."""
    return dense_line(), np.where(np.arange(ROWS) < first, 1, 0.25).astype("float32")


def dense_line(**options):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, **options)])
    step_loss = kv.metrics.StepLoss("mean_squared_error")
    model.compile(keras.optimizers.SGD(0.1), "mean_squared_error", metrics=[step_loss])
    return model


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("size", [10, 16])
@pytest.mark.parametrize(
    "make", [regularized, lambda: reweighted(16), lambda: reweighted(48), lambda: reweighted(64)]
)
def test_a_step_loss_that_is_not_the_loss_at_some_step_is_noticed(make, size, validated):
    (model, weight), (x, y) = make(), some_data()
    recorder = TrajectoryRecorder()
    options = {"sample_weight": weight, "batch_size": size, "epochs": 2, "shuffle": False}
    validation = (x[:20], y[:20]) if validated else None
    model.fit(x, y, **options, validation_data=validation, verbose=0, callbacks=[recorder])
    path = recorder.trajectory
    assert "running mean undone" in path.loss_source
    rows = [slice(start, start + size) for start in range(0, ROWS, size)] * 2
    own = make is regularized
    for row, weights, loss in zip(rows, path.weights, path.losses, strict=False):
        some = 1 if weight is None else weight[row]
        errors = some * np.square(x[row, 0] * weights[0] - y[row].ravel())
        assert loss == pytest.approx(np.mean(errors) + own * 0.5 * weights[0] ** 2, rel=2e-5)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("batch_sizes", [[16] * 6, [16] * 5 + [3], [3, 16, 5, 5, 11, 1]])
def test_a_step_loss_stays_exact_for_batches_of_any_size(batch_sizes):
    x, y = kv.datasets.rosette(num_points=40, noise=0.3, test_fraction=0)[0]
    ends = np.cumsum(batch_sizes)
    parts = [(x[b - n : b], y[b - n : b]) for b, n in zip(ends, batch_sizes, strict=True)]
    recorder, model = TrajectoryRecorder(), rosette_model()
    for _ in range(2):
        model.fit((part for part in parts), shuffle=False, verbose=0, callbacks=[recorder])
    path = recorder.trajectory
    assert path.loss_source == "exact, from StepLoss"
    expected = [
        np.mean(np.sqrt(np.abs(np.tan(phi) * part[0].ravel() - part[1].ravel())))
        for part, (phi,) in zip(parts * 2, path.weights.astype("float64"), strict=False)
    ]
    np.testing.assert_allclose(path.losses[:-1], expected, rtol=1e-5)


def test_sample_weights_count():
    x, y = some_data()
    weight = np.linspace(0.1, 3, ROWS)
    loss = kv.losses.RootError()
    model = rosette_model(step_loss=False)
    model.compile(keras.optimizers.SGD(0.05), loss, weighted_metrics=[kv.metrics.StepLoss(loss)])
    recorder = TrajectoryRecorder()
    model.fit(
        x, y, sample_weight=weight, batch_size=16, shuffle=False, verbose=0, callbacks=[recorder]
    )
    path = recorder.trajectory
    assert path.loss_source.startswith("exact")
    exact = kv.objectives.Objective(model, x[16:32], y[16:32], weight[16:32])(path.weights[1])
    assert path.losses[1] == pytest.approx(float(exact), rel=1e-6)


class Evaluates(keras.callbacks.Callback):
    """What users do, although it disturbs Keras' running mean."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_train_batch_end(self, batch, logs=None):
        if batch in self.batches:
            self.model.evaluate(*some_data(), verbose=0)


def test_step_loss_is_exact_although_the_model_is_evaluated_at_every_step():
    reference, recorder = TrajectoryRecorder(), TrajectoryRecorder()
    fit(rosette_model(), reference)
    fit(rosette_model(), recorder, Evaluates(range(5)))
    np.testing.assert_array_equal(recorder.trajectory.losses, reference.trajectory.losses)


def test_a_disturbed_running_mean_gives_no_wrong_loss():
    reference = TrajectoryRecorder()
    fit(rosette_model(step_loss=False), reference, epochs=1)
    recorder = TrajectoryRecorder()
    fit(rosette_model(step_loss=False), recorder, Evaluates([1]), epochs=1)
    known = np.isfinite(recorder.trajectory.losses)
    assert not known[1] and known[0] and known[3]
    np.testing.assert_allclose(
        recorder.trajectory.losses[known], reference.trajectory.losses[known], atol=1e-6
    )


class RawLoss(BuiltLine):
    """A custom train step that logs its own loss and never touches the loss tracker."""

    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(kv.losses.root_error(y, self(x)))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a train step for TensorFlow")
def test_a_custom_train_step_that_logs_its_own_loss():
    recorder, model = TrajectoryRecorder(), RawLoss()
    model.compile(keras.optimizers.SGD(0.05))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(model, recorder)
    reference = TrajectoryRecorder()
    fit(rosette_model(), reference)
    np.testing.assert_allclose(recorder.trajectory.losses, reference.trajectory.losses, atol=1e-6)
    assert recorder.trajectory.loss_source == "as train_step logged it"


class Kick(keras.callbacks.Callback):
    """Moves the weights before each step, as a search of learning rates may."""

    def on_train_batch_begin(self, batch, logs=None):
        assert not logs  # no callback leaves anything behind for the others
        (variable,) = self.model.trainable_variables
        variable.assign(variable + 1.0)


def test_each_callback_sees_the_weights_of_its_turn():
    model, (x, y) = rosette_model(keras.optimizers.SGD(0.0)), some_data()
    before, after = TrajectoryRecorder(), TrajectoryRecorder()
    model.fit(x, y, batch_size=32, epochs=1, verbose=0, callbacks=[before, Kick(), after])
    start = np.float32(np.pi / 4)
    steps = np.arange(len(before.trajectory) - 1, dtype="float32")
    np.testing.assert_allclose(before.trajectory.weights[:-1, 0], start + steps)
    np.testing.assert_allclose(after.trajectory.weights[:-1, 0], start + 1 + steps)


def test_a_loop_of_ones_own_that_keeps_its_logs():
    model, (x, y) = rosette_model(keras.optimizers.SGD(0.05)), some_data()
    recorder, logs, expected = TrajectoryRecorder(), {}, []
    recorder.set_model(model)
    recorder.on_train_begin(logs)
    recorder.on_epoch_begin(0, logs)
    for batch in range(4):
        expected.append(weights_of(model))
        recorder.on_train_batch_begin(batch, logs)
        logs["loss"] = float(model.train_on_batch(x, y, return_dict=True)["loss"])
        recorder.on_train_batch_end(batch, logs)
    recorder.on_epoch_end(0, logs)
    recorder.on_train_end(logs)
    np.testing.assert_array_equal(recorder.trajectory.weights, [*expected, weights_of(model)])
