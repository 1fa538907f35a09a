"""The step of a fit, as callbacks see it: the weights before it, and its loss."""

import dataclasses
import math
import operator
import warnings

import numpy as np

from keras_valleys._weights import flattener, to_numpy
from keras_valleys.metrics import StepLoss

UNSEEN = "not seen: with steps_per_execution > 1 Keras shows only the last loss of several"
EXACT = "exact, from StepLoss"
UNDONE = "the epoch's running mean undone, in float32"
LOGGED = "as train_step logged it"
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


@dataclasses.dataclass(slots=True)
class Mean:
    """The running mean after a step.

    Attributes:
        number: Number of the step within the epoch.
        size: Rows of its batch.
        count: Rows of all batches so far.
        value: The mean.
    """

    number: int
    size: float
    count: float
    value: float


class StepLosses:
    """Tells the losses of the steps of one fit, in order."""

    def __init__(self):
        self._key = None  # of a StepLoss in the logs once it has proved right, "" if wrong
        self._mean = None  # the `Mean` after the last step, where it is known

    @property
    def need_tracker(self):
        """Whether the next step's loss can only be known from the loss tracker."""
        return not self._key or self._mean is None

    def of(self, row, number, model, read_tracker):
        """The loss of a row and where it came from.

        Args:
            row: A row of the reader, with its logs.
            number: Number of the step within the epoch.
            model: The model.
            read_tracker: Function that returns the loss tracker's present total and count, or
                `None` where there is no tracker.
        """
        undone = _undo_mean(row)
        if undone is not None and self._key != "":
            self._key = _step_loss_key(model, row, undone)
            (_, before), (_, count) = row.before, row.after
            self._mean = Mean(number, count - before, count, row.logs["loss"])
        if self._key:
            loss = float(row.logs[self._key])
            if undone is None:
                undone = self._check(row, number, loss, read_tracker)
            return (loss, EXACT) if self._key else (undone, UNDONE)
        if undone is not None:
            return undone, UNDONE
        advanced = row.before is not None and row.before != row.after
        if advanced or "loss" not in row.logs:
            return None, MISSING
        return float(row.logs["loss"]), LOGGED

    def _check(self, row, number, loss, read_tracker):
        """Compare the loss of a StepLoss with the mean; the right loss where the two differ."""
        last, mean = self._mean, row.logs.get("loss", math.nan)
        self._mean = None
        if last is None or last.number != number - 1:
            return None
        if not math.isfinite(last.value):  # nothing can be told from the mean any more
            self._mean = Mean(number, last.size, last.count, last.value)
            return None
        count = last.count + last.size
        if not _is_next(last, count, mean * count, loss):
            total, count = read_tracker() or (math.nan, 0)
            if count <= last.count or not _close(total / count, mean, 1e-4):
                return None  # a `model.evaluate` in between has reset it
            if not _is_next(last, count, total, loss):
                self._key = ""
                return (total - last.value * last.count) / (count - last.count)
        self._mean = Mean(number, count - last.count, count, mean)
        return None


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
    (_, before), (total, count) = row.before, row.after
    scale = 0.0 if before == 0 else total / (count - before)
    return keys[0] if _agree(undone, row.logs[keys[0]], scale) else ""


def _is_next(last, count, total, loss):
    """Whether a step of this loss leads from a mean to a total."""
    size = count - last.count
    return _agree((total - last.value * last.count) / size, loss, total / size)


def _agree(undone, loss, scale):
    """Whether the two are equal but for the float32 rounding of a total of so many losses."""
    return _close(undone, loss, 1e-5) or abs(undone - loss) <= 5e-7 * abs(scale)


def _close(a, b, tolerance):
    return a == b or abs(a - b) <= tolerance * abs(b) or (math.isnan(a) and math.isnan(b))
