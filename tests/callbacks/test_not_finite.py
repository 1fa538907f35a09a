"""A batch whose loss is not finite, and the losses of the others."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_valleys as kv
from helpers.fits import batches, some_data
from keras_valleys.callbacks import TrajectoryRecorder
from keras_valleys.metrics import StepLoss

MARK = 1e6  # of a row whose loss is not finite, though its slope is


def marked(at):
    """Five batches, one of which has such a row."""
    x, y = some_data()
    y = y.copy()
    y[16 * at] = MARK
    return x, y


def loss_with(bad):
    """The absolute error, and what is not finite for a marked row."""

    def loss(y_true, y_pred):
        error = ops.abs(ops.clip(y_true, -3.0, 3.0) - y_pred)
        return error + ops.stop_gradient(ops.where(y_true > 1e5, bad, 0.0) * ops.ones_like(error))

    return loss


def recorded(bad, at, *, step_loss, epochs=2, validated=False):
    x, y = marked(at)
    loss = loss_with(bad)
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    metrics = [StepLoss(loss)] if step_loss else None
    model.compile(keras.optimizers.SGD(0.02), loss, metrics=metrics)
    recorder = TrajectoryRecorder()
    options = {"batch_size": 16, "epochs": epochs, "shuffle": False, "verbose": 0}
    data = some_data() if validated else None
    model.fit(x, y, callbacks=[recorder], validation_data=data, **options)
    return recorder.trajectory


def exact(path, at, bad, epochs=2):
    parts, losses = batches(*marked(at), 16, epochs), []
    for (x, y), (phi,) in zip(parts, path.weights[:-1].astype("float64"), strict=True):
        value = np.mean(np.abs(np.clip(y, -3, 3) - np.tan(phi) * x))
        losses.append(bad if np.any(y > 1e5) else value)
    return np.array(losses)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_step_loss_knows_all_others(bad):
    path = recorded(bad, 1, step_loss=True, validated=True)
    np.testing.assert_allclose(path.losses[:-1], exact(path, 1, bad), rtol=1e-5)
    assert path.loss_source == "exact, from StepLoss"


@pytest.mark.parametrize("at", [0, 2, 4])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_running_mean_is_lost_to_the_end_of_the_epoch_and_that_is_said(bad, at):
    path = recorded(bad, at, step_loss=False)
    true, row = exact(path, at, bad), np.arange(10) % 5
    np.testing.assert_allclose(path.losses[:-1][row <= at], true[row <= at], rtol=1e-5)
    assert np.all(np.isnan(path.losses[:-1][row > at]))
    assert ("not known after a loss that is not finite" in path.loss_source) == (at < 4)


def test_an_unproved_step_loss_is_not_believed_because_both_are_not_numbers():
    x, y = marked(0)
    loss, recorder = loss_with(np.nan), TrajectoryRecorder()
    angle = kv.layers.AngleFit(phi_regularizer=keras.regularizers.L2(0.5))
    model = keras.Sequential([keras.Input((1,)), angle])
    # It does not know the regularizer, which only a loss that is finite shows.
    model.compile(keras.optimizers.SGD(0.02), loss, metrics=[StepLoss(loss)])
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=[recorder])
    assert np.all(np.isnan(recorder.trajectory.losses))
    assert "not known after a loss that is not finite" in recorder.trajectory.loss_source
