"""A compiled model and its data as a function of the flat weight vector."""

from keras_valleys.objectives.loading import load_model
from keras_valleys.objectives.objective import CALL_BYTES, Objective
from keras_valleys.objectives.some_rows import SomeRows

__all__ = [
    "Objective",
    "load_model",
]


def __dir__():
    return __all__
