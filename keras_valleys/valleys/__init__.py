"""The shape of a sampled surface: its valleys, and the steps that leave one for another."""

from keras_valleys.valleys.basins import barrier, find_valleys, label_basins
from keras_valleys.valleys.steps import Derailment, derailments
from keras_valleys.valleys.tables import Valley, Valleys

__all__ = [
    "Derailment",
    "Valley",
    "Valleys",
    "barrier",
    "derailments",
    "find_valleys",
    "label_basins",
]
