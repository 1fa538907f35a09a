"""The loss of each step of a fit, told from what Keras logs and from the metrics behind it."""

import dataclasses
import math

from keras_valleys.callbacks.means import (
    Change,
    LogSearch,
    LossTracker,
    agree,
    agrees,
    close,
    flat,
    is_mean,
)
from keras_valleys.callbacks.train_steps import has_own
from keras_valleys.metrics import StepLoss

UNSEEN = "not seen: with steps_per_execution > 1 Keras shows only the last loss of several"
EXACT = "exact, from StepLoss"
UNDONE = "the epoch's running mean undone, in float32"
LOGGED = "as train_step logged it"
RUNNING = "perhaps a running mean, as train_step logged it"
MISSING = "not known: not logged, or the loss was reset within the epoch"
LOST = "not known after a loss that is not finite, until the running mean is reset"


@dataclasses.dataclass(slots=True)
class Logged:
    """What Keras told of one step.

    Attributes:
        number: Number of the step within the epoch.
        before: What `StepLosses.read` told before the step, `None` where not read.
        after: The same after the step.
        logs: The logs at the end of the step, `None` until they are here.
    """

    number: int
    before: dict | None = None
    after: dict | None = None
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

    What Keras' own train_step logs is the running mean of its loss tracker. Another train_step may
    log a loss as it is, or the results of other metrics: see `LogSearch`.

    Args:
        model: The model, built and compiled.
        metrics: All metrics in use, where the model's train_step is not Keras' own.
    """

    def __init__(self, model, metrics=()):
        self._model = model
        listed = flat(model.metrics)
        named = [one for one in listed if one.name == "loss"]
        self._source: LossTracker | LogSearch
        if logs_its_own(model) or len(named) > 1 or not all(map(is_mean, named)):
            distinct = {id(one): one for one in [*listed, *metrics]}
            self._source = LogSearch(distinct.values(), model.variables)
        else:
            self._source = LossTracker(*(named or [None]))
        self._key = None  # of a StepLoss in the logs once it has proved right, "" if wrong
        self._mean = None  # the `Mean` after the last step, where it is known

    @property
    def need_tracker(self):
        """Whether the next step's loss can only be known from the loss tracker."""
        return not self._key or self._mean is None

    def read(self):
        """What each metric whose result may be the log has counted, by its number."""
        return self._source.read()

    def of(self, seen):
        """The loss of a step, `None` where it is not known, and where it came from.

        Args:
            seen: The `Logged` of the step.
        """
        changes = self._source.changes(seen)
        undone, source = self._undone(seen, changes)
        if source == UNDONE and self._key != "" and len(changes or [undone]) == 1:
            change = changes[0] if changes else Change(0.0, 0.0, undone, 1.0)
            self._key = self._step_loss_key(seen, change)
            self._mean = Mean(seen.number, change.size, change.count, seen.logs["loss"])
        if self._key:
            loss = float(seen.logs[self._key])
            if source != UNDONE:
                undone = self._check(seen, loss)
            return (loss, EXACT) if self._key else (undone, UNDONE)
        return undone, source

    def _undone(self, seen, changes):
        """The step's loss without a StepLoss, and where it came from."""
        if "loss" not in seen.logs:
            return None, MISSING
        if changes is not None:
            known = all(math.isfinite(one.total_before) for one in changes)
            return (sum(one.undone for one in changes), UNDONE) if known else (None, LOST)
        if not self._source.explains:
            return float(seen.logs["loss"]), RUNNING if self._source.counts(seen) else LOGGED
        # Disturbed by a `model.evaluate` in between; but a mean's first value is the loss.
        return (float(seen.logs["loss"]), UNDONE) if self._source.began(seen) else (None, MISSING)

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
            total, count = self._source.now()
            if count <= last.count or not close(total / count, mean, 1e-4):
                return None  # a `model.evaluate` in between has reset it
            if not _is_next(last, count, total, loss):
                self._key = ""
                return (total - last.value * last.count) / (count - last.count)
        self._mean = Mean(seen.number, count - last.count, count, mean)
        return None

    def _step_loss_key(self, seen, change):
        """The key of a `StepLoss` that agrees with the tracker; "" where there is none."""
        compiled = flat(self._model.metrics)  # built by the first step
        names = [metric.name for metric in compiled if isinstance(metric, StepLoss)]
        keys = [k for k in seen.logs if any(k == n or k.endswith(f"_{n}") for n in names)]
        if len(keys) != 1:
            return ""
        if not math.isfinite(change.undone):  # any two that are not finite would agree
            return self._key
        return keys[0] if agrees(change, seen.logs[keys[0]]) else ""


def logs_its_own(model):
    """Whether a model may log another loss than that of Keras' loss tracker."""
    names = ("train_step", "make_train_function", "compute_metrics", "get_metrics_result")
    return has_own(model, *names, "metrics")


def _is_next(last, count, total, loss):
    """Whether a step of this loss leads from a mean to a total."""
    size = count - last.count
    return agree((total - last.value * last.count) / size, loss, total / size)
