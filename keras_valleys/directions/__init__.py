"""Directions in weight space: what the axes of a surface are made of."""

from keras_valleys.directions.directions import Directions, between, coordinate, hessian
from keras_valleys.directions.filters import random
from keras_valleys.directions.principal_components import principal

__all__ = [
    "Directions",
    "between",
    "coordinate",
    "hessian",
    "principal",
    "random",
]


def __dir__():
    return __all__
