"""A compiled model and its data as a function of the flat weight vector."""

from keras_valleys.objectives.objective import CALL_BYTES, Objective

__all__ = [
    "Objective",
]


def __dir__():
    return __all__
