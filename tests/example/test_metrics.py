import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.lines import rosette_model


def test_it_keeps_the_last_loss_only():
    metric = kv.metrics.StepLoss(kv.losses.RootError(2))
    metric.update_state(np.zeros((2, 1)), np.float32([[3.0], [5.0]]))
    assert float(metric.result()) == 4.0
    metric.update_state(
        np.zeros((2, 1)), np.float32([[1.0], [0.0]]), sample_weight=np.float32([4, 1])
    )
    assert float(metric.result()) == 2.0
    metric.reset_state()
    assert float(metric.result()) == 0.0


@pytest.mark.parametrize(
    "loss", ["mean_squared_error", keras.losses.MeanSquaredError(), keras.losses.mean_squared_error]
)
def test_it_takes_every_form_of_a_loss_and_round_trips(loss):
    metric = kv.metrics.StepLoss(loss, name="own")
    twin = keras.metrics.deserialize(keras.metrics.serialize(metric))
    for one in (metric, twin):
        one.update_state(np.zeros((2, 1)), np.float32([[3.0], [1.0]]))
        assert float(one.result()) == 5.0
    assert twin.name == "own" and twin.get_config() == metric.get_config()


def test_no_loss_is_refused():
    with pytest.raises(ValueError, match="`StepLoss` expects `loss` to be a Keras loss"):
        kv.metrics.StepLoss(None)


def test_in_fit_it_is_the_loss_of_the_last_batch():
    (x, y), _ = kv.datasets.rosette(noise=0.1)
    model = rosette_model(keras.optimizers.SGD(0.0))
    history = model.fit(x, y, batch_size=600, shuffle=False, verbose=0).history
    last = float(kv.losses.RootError()(y[600:], np.tan(np.float32(np.pi / 4)) * x[600:]))
    assert float(history["step_loss"][0]) == pytest.approx(last, rel=1e-6)
    assert float(history["loss"][0]) != pytest.approx(last, rel=1e-3)
