"""What an optimizer did: the weights and the loss at each step."""

from keras_valleys.trajectories.measuring import measured
from keras_valleys.trajectories.projection import Plane, Projection, on_surface, project, span
from keras_valleys.trajectories.recorded import (
    Trajectories,
    TrajectoryLike,
    as_trajectories,
    as_trajectory,
    kind_words,
    kinds_of,
    loss_text,
)
from keras_valleys.trajectories.thinning import MAX_ROWS, breaks, event_strides, strides, thin
from keras_valleys.trajectories.trajectory import Trajectory
from keras_valleys.trajectories.weight_files import from_checkpoints

__all__ = [
    "Projection",
    "Trajectory",
    "from_checkpoints",
    "measured",
    "on_surface",
    "project",
    "span",
]


def __dir__():
    return __all__
