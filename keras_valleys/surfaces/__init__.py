"""The loss, sampled on a line or a plane in weight space."""

from keras_valleys.surfaces.reaching import reach
from keras_valleys.surfaces.sampling import loss_at, seconds_per_point
from keras_valleys.surfaces.several import evaluate_all
from keras_valleys.surfaces.surface import Surface, evaluate
from keras_valleys.surfaces.units import axis_text, coordinate_text, shown_as

__all__ = [
    "Surface",
    "evaluate",
    "evaluate_all",
    "reach",
]


def __dir__():
    return __all__
