"""Callbacks that record and show what an optimizer does while `model.fit` runs."""

from keras_valleys.callbacks.steps import Row, StepCallback
from keras_valleys.callbacks.surface_board import SurfaceBoard
from keras_valleys.callbacks.trajectory_recorder import TrajectoryRecorder

__all__ = [
    "Row",
    "StepCallback",
    "SurfaceBoard",
    "TrajectoryRecorder",
]


def __dir__():
    return __all__
