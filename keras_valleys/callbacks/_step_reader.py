"""Reads, in any `model.fit`, the weights before each step and that step's own loss.

Keras makes this harder than it sounds. The facts that this file is built on:

- `on_train_batch_end` may run late and on a worker thread, where reading a JAX model crashes. It
  only stores the logs; the model is read in the other hooks.
- `on_train_batch_begin` also fires for a batch that then turns out not to exist, and a model may
  have no weights yet when it fires first.
- With `steps_per_execution=k` the hooks fire once per k steps.
- An optimizer counts the updates that it made, not the steps: it skips some to accumulate gradients
  or where a scaled loss overflowed.
"""

import dataclasses
import numbers
import operator
import warnings

import numpy as np

from keras_valleys._weights import flattener, to_numpy
from keras_valleys.callbacks._step_losses import StepLosses

UNSEEN = "not seen: with steps_per_execution > 1 Keras shows only the last loss of several"


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
        self._losses = StepLosses()
        self._known = None  # the variables of the first fit

    def __getstate__(self):
        return {**self.__dict__, "_flat": None}  # a function: made anew in the next fit

    def train_begin(self, model):
        """Meet the model of a new fit."""
        self._finish_latest()  # an exception may have ended the last fit within an epoch
        self._settle(model)
        self._drop_unmade_step()
        # A callback before this one may have raised at the end of a step, which was made.
        made, counted = len(self._ends) * self._stride, self._count_updates(model)
        self._step += made + 1 if self._stride == 1 and counted == made + 1 else made
        self._ends, self._iterations = [], None
        self._open, self._variables = {}, None
        self._losses = StepLosses()
        self._stride = model.steps_per_execution
        if model.built:
            self._meet(model)

    def epoch_begin(self, model):
        """Start an epoch: Keras has reset the loss tracker."""
        self._iterations = _iterations(model)

    def batch_begin(self, callback, batch):
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
        tracked = self._finish_latest()
        self._settle(model)
        if due:
            self._due = (step // self.every + 1) * self.every
            self.final = None
            needed = batch == 0 or self.every > 1 or self._losses.need_tracker
            before = (tracked or self._read_tracker()) if needed else None
            self._latest = Row(step, self._read(), before=before)
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
            model = callback.model  # on JAX this copies the state back
            self._finish_latest()
            self._settle(model)

    def epoch_end(self, model, num_steps=None):
        """Settle the epoch's rows and read the state after its last step.

        `num_steps` is the number of steps of an epoch, where Keras knows it.
        """
        if self._variables is None and not self._meet(model):
            return
        self._finish_latest()
        self._settle(model)
        self._drop_unmade_step()
        self._open = {}
        made = len(self._ends) * self._stride
        if self._stride > 1:  # the last execution may have been shorter than Keras says
            counted = self._count_updates(model) or 0
            plausible = made - self._stride < counted <= made
            made = counted if plausible else min(made, num_steps or made)
        self._step += made
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

    def _read_tracker(self):
        """Total and count of the loss tracker, where there is one."""
        if self._tracker is None:
            return None
        return tuple(float(to_numpy(v)) for v in (self._tracker.total, self._tracker.count))

    def _count_updates(self, model):
        """The updates since the begin of the epoch, `None` where they are not the steps."""
        now = _iterations(model)
        return None if now is None or self._iterations is None else now - self._iterations

    def _finish_latest(self):
        """Read the loss tracker after the latest step, where it was read before; return it."""
        row, self._latest = self._latest, None
        if row is None or row.before is None:
            return None
        row.after = self._read_tracker()
        return row.after

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
            row.loss, source = None, UNSEEN
            if self._stride == 1:
                number = row.step - self._step
                row.loss, source = self._losses.of(row, number, model, self._read_tracker)
            row.logs = row.before = row.after = None
            self.num_settled += 1
            if source not in self.sources:
                self.sources.append(source)


def _iterations(model):
    """The optimizer's count of updates, where it makes one at each step."""
    optimizer = model.optimizer
    skips = getattr(optimizer, "gradient_accumulation_steps", None)
    if optimizer is None or skips or hasattr(optimizer, "inner_optimizer"):
        return None
    return int(to_numpy(optimizer.iterations))


def optimizer_name(model):
    """The class name of the optimizer, as a label."""
    return "" if model.optimizer is None else type(_optimizer_of(model)).__name__


def optimizer_settings(model):
    """The optimizer's name and learning rate, a number or the name of a schedule, if it tells."""
    values = {"optimizer": optimizer_name(model)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of saving a lambda
            rate = _optimizer_of(model).get_config()["learning_rate"]
    except Exception:  # without an optimizer, or with one that cannot be saved, a model can train
        return values
    if isinstance(rate, dict):
        rate = rate.get("class_name", "schedule")
    elif isinstance(rate, numbers.Real):
        rate = float(f"{rate:.7g}")
    return {**values, "learning_rate": rate} if isinstance(rate, str | float) else values


def _optimizer_of(model):
    """The optimizer that moves the weights: the one inside a `LossScaleOptimizer`, or `None`."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)
