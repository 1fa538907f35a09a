"""Keras variables and tensors as NumPy arrays."""

import keras
import numpy as np
from keras import ops


def to_numpy(tensor):
    """The values of a tensor or variable; they may share its memory.

    Keras' own `convert_to_numpy` and `get_weights` warn under NumPy 2 (their `__array__` has no
    `copy`), and users run with warnings as errors.
    """
    tensor = getattr(tensor, "value", tensor)  # of a Keras variable: the backend's own
    if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
        tensor = ops.cast(tensor, "float32")  # torch has no NumPy form of it
    if keras.config.backend() == "torch":
        return tensor.detach().cpu().numpy()
    if keras.config.backend() == "tensorflow":
        tensor = ops.stop_gradient(tensor)  # reads a variable that lives on several devices
    return np.asarray(tensor)


def flatten(variables):
    """The values of `variables` as one new vector of shape `(P,)`, each in C order."""
    return np.concatenate([np.ravel(to_numpy(variable)) for variable in variables])
