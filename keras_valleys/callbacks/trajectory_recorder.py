"""A callback that records the walk of an optimizer through weight space."""

import math
import warnings

import numpy as np

from keras_valleys._optimizers import name_of
from keras_valleys._weights import moved
from keras_valleys.callbacks.kept_rows import KeptRows
from keras_valleys.callbacks.steps import Row, Selection, StepCallback
from keras_valleys.trajectories import Trajectory


class TrajectoryRecorder(StepCallback):
    """Records the weights before every step of `model.fit`, and that step's own loss.

    `recorder.trajectory` is a `keras_valleys.trajectories.Trajectory`, during fit and after it,
    also after an exception or Ctrl-C. Row `t` is the state before update `t`; the last row holds
    the final weights, those that the model has after `fit`, whatever callbacks do at its end and
    in whatever order they stand. Where these are not the weights after the last step, because the
    optimizer has averaged them (`use_ema`) or `EarlyStopping` restored the best ones,
    `trajectory.no_steps` has that row's step. A second fit goes on with the steps.

    The losses are exact if the model is compiled with `keras_valleys.metrics.StepLoss`. Otherwise
    the running mean that Keras logs is undone, to float32 rounding, which grows with the steps of
    an epoch: 1e-4 after a thousand; after a loss that is not finite those of the rest of the epoch
    are not known. A `train_step` of your own may log the loss itself, or the mean of a metric,
    wherever that is kept, which is undone; of another aggregate the logs are kept as they are.
    `trajectory.loss_source` says which. With `steps_per_execution=k` only every k-th state is seen,
    and no loss belongs to it: the losses are NaN. Recorded losses are of single batches in training
    mode; the true ones at each row are measured by `keras_valleys.trajectories.measured`, with the
    statistics of that row, such as the means of BatchNormalization, which are recorded where they
    move.

    Memory is bounded: where the rows would take more than `memory` bytes, only every third one of
    them stays, again and again, with a warning; `recorder.every` says what is recorded. They are
    kept in the dtype of the weights, once: the weights of `recorder.trajectory` are no copies of
    those that the recorder has, but the same numbers.

    Neither the history nor the weights of the run are changed.

    Args:
        every: Record only every so many steps, to bound memory; the final weights always.
        weights: Record only some of the trainable weights: a list of variables, layers, or names
            such as "dense", "dense/kernel" or "kernel", each of which selects the variables with
            that name or layer in their path. `None` records all.
        label: Name of the run; `None` takes the class name of the optimizer that moves the weights,
            "" where that is not one.
        memory: The largest number of bytes that the rows may take, though at least nine of them
            stay. `None` is a tenth of what is free when the first one comes.

    Raises:
        ValueError: At once for an impossible argument, at the start of fit for names that select
            nothing and for other weights than those recorded so far.

    Example:

    >>> (x, y), _ = keras_valleys.datasets.rosette()
    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> loss = keras_valleys.losses.RootError()
    >>> model.compile("sgd", loss, metrics=[keras_valleys.metrics.StepLoss(loss)])
    >>> recorder = keras_valleys.callbacks.TrajectoryRecorder()
    >>> history = model.fit(x, y, batch_size=670, epochs=3, callbacks=[recorder], verbose=0)
    >>> recorder.trajectory.weights.shape
    (4, 1)
    """

    def __init__(
        self,
        every: int = 1,
        weights: Selection = None,
        label: str | None = None,
        *,
        memory: float | None = None,
    ) -> None:
        super().__init__(every, weights, statistics=True)
        self.label = label
        self._kept = KeptRows("TrajectoryRecorder", memory)

    @property
    def trajectory(self) -> Trajectory:
        """What was recorded so far, as a `keras_valleys.trajectories.Trajectory`."""
        ahead = self.rows_ahead
        rows = [*self._kept.rows, *ahead]
        reader = self._step_reader
        others = np.stack([row.statistics for row in rows]) if rows else np.empty((0, 0))
        statistics, names = moved(reader.statistics, others)
        return Trajectory(
            steps=np.array([row.step for row in rows], "int64"),
            weights=self._kept.stacked(ahead),
            losses=np.array([row.loss for row in rows]),
            label=name_of(reader.optimizer) if self.label is None else self.label,
            loss_source=self.loss_source,
            statistics=statistics,
            statistics_names=names,
            no_steps=np.array([row.step for row in rows if row.no_step], "int64"),
        )

    def on_row(self, row: Row) -> None:
        if self._kept.add(row):
            self.every = math.lcm(self.every, self._kept.stride)
            self._step_reader.slow_down(self.every)
            megabytes = self._kept.memory / 2**20
            warnings.warn(
                f"`TrajectoryRecorder` keeps only the rows of every {self.every} steps from now "
                f"on: more would take over {megabytes:.3g} MB. Use every={self.every}, or allow "
                "more by memory=.",
                RuntimeWarning,
                stacklevel=2,
            )
