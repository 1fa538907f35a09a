"""The loss, sampled on a line or a plane in weight space."""

from keras_valleys.surfaces.surface import Surface, evaluate

__all__ = [
    "Surface",
    "evaluate",
]


def __dir__():
    return __all__
