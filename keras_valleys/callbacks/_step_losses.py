"""The loss of each step, from what `model.fit` logs.

`logs["loss"]` is the running mean of the epoch, and callbacks do not learn the batch sizes. The
loss tracker's total and count, read before and after a step, undo the mean but for float32
rounding. A compiled `StepLoss` gives the loss itself, where it is all of the loss: a regularizer or
sample weights may make the difference at any step. Reading the tracker at each step takes a tenth
of a small model's step, so a StepLoss that proved right there is compared with how the logged mean
moves, and the tracker read where the two differ, as they do for a batch of another size.
"""

import dataclasses
import math

from keras_valleys.metrics import StepLoss

EXACT = "exact, from StepLoss"
UNDONE = "the epoch's running mean undone, in float32"
LOGGED = "as train_step logged it"
MISSING = "not known: not logged, or the loss was reset within the epoch"


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
