"""Losses and optimizers of models with a train_step of their own."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_valleys as kv
from helpers.boards import shown
from helpers.fits import batches, fit, some_data
from helpers.lines import BuiltLine
from keras_valleys.callbacks import SurfaceBoard, TrajectoryRecorder

BACKEND = keras.config.backend()
Mean = keras.metrics.Mean
outside = Mean(name="loss")  # as in a notebook


class Own(BuiltLine):
    """A line with a train_step for each backend, which logs what `logged(loss, rows)` returns."""

    def logged(self, loss, rows):
        return {"loss": loss}

    def optimizer_in_use(self):
        return self.optimizer

    def loss_of(self, x, y):
        return ops.mean(kv.losses.root_error(y, self(x)))

    def train_step(self, *arguments):
        return getattr(self, BACKEND)(*arguments)

    def test_step(self, *arguments):
        logs = {"seen": ops.ones(())}
        return logs if BACKEND != "jax" else (logs, arguments[0])

    def tensorflow(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = self.loss_of(x, y)
        slopes = tape.gradient(loss, self.trainable_variables)
        self.optimizer_in_use().apply(slopes, self.trainable_variables)
        return self.logged(loss, ops.shape(x)[0])

    def torch(self, data):
        import torch

        x, y = data
        self.zero_grad()
        loss = self.loss_of(x, y)
        loss.backward()
        slopes = [variable.value.grad for variable in self.trainable_variables]
        with torch.no_grad():
            self.optimizer_in_use().apply(slopes, self.trainable_variables)
        return self.logged(loss.detach(), len(x))

    def jax(self, state, data):
        import jax

        weights, others, optimizer, metrics = state
        x, y = data

        def loss_of(weights):
            predicted, _ = self.stateless_call(weights, others, x)
            return ops.mean(kv.losses.root_error(y, predicted))

        loss, slopes = jax.value_and_grad(loss_of)(weights)
        weights, optimizer = self.optimizer.stateless_apply(optimizer, slopes, weights)
        pairs = list(zip(self.metrics_variables, metrics, strict=True))
        with keras.StatelessScope(pairs) as scope:
            logs = self.logged(loss, len(x))
        metrics = [scope.get_current_value(v) for v in self.metrics_variables]
        return logs, (weights, others, optimizer, metrics)


class Listed(Own):
    """As Keras' guide does it."""

    def __init__(self):
        super().__init__()
        self.mean = Mean(name="loss")

    @property
    def metrics(self):
        return [self.mean]

    def logged(self, loss, rows):
        self.mean.update_state(loss)
        return {"loss": self.mean.result()}


class Tracked(Own):
    """Keras finds the metric itself, beside its own of the same name."""

    def __init__(self):
        super().__init__()
        self.mean = Mean(name="loss")

    def logged(self, loss, rows):
        self.mean.update_state(loss, sample_weight=rows)
        return {"loss": self.mean.result()}


class Variational(Own):
    """Three means, one of which is logged as the loss: the sum of the others."""

    def __init__(self):
        super().__init__()
        self.means = {name: Mean(name=name) for name in ("kl_loss", "total_loss", "rest_loss")}

    @property
    def metrics(self):
        return list(self.means.values())

    def logged(self, loss, rows):
        for name, share in (("kl_loss", 0.25), ("rest_loss", 0.75), ("total_loss", 1.0)):
            self.means[name].update_state(share * loss)
        logs = {name: mean.result() for name, mean in self.means.items()}
        return {**logs, "loss": logs.pop("total_loss")}


class Added(Own):
    """The sum of two means, neither of which is logged as the loss."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Mean(name="reconstruction_loss"), Mean(name="kl_loss")

    def logged(self, loss, rows):
        self.first.update_state(0.75 * loss + 0.1)
        self.second.update_state(0.25 * loss - 0.1)
        logs = {one.name: one.result() for one in (self.first, self.second)}
        return {**logs, "loss": sum(logs.values())}


class Anew(Own):
    """Reset at each step."""

    def __init__(self):
        super().__init__()
        self.mean = Mean(name="loss")

    def logged(self, loss, rows):
        self.mean.reset_state()
        self.mean.update_state(loss, sample_weight=rows)
        return {"loss": self.mean.result()}


class Weighted(Own):
    """Weights of its own, which change from step to step."""

    def __init__(self):
        super().__init__()
        self.mean = Mean(name="loss")

    def logged(self, loss, rows):
        self.mean.update_state(loss, sample_weight=1.0 + loss)
        return {"loss": self.mean.result()}


class Hidden(Own):
    """Not in `metrics`: nobody resets it, and it goes on from epoch to epoch."""

    def __init__(self):
        super().__init__()
        mean = Mean(name="loss")
        self.kept = lambda: mean

    def logged(self, loss, rows):
        self.kept().update_state(loss)
        return {"loss": self.kept().result()}


class Outside(Own):
    def logged(self, loss, rows):
        outside.update_state(loss, sample_weight=rows)
        return {"loss": outside.result()}


class Computed(keras.Sequential):
    """Keras' train_step, with another mean in its logs under the same name."""

    def __init__(self):
        super().__init__([keras.Input((1,)), kv.layers.AngleFit()])
        self.other = Mean(name="loss")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = ops.mean(kv.losses.root_error(y, y_pred))
        self.other.update_state(loss)
        return loss


