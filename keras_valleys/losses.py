"""The error whose loss surface has a valley for every line."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_valleys._checks import check_number, refusal

__all__ = ["RootError", "root_error"]


def __dir__():
    return __all__


@keras.saving.register_keras_serializable(package="keras_valleys")
def root_error(y_true: ArrayLike, y_pred: ArrayLike, root: float = 4.0) -> keras.KerasTensor:
    """The mean over the last axis of a root of the squared error.

    `mean(((y_pred - y_true)^2)^(1/root))`, computed as `|y_pred - y_true|^(2/root)`, which neither
    underflows nor overflows on the way: `root=1` is the squared error, `root=2` the absolute error,
    `root=4`, the fourth root, the published one. For `root > 2` the gradient of the formula is
    infinite at zero error; there, and for `root=2`, this function has the gradient 0. Errors so
    small that their gradient would overflow count as zero. Half-precision inputs are computed in
    float32.

    Args:
        y_true: Targets of shape `(..., d)`; `(N,)` also matches predictions `(N, 1)`.
        y_pred: Predictions of shape `(..., d)`; `(N,)` also matches targets `(N, 1)`.
        root: Number >= 1.

    Returns:
        Tensor of shape `(...)` in the dtype of `y_pred`.

    Raises:
        ValueError: `root` is less than 1, or the ranks differ.

    Example:

    >>> y_true, y_pred = np.array([[0.0, 1.0]]), np.array([[16.0, 1.0]])
    >>> float(keras_valleys.losses.root_error(y_true, y_pred)[0])
    2.0

    Source: H. F. Wittmann, "Loss surface with multiple valleys", 2019.
    """
    _check_root("root_error", root)
    given = ops.convert_to_tensor(y_pred)
    dtype = keras.backend.standardize_dtype(given.dtype)
    if not keras.backend.is_float_dtype(dtype):
        dtype = keras.config.floatx()
    wide = "float32" if dtype in ("float16", "bfloat16") else dtype
    targets, predictions = _same_rank(ops.cast(y_true, wide), ops.cast(given, wide))
    error = ops.abs(predictions - targets)
    # Both branches of a `where` are differentiated: the inner one keeps the infinite gradient of
    # the power at zero, times 0, from becoming NaN.
    zero = error < _least_error(2.0 / root, dtype, wide)
    powers = ops.power(ops.where(zero, ops.ones_like(error), error), 2.0 / root)
    powers = ops.where(zero, ops.zeros_like(error), powers)
    return ops.cast(ops.mean(powers, axis=-1), dtype)


@keras.saving.register_keras_serializable(package="keras_valleys")
class RootError(keras.losses.Loss):
    """The mean of a root of the squared error, as a Keras loss.

    `mean(((y_pred - y_true)^2)^(1/root))`; see `root_error` for its edge at zero error. With
    `root > 2` the loss is sublinear: large errors lose their dominance, and over the angle of a
    line every line in the data makes a valley of its own.

    Args:
        root: Number >= 1: 1 is the squared, 2 the absolute error, 4 the published one.
        reduction: As in every Keras loss.
        name: Name of the loss.
        dtype: Dtype or `keras.DTypePolicy` of the computation; `None` is `keras.config.floatx()`.

    Call arguments:
        y_true: Targets, shape `(N, ...)`.
        y_pred: Predictions of the same shape; `(N,)` and `(N, 1)` match each other.
        sample_weight: Optional weights of the rows.

    Raises:
        ValueError: `root` is less than 1, or the ranks of targets and predictions differ.

    Example:

    >>> loss = keras_valleys.losses.RootError(root=2)
    >>> float(loss(np.array([[0.0], [1.0]]), np.array([[3.0], [0.0]])))
    2.0

    Source: H. F. Wittmann, "Loss surface with multiple valleys", 2019.
    """

    def __init__(
        self,
        root: float = 4.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "root_error",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        _check_root("RootError", root)
        self.root = float(root)
        self._given_dtype = dtype

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> keras.KerasTensor:
        return root_error(y_true, y_pred, root=self.root)

    def get_config(self) -> dict[str, Any]:
        # Keras' own get_config drops the dtype.
        dtype = self._given_dtype
        if isinstance(dtype, keras.DTypePolicy):
            dtype = keras.dtype_policies.serialize(dtype)
        elif dtype is not None:
            dtype = keras.backend.standardize_dtype(dtype)
        return {**super().get_config(), "root": self.root, "dtype": dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RootError":
        dtype = config.get("dtype")
        if isinstance(dtype, dict):
            config = {**config, "dtype": keras.dtype_policies.deserialize(dtype)}
        return cls(**config)


def _least_error(power, dtype, wide):
    """The error below which it counts as zero: subnormal, or its gradient overflows `dtype`."""
    least = float(np.finfo(wide).tiny)
    if power < 1:
        largest = float(np.finfo("float16" if dtype == "float16" else wide).max)
        least = max(least, (power / largest) ** (1 / (1 - power)))
    return least


def _check_root(name, root):
    remedy = "Use root=1 for the squared error."
    check_number(name, "a finite number >= 1", remedy, least=1, root=root)


def _same_rank(y_true, y_pred):
    true_shape, pred_shape = tuple(y_true.shape), tuple(y_pred.shape)
    if len(true_shape) == len(pred_shape):
        return y_true, y_pred
    if len(true_shape) == 1 and len(pred_shape) == 2 and pred_shape[1] == 1:
        return ops.expand_dims(y_true, -1), y_pred
    if len(pred_shape) == 1 and len(true_shape) == 2 and true_shape[1] == 1:
        return y_true, ops.expand_dims(y_pred, -1)
    raise refusal(
        "root_error",
        "`y_true` and `y_pred` of one rank, or (N,) against (N, 1)",
        f"y_true of shape {true_shape}, y_pred of shape {pred_shape}",
        "Reshape `y_true` to the shape of the predictions.",
    )
