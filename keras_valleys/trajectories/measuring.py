"""The true loss along a path."""

import dataclasses
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import check_kind, refusal
from keras_valleys.trajectories.recorded import TrajectoryLike, as_trajectory
from keras_valleys.trajectories.trajectory import Trajectory, blocks


class Loss(Protocol):
    """A function on weight space, as a `keras_valleys.objectives.Objective`."""

    @property
    def size(self) -> int: ...

    def __call__(self, points: ArrayLike) -> np.ndarray: ...

    def along(
        self, coefficients: ArrayLike, directions: ArrayLike, origin: ArrayLike
    ) -> np.ndarray: ...


def measured(trajectory: TrajectoryLike, objective: Loss) -> Trajectory:
    """The same path with the true loss at each row: of all rows of data, in evaluation mode.

    What a fit records is the loss of the step's batch in training mode, with Dropout on and with
    the batch's statistics. Of an ordinary network it may be far from what `model.evaluate` gives
    for the same weights. This is what `model.evaluate` would have given at each row: with the
    statistics that the row had, such as BatchNormalization's means, where the path has them.

    Args:
        trajectory: A `Trajectory` over P weights, or the recorder that has it.
        objective: A `keras_valleys.objectives.Objective` over the same weights. With
            `statistics="batch"` or "reestimated" the statistics are those of its data.

    Returns:
        A `Trajectory` whose `loss_kind` is "true", and whose `loss_source` says of which rows and
        with which statistics. Rows whose weights are not finite have NaN.

    Raises:
        ValueError: Another number of weights, or statistics of another model.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> model.compile(loss="mean_squared_error")
    >>> objective = keras_valleys.objectives.Objective(model, np.ones((3, 1)), np.ones((3, 1)))
    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0.0], [np.pi / 4]], [0.9, np.nan])
    >>> keras_valleys.trajectories.measured(path, objective).losses.tolist()
    [1.0, 0.0]
    """
    trajectory = as_trajectory("measured", trajectory)
    check_kind("measured", "objective", objective=objective)
    if trajectory.weights.shape[1] != objective.size:
        raise refusal(
            "measured",
            f"a trajectory over the objective's {objective.size} weights",
            f"one over {trajectory.weights.shape[1]}",
            "Record all trainable weights, or make the Objective with `variables=` as recorded.",
        )
    columns = _columns(trajectory, objective)
    losses = np.full(len(trajectory), np.nan)
    measure: Any = objective  # an `Objective`, where it has statistics
    present: Any = None if columns is None else measure.present_statistics()
    for rows, block in blocks(trajectory.weights):
        if columns is None:
            losses[rows] = objective(block)
        else:
            statistics = np.tile(present, (len(rows), 1))
            statistics[:, columns] = trajectory.statistics[rows]
            losses[rows] = measure(block, statistics)
    source = in_words(objective, columns)
    return dataclasses.replace(trajectory, losses=losses, loss_kind="true", loss_source=source)


def _columns(trajectory, objective):
    """Where the path's statistics are among the objective's, or `None` where it needs none."""
    names, known = trajectory.statistics_names, getattr(objective, "statistics_names", ())
    if not names or getattr(objective, "statistics", "held") != "held":
        return None
    place = {name: k for k, name in enumerate(known)}
    if names == known:
        return np.arange(len(known))
    if len(place) < len(known) or len(set(names)) < len(names) or set(names) - set(known):
        unknown = sorted(set(names) - set(known)) or names
        raise refusal(
            "measured",
            "an objective of the model that was recorded",
            f"a path with the statistics {unknown[0]!r}, which the objective's model has not once",
            "Build the model as it was, with layers named as they were.",
        )
    return np.array([place[name] for name in names])


def in_words(objective, columns):
    """Of which rows the losses are, and what else they depend on."""
    num_rows = getattr(objective, "num_rows", None)
    parts = ["all rows" if num_rows is None else f"all {num_rows} rows", "evaluation mode"]
    statistics = getattr(objective, "statistics_sentence", "")
    if columns is not None:
        parts.append("statistics of each step")
    elif statistics:
        held = getattr(objective, "statistics", "held") == "held"
        parts.append(statistics + ", which need not be those of each step" * held)
    if getattr(objective, "is_partial", False):
        parts.append("the other weights held at the model's present ones")
    return ", ".join(parts)
