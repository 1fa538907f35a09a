"""The worked example's model: a straight line through the origin, one weight."""

import math
import numbers
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_valleys._checks import refusal

__all__ = ["AngleFit"]


def __dir__():
    return __all__


@keras.saving.register_keras_serializable(package="keras_valleys")
class AngleFit(keras.layers.Layer):
    """A straight line through the origin, described by its angle.

    `y = tan(phi) * x`, with the single weight `phi` of shape `()`. tan has a pole at `pi/2`, a
    vertical line; `keras_valleys.constraints.WrapAngle` keeps phi on one side of it.

    A line at phi and at `phi + pi` is the same: surfaces over phi have the period pi (not so with a
    regularizer, which tells the two apart), and are in radians.

    phi is kept, and tan is computed, in float32 or finer under every dtype policy. Where the
    layer's compute dtype is narrower, its outputs are rounded to that dtype: the loss over phi
    becomes a staircase and training stops early, and the layer warns once when it is built.

    Args:
        phi_initializer: Initial angle in radians, or a Keras initializer.
        phi_regularizer: Keras regularizer of phi.
        phi_constraint: Keras constraint of phi.

    Call arguments:
        inputs: Tensor of any shape.

    Returns:
        Tensor of the shape of `inputs`, in the layer's compute dtype.

    Raises:
        ValueError: `phi_initializer` is a number that is not finite.

    Example:

    >>> model = keras.Sequential([keras_valleys.layers.AngleFit(phi_initializer=math.pi / 4)])
    >>> round(float(model.predict(np.array([[2.0]]), verbose=0)[0, 0]), 4)
    2.0

    Source: H. F. Wittmann, "Loss surface with multiple valleys", 2019.
    """

    def __init__(
        self,
        phi_initializer: float | str | dict | keras.initializers.Initializer = math.pi / 4,
        phi_regularizer: str | dict | keras.regularizers.Regularizer | None = None,
        phi_constraint: str | dict | keras.constraints.Constraint | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        if isinstance(phi_initializer, np.ndarray) and phi_initializer.ndim == 0:
            phi_initializer = phi_initializer.item()
        if isinstance(phi_initializer, numbers.Real):
            if not math.isfinite(phi_initializer):
                raise refusal(
                    "AngleFit",
                    "`phi_initializer` to be a finite angle in radians or a Keras initializer",
                    {"phi_initializer": phi_initializer},
                    "Use phi_initializer=0.785 for 45 degrees.",
                )
            phi_initializer = keras.initializers.Constant(float(phi_initializer))
        self.phi_initializer = keras.initializers.get(phi_initializer)
        self.phi_regularizer = keras.regularizers.get(phi_regularizer)
        self.phi_constraint = keras.constraints.get(phi_constraint)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.compute_dtype in ("float16", "bfloat16"):
            warnings.warn(
                f"`AngleFit` computes in {self.compute_dtype}: the loss surface over phi becomes a "
                "staircase and training stops early. Use dtype='float32' for this layer.",
                stacklevel=2,
            )
        self.phi = self.add_weight(
            name="phi",
            shape=(),
            dtype="float64" if self.variable_dtype == "float64" else "float32",
            initializer=self.phi_initializer,
            regularizer=self.phi_regularizer,
            constraint=self.phi_constraint,
            autocast=False,
        )
        self.phi.period, self.phi.unit = math.pi, "rad"

    def call(self, inputs: ArrayLike) -> keras.KerasTensor:
        slope = ops.tan(self.phi)
        return ops.cast(slope * ops.cast(inputs, slope.dtype), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "phi_initializer": keras.initializers.serialize(self.phi_initializer),
            "phi_regularizer": keras.regularizers.serialize(self.phi_regularizer),
            "phi_constraint": keras.constraints.serialize(self.phi_constraint),
        }