class Raw(Own):
    """Logs the loss itself, although it keeps means too."""

    def __init__(self):
        super().__init__()
        self.mean = Mean(name="loss")

    def logged(self, loss, rows):
        self.mean.update_state(loss)
        self._loss_tracker.update_state(2 * loss)
        return {"loss": loss}


class Running(keras.metrics.Metric):
    """A mean in variables of its own."""

    def __init__(self):
        super().__init__(name="loss")
        self.sum = self.add_variable((), "zeros", name="sum")
        self.steps = self.add_variable((), "zeros", name="steps")

    def update_state(self, loss):
        self.sum.assign(self.sum + loss)
        self.steps.assign(self.steps + 1)

    def result(self):
        return self.sum / self.steps


class Fading(Mean):
    """Its total and count are no sums."""

    def update_state(self, values, sample_weight=None):
        self.total.assign(0.5 * self.total + values)
        self.count.assign(0.5 * self.count + 1.0)


class Unknown(Own):
    make = Running

    def __init__(self):
        super().__init__()
        self.running = self.make()

    @property
    def metrics(self):
        return [self.running]

    def logged(self, loss, rows):
        self.running.update_state(loss)
        return {"loss": self.running.result()}


class Faded(Unknown):
    make = Fading


class Squared(Own):
    """A function of a mean."""

    def __init__(self):
        super().__init__()
        self.mean = Mean(name="root")

    def logged(self, loss, rows):
        self.mean.update_state(ops.sqrt(loss))
        return {"loss": self.mean.result() ** 2}


class Counted(Own):
    """A mean in variables of the model, without a metric."""

    def __init__(self):
        super().__init__()
        zero = {"shape": (), "initializer": "zeros", "trainable": False}
        self.sum, self.steps = self.add_weight(**zero), self.add_weight(**zero)

    def logged(self, loss, rows):
        self.sum.assign(self.sum + loss)
        self.steps.assign(self.steps + 1.0)
        return {"loss": self.sum / self.steps}


AGGREGATES = [Unknown, Faded, Squared] + ([] if BACKEND == "jax" else [Counted])
MEANS = [Listed, Tracked, Variational, Computed, Added, Anew, Weighted]
MEANS += [] if BACKEND == "jax" else [Hidden, Outside]  # JAX carries only listed metrics along
OPTIONS = {"jit_compile": False} if BACKEND == "tensorflow" else {}


def compiled(make, optimizer=None, **options):
    model = make()
    model.compile(optimizer or keras.optimizers.SGD(0.05), **OPTIONS, **options)
    return model


def exact_losses(path, epochs):
    """The loss of each row's own batch at its weights, in float64."""
    parts, losses = batches(*some_data(), 16, epochs), []
    for step, (phi,) in zip(path.steps[:-1], path.weights[:-1], strict=True):
        x, y = (part.astype("float64") for part in parts[step])
        losses.append(np.mean(np.abs(np.tan(np.float64(phi)) * x - y) ** 0.5))
    return losses


@pytest.mark.parametrize("every, validated", [(1, True), (3, False)])
@pytest.mark.parametrize("make", MEANS)
def test_the_mean_behind_the_log_is_undone(make, validated, every):
    recorder, model = TrajectoryRecorder(every), compiled(make)
    fit(model, recorder, validation_data=some_data() if validated else None)
    fit(model, recorder, epochs=1)
    path = recorder.trajectory
    assert list(path.steps) == [*range(0, 15, every), 15]
    np.testing.assert_allclose(path.losses[:-1], exact_losses(path, 3), rtol=2e-5)
    assert path.loss_source == "the epoch's running mean undone, in float32"


def test_a_loss_that_is_logged_itself_is_taken_as_it_is():
    recorder = TrajectoryRecorder()
    fit(compiled(Raw), recorder)
    path = recorder.trajectory
    np.testing.assert_allclose(path.losses[:-1], exact_losses(path, 2), rtol=1e-6)
    assert path.loss_source.endswith("as train_step logged it")


