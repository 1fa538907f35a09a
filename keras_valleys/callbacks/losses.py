"""The loss of each step of a fit, told from what Keras logs and from its loss tracker."""

import dataclasses
import math

from keras_valleys._weights import to_numpy
from keras_valleys.metrics import StepLoss

UNSEEN = "not seen: with steps_per_execution > 1 Keras shows only the last loss of several"
EXACT = "exact, from StepLoss"
UNDONE = "the epoch's running mean undone, in float32"
LOGGED = "as train_step logged it"
MISSING = "not known: not logged, or the loss was reset within the epoch"


@dataclasses.dataclass(slots=True)
class Logged:
    """What Keras told of one step.

    Attributes:
        number: Number of the step within the epoch.
        before: The loss tracker's total and count before the step, `None` where not read.
        after: The same after the step.
        logs: The logs at the end of the step, `None` until they are here.
    """

    number: int
    before: tuple[float, float] | None = None
    after: tuple[float, float] | None = None
    logs: dict | None = None


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
    """Tells the losses of the steps of one fit, in order.

    Args:
        model: The model, built and compiled.
    """

    def __init__(self, model):
        self._model = model
        trackers = [metric for metric in model.metrics if metric.name == "loss"]
        self._tracker = trackers[0] if trackers and hasattr(trackers[0], "count") else None
        self._key = None  # of a StepLoss in the logs once it has proved right, "" if wrong
        self._mean = None  # the `Mean` after the last step, where it is known

    @property
    def need_tracker(self):
        """Whether the next step's loss can only be known from the loss tracker."""
        return not self._key or self._mean is None

    def read_tracker(self):
        """Total and count of the loss tracker, `None` where there is none."""
        if self._tracker is None:
            return None
        return tuple(float(to_numpy(v)) for v in (self._tracker.total, self._tracker.count))

    def of(self, seen):
        """The loss of a step, `None` where it is not known, and where it came from.

        Args:
            seen: The `Logged` of the step.
        """
        undone = _undo_mean(seen)
        if undone is not None and self._key != "":
            self._key = self._step_loss_key(seen, undone)
            (_, before), (_, count) = seen.before, seen.after
            self._mean = Mean(seen.number, count - before, count, seen.logs["loss"])
        if self._key:
            loss = float(seen.logs[self._key])
            if undone is None:
                undone = self._check(seen, loss)
            return (loss, EXACT) if self._key else (undone, UNDONE)
        if undone is not None:
            return undone, UNDONE
        advanced = seen.before is not None and seen.before != seen.after
        if advanced or "loss" not in seen.logs:
            return None, MISSING
        return float(seen.logs["loss"]), LOGGED

    def _check(self, seen, loss):
        """Compare the loss of a StepLoss with the mean; the right loss where the two differ."""
        last, mean = self._mean, seen.logs.get("loss", math.nan)
        self._mean = None
        if last is None or last.number != seen.number - 1:
            return None
        if not math.isfinite(last.value):  # nothing can be told from the mean any more
            self._mean = Mean(seen.number, last.size, last.count, last.value)
            return None
        count = last.count + last.size
        if not _is_next(last, count, mean * count, loss):
            total, count = self.read_tracker() or (math.nan, 0)
            if count <= last.count or not _close(total / count, mean, 1e-4):
                return None  # a `model.evaluate` in between has reset it
            if not _is_next(last, count, total, loss):
                self._key = ""
                return (total - last.value * last.count) / (count - last.count)
        self._mean = Mean(seen.number, count - last.count, count, mean)
        return None

    def _step_loss_key(self, seen, undone):
        """The key of a `StepLoss` that agrees with the tracker; "" where there is none."""
        compiled = self._model.metrics  # built by the first step
        inner = [m for metric in compiled for m in getattr(metric, "metrics", [metric])]
        names = [metric.name for metric in inner if isinstance(metric, StepLoss)]
        keys = [k for k in seen.logs if any(k == n or k.endswith(f"_{n}") for n in names)]
        if len(keys) != 1:
            return ""
        (_, before), (total, count) = seen.before, seen.after
        scale = 0.0 if before == 0 else total / (count - before)
        return keys[0] if _agree(undone, seen.logs[keys[0]], scale) else ""


def _undo_mean(seen):
    """The step's loss from the loss tracker, or `None` where the tracker does not tell it."""
    if seen.before is None or seen.after is None or "loss" not in seen.logs:
        return None
    (total_before, count_before), (total, count) = seen.before, seen.after
    if count <= count_before or not _close(total / count, seen.logs["loss"], 1e-4):
        # Not used by this train_step, or disturbed by a `model.evaluate` in between; but the mean
        # of an epoch's first step is its loss.
        return float(seen.logs["loss"]) if count_before == 0 and count > 0 else None
    return (total - total_before) / (count - count_before)


def _is_next(last, count, total, loss):
    """Whether a step of this loss leads from a mean to a total."""
    size = count - last.count
    return _agree((total - last.value * last.count) / size, loss, total / size)


def _agree(undone, loss, scale):
    """Whether the two are equal but for the float32 rounding of a total of so many losses."""
    return _close(undone, loss, 1e-5) or abs(undone - loss) <= 5e-7 * abs(scale)


def _close(a, b, tolerance):
    return a == b or abs(a - b) <= tolerance * abs(b) or (math.isnan(a) and math.isnan(b))
