"""The Keras model of a function: weights that are the outputs, and a loss that is the value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_valleys._checks import as_plain_dict, check_vector, refusal


def wide_dtype() -> str:
    """Float32, or float64 where Keras is set to it: whatever the dtype policy, none narrower."""
    return "float64" if keras.config.floatx() == "float64" else "float32"


@keras.saving.register_keras_serializable(package="keras_valleys")
class WeightVector(keras.layers.Layer):
    """A layer whose outputs are its weights, in each row.

    It has the single weight `w`, a vector, in float32 or finer under every dtype policy. Under a
    loss of the outputs alone, such as `FunctionLoss`, the model's loss is a function of `w`.

    Args:
        start: Sequence of K finite numbers: the initial weights.

    Call arguments:
        inputs: Tensor of shape `(N, ...)`, of which only N counts.

    Returns:
        Tensor of shape `(N, K)`.

    Raises:
        ValueError: `start` is no sequence of finite numbers.

    Example:

    >>> model = keras.Sequential([keras_valleys.functions.WeightVector([0.5, -2.0])])
    >>> model.predict(np.zeros((1, 1)), verbose=0).tolist()
    [[0.5, -2.0]]
    """

    def __init__(self, start: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        size = len(start) if hasattr(start, "__len__") else 0
        self.start = check_vector("WeightVector", size, start=start).tolist()
        if not size:
            raise refusal(
                "WeightVector",
                "`start` to be at least one number",
                {"start": start},
                "Use start=[0.5, -2.0] for two weights.",
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.w = self.add_weight(
            name="w",
            shape=(len(self.start),),
            dtype="float64" if self.variable_dtype == "float64" else "float32",
            initializer=keras.initializers.Constant(self.start),
            autocast=False,
        )

    def call(self, inputs: ArrayLike) -> keras.KerasTensor:
        # A new tensor: on torch a view of the weights would follow the step that an optimizer takes
        # before the metrics see the outputs.
        return ops.ones((ops.shape(inputs)[0], 1), self.w.dtype) * self.w

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        dtype = "float64" if self.variable_dtype == "float64" else "float32"
        return keras.KerasTensor((inputs.shape[0], len(self.start)), dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "start": self.start}


@keras.saving.register_keras_serializable(package="keras_valleys")
class FunctionLoss(keras.losses.Loss):
    """A function of the model's outputs as its loss, whatever the targets.

    The value is that of the function itself, also where it is negative: nothing is squared.

    Args:
        value: Function that takes one tensor for each of K outputs, and `arguments` by their
            names, and returns a tensor of the same shape, by plain arithmetic and `keras.ops`. A
            model with it can be saved and loaded where it is registered with Keras, see
            `keras.saving.register_keras_serializable`.
        arguments: Dictionary of further arguments of `value`, plain numbers.
        reduction: As in every Keras loss.
        name: Name of the loss.

    Call arguments:
        y_true: Targets of any kind, shape `(N, ...)`.
        y_pred: Outputs, shape `(N, K)`.
        sample_weight: Optional weights of the rows.

    Raises:
        ValueError: `value` cannot be called, or `arguments` is no dictionary of plain numbers.

    Example:

    >>> loss = keras_valleys.functions.FunctionLoss(lambda x, y: 3 * x - y**2)
    >>> float(loss(np.zeros((1, 1)), np.array([[1.0, 2.0]])))
    -1.0
    """

    def __init__(
        self,
        value: Callable[..., Any],
        arguments: Mapping[str, float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "function",
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=wide_dtype())
        self.value = check_value("FunctionLoss", value)
        self.arguments = as_plain_dict(
            "FunctionLoss", arguments={} if arguments is None else arguments
        )

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> keras.KerasTensor:
        outputs = ops.convert_to_tensor(y_pred)
        columns = [outputs[..., k] for k in range(outputs.shape[-1])]
        return self.value(*columns, **self.arguments)

    def get_config(self) -> dict[str, Any]:
        value = keras.saving.serialize_keras_object(self.value)
        return {**super().get_config(), "value": value, "arguments": dict(self.arguments)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FunctionLoss":
        value = keras.saving.deserialize_keras_object(config["value"])
        return cls(**{**config, "value": value})


def check_value(owner, value):
    """A function of the weights, or an error."""
    if not callable(value):
        raise refusal(
            owner,
            "`value` to be a function of one argument for each weight",
            {"value": value},
            "Use value=lambda x, y: x**2 + 3 * y**2.",
        )
    return value
