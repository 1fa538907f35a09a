"""Reads, in any `model.fit`, the weights before each step and that step's own loss.

Keras makes this harder than it sounds. The facts that this file is built on:

- `logs["loss"]` is the running mean of the epoch, and callbacks do not learn the batch sizes. The
  loss tracker's total and count, read before and after a step, undo the mean but for float32
  rounding; a compiled `StepLoss` gives the loss itself.
- `on_train_batch_end` may run late and on a worker thread, where reading a JAX model crashes. It
  only stores the logs; the model is read in the other hooks.
- `on_train_batch_begin` also fires for a batch that then turns out not to exist, and a model may
  have no weights yet when it fires first.
- With `steps_per_execution=k` the hooks fire once per k steps.
- Reading a variable between steps takes as long as a twentieth of a small model's step. Keras makes
  a new dictionary of logs for each hook and hands it from callback to callback: in that of
  `on_train_batch_begin` the first that reads the weights leaves them for the next.
"""

import dataclasses
import math
import operator
import warnings

import numpy as np

from keras_valleys._weights import flattener, to_numpy
from keras_valleys.metrics import StepLoss

EXACT = "exact, from StepLoss"
UNDONE = "the epoch's running mean undone, in float32"
LOGGED = "as train_step logged it"
UNSEEN = "not seen: with steps_per_execution > 1 Keras shows only the last loss of several"
SHARED = "keras_valleys_weights"  # key of the logs of a hook: variables and their vector
MISSING = "not known: not logged, or the loss was reset within the epoch"


@dataclasses.dataclass(slots=True)
class Row:
    """The state before one step; `loss` is `None` where it is not known."""

    step: int
    vector: np.ndarray
    loss: float | None = None
    before: tuple | None = None  # the loss tracker's total and count before the step
    after: tuple | None = None  # and after it
    logs: dict | None = None


