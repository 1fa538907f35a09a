"""A fair comparison of Keras optimizers, with what it shows of each."""

from keras_valleys.comparisons.comparing import compare
from keras_valleys.comparisons.results import Comparison, Run, Summary, success_interval

__all__ = [
    "Comparison",
    "Run",
    "Summary",
    "compare",
    "success_interval",
]


def __dir__():
    return __all__
