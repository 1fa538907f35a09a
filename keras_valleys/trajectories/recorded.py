"""What is taken as a trajectory: one, or what recorded one; and what its losses are called."""

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

import numpy as np

from keras_valleys._checks import as_list, check_kind
from keras_valleys.trajectories.trajectory import Trajectory


class Recorded(Protocol):
    """What has a trajectory, as `keras_valleys.callbacks.TrajectoryRecorder` and a run have."""

    @property
    def trajectory(self) -> Trajectory: ...


TrajectoryLike: TypeAlias = Trajectory | Recorded
Trajectories: TypeAlias = TrajectoryLike | Iterable[TrajectoryLike]


KIND_WORDS = {
    "recorded": "recorded (batch, training mode)",
    "true": "true (all rows, evaluation mode)",
}


def kinds_of(trajectories: Iterable[Any]) -> str:
    """What the known losses of paths are, in one word or two: "recorded", "true", or "slice".

    Where no loss of a path is known, pictures take that of the surface.

    Args:
        trajectories: List of `Trajectory` or `Projection`.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0], [[0.8]], [0.61])
    >>> keras_valleys.trajectories.kinds_of([path])
    'recorded'
    """
    kinds = {
        "slice" if len(path.losses) and np.all(np.isnan(path.losses)) else path.loss_kind
        for path in trajectories
    }
    return " and ".join(sorted(kinds))


def kind_words(trajectories: Iterable[Any]) -> str:
    """What the losses of paths are, in words.

    Args:
        trajectories: List of `Trajectory` or `Projection`.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0], [[0.8]], [0.61])
    >>> keras_valleys.trajectories.kind_words([path])
    'recorded (batch, training mode)'
    """
    kinds = sorted({path.loss_kind for path in trajectories})
    return " and ".join(KIND_WORDS.get(kind, kind) for kind in kinds)


def loss_text(trajectories: Iterable[Any]) -> str:
    """The name of an axis with the losses of paths.

    Args:
        trajectories: List of `Trajectory` or `Projection`.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0], [[0.8]], [0.61])
    >>> keras_valleys.trajectories.loss_text([path])
    'recorded loss (batch, training mode)'
    """
    paths = list(trajectories)
    kinds = sorted({path.loss_kind for path in paths})
    if len(kinds) != 1:
        return f"{' and '.join(kinds)} loss".strip()
    first, *rest = kind_words(paths).split(" (", 1)
    return " (".join([f"{first} loss", *rest])


def as_trajectory(owner: str, trajectory: TrajectoryLike, name: str = "trajectory") -> Trajectory:
    """A trajectory, or that of a recorder or a run.

    Args:
        owner: Name of the asking function, for the error message.
        trajectory: What a user gave.
        name: Name of the argument.

    Raises:
        ValueError: It is none of these.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0], [[0.8]], [0.61])
    >>> len(keras_valleys.trajectories.as_trajectory("span", path))
    1
    """
    found: Any = trajectory
    if not isinstance(found, Trajectory | type):
        found = getattr(found, "trajectory", found)
    check_kind(owner, "trajectory", **{name: found})
    return found


def as_trajectories(
    owner: str, trajectories: Trajectories, name: str = "trajectories"
) -> list[Trajectory]:
    """One trajectory or several, as a list; arguments as for `as_trajectory`.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0], [[0.8]], [0.61])
    >>> len(keras_valleys.trajectories.as_trajectories("span", [path, path]))
    2
    """
    return [as_trajectory(owner, one, name) for one in as_list(trajectories)]
