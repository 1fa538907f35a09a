"""Metrics that serve the recording of trajectories."""

from collections.abc import Callable
from typing import Any

import keras
from numpy.typing import ArrayLike

from keras_valleys._checks import refusal

__all__ = ["StepLoss"]


def __dir__():
    return __all__


@keras.saving.register_keras_serializable(package="keras_valleys")
class StepLoss(keras.metrics.Metric):
    """The loss of the last step, exactly.

    Keras logs the loss as a running mean over the epoch; undoing that mean costs digits. This
    metric keeps the loss of the last batch itself. Compile it among the `metrics`, or among the
    `weighted_metrics` where `model.fit` is given sample or class weights, and `TrajectoryRecorder`
    finds it. It knows neither regularizers nor `add_loss`; a recorder notices that and does not
    use it.

    Args:
        loss: A Keras loss: instance, function or name; the one that the model is compiled with.
        name: Name of the metric.
        dtype: Dtype of the metric.

    Example:

    >>> metric = keras_valleys.metrics.StepLoss("mean_squared_error")
    >>> metric.update_state(np.array([[0.0]]), np.array([[9.0]]))
    >>> metric.update_state(np.array([[0.0]]), np.array([[2.0]]))
    >>> float(metric.result())
    4.0
    """

    def __init__(
        self,
        loss: str | dict | Callable | keras.losses.Loss,
        name: str = "step_loss",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.loss = keras.losses.get(loss)
        if self.loss is None:
            raise refusal(
                "StepLoss",
                "`loss` to be a Keras loss: an instance, a function or a name",
                "loss=None",
                "Use the loss that the model is compiled with.",
            )
        is_loss = isinstance(self.loss, keras.losses.Loss)
        self._reduced_loss = self.loss if is_loss else _MeanLoss(self.loss)
        self.value = self.add_variable(shape=(), initializer="zeros", name="value")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        loss = self._reduced_loss(y_true, y_pred, sample_weight)
        self.value.assign(keras.ops.cast(loss, self.value.dtype))

    def result(self) -> keras.KerasTensor:
        # A copy: on torch the tensor would be the live variable, and logs are read late.
        return keras.ops.copy(keras.ops.convert_to_tensor(self.value))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "loss": keras.losses.serialize(self.loss)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "StepLoss":
        return cls(**{**config, "loss": keras.losses.deserialize(config["loss"])})


class _MeanLoss(keras.losses.Loss):
    """A loss function, reduced as `compile` reduces it."""

    def __init__(self, function):
        super().__init__(name="mean_loss")
        self._function = function

    def call(self, y_true, y_pred):
        return self._function(y_true, y_pred)
