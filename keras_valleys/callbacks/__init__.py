"""Callbacks that record and show what an optimizer does while `model.fit` runs, or after it."""

from keras_valleys.callbacks.finished_runs import write_run
from keras_valleys.callbacks.steps import Row, StepCallback
from keras_valleys.callbacks.surface_board import SurfaceBoard
from keras_valleys.callbacks.trajectory_recorder import TrajectoryRecorder

__all__ = [
    "Row",
    "StepCallback",
    "SurfaceBoard",
    "TrajectoryRecorder",
    "write_run",
]


def __dir__():
    return __all__