@pytest.mark.parametrize("make", AGGREGATES)
def test_a_mean_that_cannot_be_undone_is_said_to_be_one(make):
    recorder, seen = TrajectoryRecorder(), []
    logs = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: seen.append(logs))
    fit(compiled(make), recorder, logs)
    path = recorder.trajectory
    assert "perhaps a running mean" in path.loss_source
    np.testing.assert_allclose(path.losses[:-1], [one["loss"] for one in seen], rtol=1e-6)
    assert np.max(np.abs(path.losses[:-1] - exact_losses(path, 2))) > 1e-3


class Plain(Own):
    """Keeps nothing."""


def test_where_nothing_is_counted_no_mean_is_suspected():
    recorder = TrajectoryRecorder()
    fit(compiled(Plain), recorder)
    path = recorder.trajectory
    np.testing.assert_allclose(path.losses[:-1], exact_losses(path, 2), rtol=1e-6)
    assert path.loss_source == "as train_step logged it"


def test_the_metrics_of_other_models_are_not_taken():
    others = [Mean(name="loss") for _ in range(3)]
    for other in others:
        other.update_state(0.7)
    recorder = TrajectoryRecorder()
    fit(compiled(Listed), recorder)
    path = recorder.trajectory
    np.testing.assert_allclose(path.losses[:-1], exact_losses(path, 2), rtol=2e-5)
    assert all(float(other.result()) == pytest.approx(0.7) for other in others)


# Optimizers


class WithItsOwn(Own):
    """The compiled optimizer, RMSprop where none is given, is never used."""

    def __init__(self):
        super().__init__()
        self.own = {"one": keras.optimizers.Adam(0.03)}

    def optimizer_in_use(self):
        return self.own["one"]


class Adversaries(keras.Model):
    """A generator and a discriminator, each with an optimizer of its own."""

    def __init__(self):
        super().__init__()
        self.generator = keras.layers.Dense(1, name="generator")
        self.discriminator = keras.layers.Dense(1, name="discriminator")
        for layer in (self.generator, self.discriminator):
            layer.build((None, 1))
        self.built = True

    def compile(self, first, second, **options):
        super().compile(**options)
        self.first, self.second = first, second

    def call(self, inputs):
        return self.discriminator(self.generator(inputs))

    def train_step(self, data):
        x, _ = data
        parts = ((self.first, self.generator, 1.0), (self.second, self.discriminator, -1.0))
        losses = {}
        for optimizer, layer, sign in parts:
            weights = layer.trainable_variables
            losses[f"{layer.name}_loss"] = getattr(self, BACKEND)(optimizer, weights, x, sign)
        return losses

    def tensorflow(self, optimizer, weights, x, sign):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = sign * ops.mean(self(x))
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    def torch(self, optimizer, weights, x, sign):
        import torch

        self.zero_grad()
        loss = sign * ops.mean(self(x))
        loss.backward()
        with torch.no_grad():
            optimizer.apply([variable.value.grad for variable in weights], weights)
        return loss.detach()


@pytest.mark.skipif(BACKEND == "jax", reason="JAX carries only the compiled optimizer along")
def test_an_optimizer_of_ones_own_is_named_and_not_the_compiled_one(tmp_path):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run")
    model = WithItsOwn()
    model.compile(**OPTIONS)
    fit(model, recorder, board)
    assert recorder.trajectory.label == "Adam"
    found = shown(board)["hparams"]
    assert found["optimizer"] == "Adam" and found["learning_rate"] == pytest.approx(0.03)


def test_the_compiled_optimizer_of_an_own_train_step_is_named(tmp_path):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run")
    fit(compiled(Listed, keras.optimizers.Adagrad(0.02)), recorder, board)
    assert recorder.trajectory.label == "Adagrad"
    found = shown(board)["hparams"]
    assert found["optimizer"] == "Adagrad" and found["learning_rate"] == pytest.approx(0.02)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX carries only the compiled optimizer along")
def test_of_two_optimizers_none_moves_all_weights(tmp_path):
    board = SurfaceBoard(tmp_path / "run")
    recorders = {
        "all": TrajectoryRecorder(),
        "generator": TrajectoryRecorder(weights="generator"),
        "discriminator": TrajectoryRecorder(weights="discriminator"),
    }
    model = Adversaries()
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.1), **OPTIONS)
    assert type(model.optimizer).__name__ == "RMSprop"
    fit(model, *recorders.values(), board)
    labels = {name: recorder.trajectory.label for name, recorder in recorders.items()}
    assert labels == {"all": "", "generator": "Adam", "discriminator": "SGD"}
    assert shown(board)["hparams"] == {"optimizer": ""}
    for recorder in recorders.values():
        path = recorder.trajectory
        assert list(path.steps) == list(range(11)) and path.loss_source.startswith("not known")
        assert np.all(np.diff(path.weights[:, 0]) != 0)
