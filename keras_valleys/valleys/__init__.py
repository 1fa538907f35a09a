"""The shape of a sampled surface: its valleys, and the steps that leave one for another."""

from keras_valleys.valleys.axes import Axis, axes_of, closed, like_closed
from keras_valleys.valleys.between import BarrierBetween, barrier_between
from keras_valleys.valleys.crossings import Derailment, crossed_rows, derailments, passages
from keras_valleys.valleys.finding import barrier, find_valleys, label_basins
from keras_valleys.valleys.shifts import Shift, shift
from keras_valleys.valleys.shown import (
    check_persistence,
    closed_valleys,
    shown_range,
    shown_valleys,
)
from keras_valleys.valleys.valley import BORDER, Valley, Valleys, count_text, dropped_text

__all__ = [
    "BarrierBetween",
    "Derailment",
    "Shift",
    "Valley",
    "Valleys",
    "barrier",
    "barrier_between",
    "derailments",
    "find_valleys",
    "label_basins",
    "shift",
]


def __dir__():
    return __all__
