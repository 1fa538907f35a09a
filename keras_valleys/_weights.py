"""Keras variables and tensors as NumPy arrays."""

import keras
import numpy as np
from keras import ops

from keras_valleys._backends import read


def to_numpy(tensor):
    """The values of a tensor or variable; they may share its memory.

    Keras' own `convert_to_numpy` and `get_weights` warn under NumPy 2 (their `__array__` has no
    `copy`), and users run with warnings as errors.
    """
    tensor = read(tensor)
    if keras.config.backend() == "torch":
        tensor = tensor.detach().cpu()
        if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
            tensor = ops.cast(tensor, "float32")  # NumPy has no form of it
        return tensor.numpy()
    array = np.asarray(tensor)
    return array.astype("float32") if array.dtype.kind == "V" else array  # such as bfloat16


def flatten(variables):
    """The values of `variables` as one new vector of shape `(P,)`, each in C order."""
    parts = [to_numpy(variable).ravel() for variable in variables]
    return parts[0].copy() if len(parts) == 1 else np.concatenate(parts)
