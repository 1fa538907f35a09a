"""Many descents at once: where an optimizer ends, from many starts."""

from keras_valleys.descents.basin_maps import BasinMap, basin_map
from keras_valleys.descents.descending import Descents, descend

__all__ = [
    "BasinMap",
    "Descents",
    "basin_map",
    "descend",
]


def __dir__():
    return __all__
