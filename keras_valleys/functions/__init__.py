"""Known functions of one or two weights, as Keras models that `model.fit` trains."""

from keras_valleys.functions.function import Function
from keras_valleys.functions.known import (
    beale,
    himmelblau,
    oblique_valley,
    power,
    rastrigin,
    rosenbrock,
    saddle,
)
from keras_valleys.functions.models import FunctionLoss, WeightVector

__all__ = [
    "Function",
    "FunctionLoss",
    "WeightVector",
    "beale",
    "himmelblau",
    "oblique_valley",
    "power",
    "rastrigin",
    "rosenbrock",
    "saddle",
]


def __dir__():
    return __all__