class StepReader:
    """The rows seen so far, and the state after the last step.

    Args:
        every: Rows are read at every so many steps.
        select: Function from a built model to the list of variables to read.
        read: Function that makes the vector that a row keeps. It is called with a function that
            returns the values of these variables, as one new vector.
    """

    def __init__(self, every, select, read=operator.call):
        self.every = every
        self.select = select
        self.read = read
        self.rows = []
        self.num_settled = 0  # rows whose loss is as known as it will be
        self.final = None  # the row after the last step, until a next step follows
        self.sources = []  # where losses came from
        self._step = 0  # steps made before the present epoch
        self._ends = []  # one item per execution within it; workers may append in any order
        self._stride = 1  # steps per execution
        self._iterations = None  # the optimizer's count at the begin of the present epoch
        self._due = 0
        self._open = {}  # last batch of an execution -> its row, until its logs are here
        self._latest = None  # the row whose tracker values after the step are to be read
        self._variables = self._flat = None
        self._known = None  # the variables of the first fit

    def __getstate__(self):
        return {**self.__dict__, "_flat": None}  # a function: made anew in the next fit

    def train_begin(self, model):
        """Meet the model of a new fit."""
        if self._latest is not None:  # an exception ended the last fit within an epoch
            self._finish_latest(self._read_tracker())
            self._settle(model)
            self._drop_unmade_step()
        made = len(self._ends) * self._stride
        # A callback before this one may have raised at the end of a step, which was made.
        unseen = self._iterations is not None and self._count_iterations(model) - self._iterations
        self._step += made + 1 if self._stride == 1 and unseen == made + 1 else made
        self._ends, self._iterations = [], None
        self._open, self._variables = {}, None
        self._step_loss = None  # its key in the logs once it has proved right, "" if wrong
        self._stride = model.steps_per_execution
        if model.built:
            self._meet(model)

    def epoch_begin(self, model):
        """Start an epoch: Keras has reset the loss tracker."""
        self._iterations = self._count_iterations(model)

    def batch_begin(self, callback, batch, logs):
        """Read the state before a step, where a row is due."""
        step = self._step + batch
        due = step >= self._due
        if not due and self._latest is None:
            return
        model = callback.model  # on JAX each access copies the whole state back: once per hook
        if self._variables is None and not self._meet(model):
            warnings.warn(
                "The model has no weights before its first step, so that step is not recorded. "
                "Call the model on a batch of data before `fit`, or start it with `keras.Input`.",
                stacklevel=2,
            )
            self._due = step + 1
            return
        needed = not self._step_loss or batch == 0  # to prove a StepLoss right in each epoch
        tracked = self._read_tracker(needed)
        self._finish_latest(tracked)
        self._settle(model)
        if due:
            self._due = (step // self.every + 1) * self.every
            self.final = None
            vector = self.read(lambda: self._read_once({} if logs is None else logs))
            self._latest = Row(step, vector, before=tracked if needed else None)
            self.rows.append(self._latest)
            self._open[batch + self._stride - 1] = self._latest

    def batch_end(self, batch, logs):
        """Keep the logs; nothing else is safe here."""
        self._ends.append(batch)
        if batch in self._open:
            self._open[batch].logs = dict(logs or {})

    def evaluation_begin(self, callback):
        """Read the loss tracker before the validation resets it."""
        if self._latest is not None:
            _ = callback.model  # on JAX this copies the state back
            self._finish_latest(self._read_tracker())

    def epoch_end(self, model):
        """Settle the epoch's rows and read the state after its last step."""
        if self._variables is None and not self._meet(model):
            return
        if self._latest is not None:
            self._finish_latest(self._read_tracker())
        self._settle(model)
        self._drop_unmade_step()
        self._open = {}
        if self._stride == 1:
            self._step += len(self._ends)
        else:  # the last execution may have been shorter than Keras says
            self._step += self._count_iterations(model) - self._iterations
        self._ends, self._iterations = [], None
        self.final = Row(self._step, self._read())

    def train_end(self, model):
        """Read the final weights: some optimizers replace them after the last epoch."""
        if self._variables is not None and model is not None:
            self.final = Row(self._step, self._read())

    @property
    def all_rows(self):
        """The rows with the final one."""
        return self.rows + [self.final] if self.final is not None else list(self.rows)

    def _meet(self, model):
        if not model.built or not model.trainable_variables:
            return False
        self._variables = self.select(model)
        known = self._known = self._known or self._variables
        if len(known) != len(self._variables) or any(
            a is not b for a, b in zip(known, self._variables, strict=True)
        ):
            raise ValueError(
                "A recording callback expects the same weights in each fit. Received: other "
                f"variables than in the fit before, {[v.path for v in self._variables][:4]}. "
                "Make a new callback for each model and for each set of trainable weights."
            )
        self._flat = flattener(self._variables)
        trackers = [metric for metric in model.metrics if metric.name == "loss"]
        self._tracker = trackers[0] if trackers and hasattr(trackers[0], "count") else None
        return True

    def _read(self):
        return self.read(self._flat)

    def _read_once(self, logs):
        """The weights, read by the first callback of a hook."""
        variables, vector = logs.get(SHARED, ((), None))
        if len(variables) != len(self._variables) or not all(
            map(operator.is_, variables, self._variables)
        ):
            vector = self._flat()
            logs[SHARED] = self._variables, vector
        return vector

    def _read_tracker(self, needed=False):
        """Total and count of the loss tracker, where they are needed."""
        compared = self._latest is not None and self._latest.before is not None
        if self._tracker is None or not (needed or compared):
            return None
        return tuple(float(to_numpy(v)) for v in (self._tracker.total, self._tracker.count))

    def _count_iterations(self, model):
        if model.optimizer is None:
            return 0
        accumulated = getattr(model.optimizer, "gradient_accumulation_steps", None) or 1
        return int(to_numpy(model.optimizer.iterations)) * accumulated

    def _finish_latest(self, tracked):
        if self._latest is not None:
            self._latest.after = tracked
            self._latest = None

    def _drop_unmade_step(self):
        """Drop a last row that no update followed: its batch did not exist, or fit was ended."""
        if self.num_settled < len(self.rows):
            self._due = self.rows.pop().step

    def _settle(self, model):
        """Give the rows whose logs have arrived their losses, in order."""
        while self.num_settled < len(self.rows):
            row = self.rows[self.num_settled]
            if row.logs is None or row is self._latest:
                return
            row.loss, source = self._loss_of(row, model)
            row.logs = row.before = row.after = None
            self.num_settled += 1
            if source not in self.sources:
                self.sources.append(source)

    def _loss_of(self, row, model):
        if self._stride > 1:
            return None, UNSEEN
        undone = _undo_mean(row)
        if undone is not None and self._step_loss != "":
            self._step_loss = _step_loss_key(model, row, undone)
        if self._step_loss:
            return float(row.logs[self._step_loss]), EXACT
        if undone is not None:
            return undone, UNDONE
        advanced = row.before is not None and row.before != row.after
        if advanced or "loss" not in row.logs:
            return None, MISSING
        return float(row.logs["loss"]), LOGGED


def _undo_mean(row):
    """The step's loss from the loss tracker, or `None` where the tracker does not tell it."""
    if row.before is None or row.after is None or "loss" not in row.logs:
        return None
    (total_before, count_before), (total, count) = row.before, row.after
    if count <= count_before or not _close(total / count, row.logs["loss"], 1e-4):
        # Not used by this train_step, or disturbed by a `model.evaluate` in between; but the mean
        # of an epoch's first step is its loss.
        return float(row.logs["loss"]) if count_before == 0 and count > 0 else None
    return (total - total_before) / (count - count_before)


def _step_loss_key(model, row, undone):
    """The key of a compiled `StepLoss` that agrees with the tracker; "" where there is none."""
    inner = [m for metric in model.metrics for m in getattr(metric, "metrics", [metric])]
    names = [metric.name for metric in inner if isinstance(metric, StepLoss)]
    keys = [k for k in row.logs if any(k == n or k.endswith(f"_{n}") for n in names)]
    if len(keys) != 1:
        return ""
    tolerance = 1e-5 if row.before[1] == 0 else 1e-3
    return keys[0] if _close(undone, row.logs[keys[0]], tolerance) else ""


def _close(a, b, tolerance):
    return a == b or abs(a - b) <= tolerance * abs(b) or (math.isnan(a) and math.isnan(b))


def optimizer_of(model):
    """The optimizer that moves the weights: the one inside a `LossScaleOptimizer`, or `None`."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def optimizer_name(model):
    """The class name of the optimizer, as a label."""
    return "" if model.optimizer is None else type(optimizer_of(model)).__name__
