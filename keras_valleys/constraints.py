"""Constraints on weights."""

import math

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

__all__ = ["WrapAngle"]


def __dir__():
    return __all__


@keras.saving.register_keras_serializable(package="keras_valleys")
class WrapAngle(keras.constraints.Constraint):
    """Wraps an angle into `[-pi/2, pi/2)`, where each line through the origin has one angle.

    `phi - pi * floor(phi / pi + 1/2)`. Angles inside are returned bit for bit, so a run that stays
    inside is not changed; a step over the pole of tan comes back on the other side instead of
    drifting away. NaN stays NaN, and an infinite angle becomes NaN.

    A weight under it has the period pi and is in radians, in surfaces too, unless its layer says
    something else.

    Call arguments:
        w: Tensor or variable of any shape, radians.

    Example:

    >>> round(float(keras_valleys.constraints.WrapAngle()(3.0)), 4)
    -0.1416
    """

    period, unit = math.pi, "rad"

    # pi in two parts, so that k * _PI_HIGH is exact for |k| < 2**15 and far angles wrap as
    # precisely as they are represented (Cody and Waite's reduction).
    _PI_HIGH = 3.140625
    _PI_LOW = np.pi - _PI_HIGH

    def __call__(self, w: ArrayLike) -> keras.KerasTensor:
        angle = ops.convert_to_tensor(w)
        if not keras.backend.is_float_dtype(angle.dtype):
            angle = ops.cast(angle, keras.config.floatx())
        lower, upper = _bounds(keras.backend.standardize_dtype(angle.dtype))
        inside = ops.logical_and(angle >= lower, angle <= upper)
        turns = ops.floor(angle / np.pi + 0.5)
        wrapped = (angle - turns * self._PI_HIGH) - turns * self._PI_LOW
        return ops.where(inside, angle, ops.clip(wrapped, lower, upper))


def _bounds(dtype):
    """The least and the largest number of `dtype` in [-pi/2, pi/2)."""
    # bfloat16 and float16 both round pi/2 down, so float16 serves for either.
    kind = np.dtype({"bfloat16": "float16"}.get(dtype, dtype)).type
    upper = kind(np.pi / 2)
    if float(upper) >= np.pi / 2:
        upper = np.nextafter(upper, kind(0))
    lower = kind(-np.pi / 2)
    if float(lower) < -np.pi / 2:
        lower = np.nextafter(lower, kind(0))
    return float(lower), float(upper)
