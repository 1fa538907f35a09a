"""How many steps the fits of a callback have made."""

from typing import Any

import keras

from keras_valleys._weights import to_numpy


class StepCount:
    """Counts the steps of a callback's fits.

    Keras tells the begin and the end of executions, each of one or of several steps, and the last
    of an epoch may be shorter, or have no data at all. Callbacks may raise before this one is told.

    Attributes:
        made: Number of steps before the present epoch.
        stride: Steps per execution.
        may_lack_data: Whether the optimizer's count may rise by an execution that has no data.
    """

    def __init__(self):
        self.made = 0
        self.stride = 1
        self.may_lack_data = False
        self._begun: Any = None  # the batch that began last
        self._ends = set()  # last batch of each execution that ended; a worker may tell
        self._is_open = False  # whether the execution that began last may still end
        self._in_epoch = False
        self._updates = None  # the optimizer's count at the begin of the epoch
        self._scale = 1.0  # of the loss, at that time
        self._num_steps = None

    def fit_begin(self, model, left_traces):
        """Begin a fit, where an error may have ended the last one within an epoch.

        Args:
            model: The model.
            left_traces: Whether an execution that began last, and whose end was not told, has
                changed anything; `None` where that cannot be seen.
        """
        counted, is_open = self._count(model), self._is_open
        if is_open and self._begun + self.stride - 1 in self._ends:
            is_open = False
        made = self._plausible(counted, is_open)
        if self.stride == 1 and is_open and counted != made:
            made += counted == made + 1 if left_traces is None else left_traces
        self._leave_epoch(made)
        self.stride = model.steps_per_execution

    def epoch_begin(self, model, num_steps):
        """Begin an epoch."""
        self._begun, self._is_open, self._in_epoch = None, False, True
        self._updates, self._scale = num_updates(model.optimizer), loss_scale(model.optimizer)
        self._num_steps = num_steps
        tensorflow = keras.config.backend() == "tensorflow"
        self.may_lack_data = tensorflow and self.stride == 1 and not num_steps

    def begin(self, batch):
        """The step at which an execution begins, `None` where that was told before."""
        if batch == self._begun:
            return None
        self._begun, self._is_open = batch, True
        return self.made + batch

    def end(self, batch):
        """Note the end of an execution, told by any thread."""
        self._ends.add(batch)

    def data_ended(self):
        """Note that the epoch has no more steps."""
        self._is_open = False

    def epoch_end(self, model):
        """Count the epoch's steps; `False` where that was told before."""
        told, self._in_epoch = self._in_epoch or bool(self._ends), False
        self._leave_epoch(self._plausible(self._count(model)))
        return told

    def _leave_epoch(self, made):
        self.made += made
        self._begun, self._ends, self._is_open = None, set(), False
        self._updates = None

    def _count(self, model):
        """The updates since the begin of the epoch, or `None`."""
        now = num_updates(model.optimizer)
        if now is None or self._updates is None or loss_scale(model.optimizer) < self._scale:
            return None
        return now - self._updates

    def _plausible(self, counted, is_open=False):
        """The number of steps in the executions of the epoch, the last of which may be shorter."""
        most = len(self._ends) * self.stride
        if self.stride == 1:
            return most
        if counted is not None and most - self.stride < counted <= most + is_open * self.stride:
            return counted
        return min(most, self._num_steps or most)


def num_updates(optimizer):
    """How often an optimizer was applied, each micro-batch counted, or `None` if it does not tell.

    A `LossScaleOptimizer` leaves out gradients that overflow, and lowers its scale.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    counters = [] if inner is None else inner.variables[:1]
    if not counters or counters[0].name != "iteration":  # `iterations` counts whole accumulations
        return None
    return int(to_numpy(counters[0]))


def loss_scale(optimizer):
    """The factor of a `LossScaleOptimizer`; 1.0 for others."""
    if hasattr(optimizer, "dynamic_scale"):
        return float(to_numpy(optimizer.dynamic_scale))
    return float(getattr(optimizer, "initial_scale", 1.0))  # not built yet
