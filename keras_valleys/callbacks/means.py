"""The running mean that a fit logs as its loss: of which metrics, and what one step did to it."""

import dataclasses
import itertools
import math
from typing import Any

import keras

from keras_valleys._backend import vector_reader
from keras_valleys._weights import to_numpy
from keras_valleys.metrics import StepLoss

MOST_ADDED = 3  # means whose sum is logged, such as a reconstruction and a divergence
MOST_SEARCHED = 12  # metrics among which those are sought
PATIENCE = 2  # steps at which no mean may be the log, as where an evaluation came between


@dataclasses.dataclass(slots=True)
class Change:
    """What one step did to the total and the count of a mean."""

    total_before: float
    count_before: float
    total: float
    count: float

    @classmethod
    def of(cls, before, after):
        """The change from one pair of total and count to another, `None` where there is none.

        A count that does not rise was reset since: then the mean is of this step alone.
        """
        if before == after or not after[1] > 0:
            return None
        return cls(*before, *after) if after[1] > before[1] else cls(0.0, 0.0, *after)

    @property
    def mean(self):
        """The mean after the step."""
        return self.total / self.count

    @property
    def size(self):
        """What the step counted for, most often the rows of its batch."""
        return self.count - self.count_before

    @property
    def undone(self):
        """The step's own value; NaN where the total was lost before."""
        return (self.total - self.total_before) / self.size


class LossTracker:
    """Keras' own loss tracker, whose mean its own train_step logs.

    Args:
        metric: The metric, or `None` where the model has none.
    """

    def __init__(self, metric):
        self._metric = metric
        self._state: Any = None  # function without arguments: total and count in one array
        self.explains = metric is not None  # what is not its mean is disturbed

    def __getstate__(self):
        return {**self.__dict__, "_state": None}  # made anew

    def read(self):
        """Total and count, by number of the metric."""
        if self._metric is None:
            return {}
        if self._state is None:
            self._state = vector_reader([self._metric.total, self._metric.count])
        return {0: tuple(self._state().tolist())}

    def changes(self, seen):
        """A list of the one `Change`, `None` where it is not the log's."""
        found = _changes(seen, [0])
        if 0 not in found or not is_sum_of(found.values(), seen.logs.get("loss", math.nan)):
            return None
        return list(found.values())

    def began(self, seen):
        """Whether nothing was counted before the step."""
        return bool(seen.before) and seen.before[0][1] == 0

    def now(self):
        """Total and count as they are."""
        return next(iter(self.read().values()), (math.nan, 0))

    def counts(self, seen):
        """Whether the log may be a mean that is not known."""
        return False


class LogSearch:
    """Finds the metrics whose mean, or the sum of whose means, a train_step logs as its loss.

    A train_step may log a loss as it is, the result of any metric or a sum of some, and the metrics
    may be anywhere. What is logged is taken for a mean once it equals that mean where the step's
    own value does not, and for the loss itself where it equals the step's own value in a mean.

    Args:
        metrics: All metrics in use.
        variables: The variables of the model in which it may count by itself.
    """

    def __init__(self, metrics, variables):
        kept = [one for one in metrics if not isinstance(one, StepLoss)]
        self._metrics = dict(enumerate(one for one in kept if not hasattr(one, "metrics")))
        numbers = [one for one in variables if not one.trainable and not tuple(one.shape)]
        self._numbers = dict(enumerate(numbers, len(self._metrics)))
        self._choices: Any = None  # tuples of numbers of metrics, of which one is it
        self.explains = False  # whether one was told from the step's own value
        self._is_own = False  # whether the log was seen to be the step's own value
        self._misses = 0
        self._size = None  # of a step at which the mean was reset within an epoch

    def read(self):
        """What each metric that may be it has counted, by number: a mean's total and count."""
        found = {}
        for number, one in list(self._metrics.items()):
            try:
                found[number] = _state(one)
            except Exception:  # of some other model, whose values JAX has given up
                del self._metrics[number]
        return found | {k: (float(to_numpy(one)),) for k, one in self._numbers.items()}

    def changes(self, seen):
        """A list of `Change`, whose means add up to the log; `None` where there are none."""
        if seen.before is None or seen.after is None or "loss" not in seen.logs:
            return None
        means = [number for number, one in self._metrics.items() if is_mean(one)]
        found, logged = _changes(seen, means), seen.logs["loss"]
        if self._choices is None:
            self._choices = _subsets(found)
            self._keep(lambda number: _differs(seen, number))
        told = [k for k in self._choices if found.keys() >= {*k} and _adds_up(found, k, logged)]
        if not told:
            self._miss(found, logged)
            return None
        certain = [k for k in told if not _is_own(found, k, logged)]
        self._misses, self._choices = 0, certain or told
        if certain and not self.explains:
            self.explains = True
            self._keep({number for choice in certain for number in choice}.__contains__)
        chosen = [found[k] for k in self._choices[0]]
        return chosen if self._is_clear(seen, chosen) else None

    def began(self, seen):
        """Whether nothing was counted before the step."""
        before = [(seen.before or {}).get(k) for k in self._choices[0]]
        return all(one is not None and one[1] == 0 for one in before)

    def now(self):
        """Total and count as they are, of the one metric that it is."""
        number, *_ = self._choices[0]
        return self.read().get(number, (math.nan, 0))

    def counts(self, seen):
        """Whether the train_step counts anything that may be in its log."""
        if self._is_own or seen.before is None or seen.after is None:
            return False
        if any(_differs(seen, number) for number in self._metrics):
            return True
        changed = [seen.after[k][0] for k in self._numbers if _differs(seen, k)]
        ratios = [a / b for a, b in itertools.permutations(changed, 2) if b]
        return any(close(value, seen.logs["loss"], 1e-4) for value in [*changed, *ratios])

    def _keep(self, wanted):
        """Go on with those of the metrics and variables whose numbers are wanted."""
        self._metrics = {k: one for k, one in self._metrics.items() if wanted(k)}
        self._numbers = {k: one for k, one in self._numbers.items() if wanted(k)}

    def _miss(self, found, logged):
        """No mean is logged at this step: perhaps the loss itself is."""
        self._misses += 1
        own = [one for one in found.values() if _tells(one) and agrees(one, logged)]
        if not self.explains and (own or self._misses >= PATIENCE):
            self._choices, self._is_own = [], bool(own)

    def _is_clear(self, seen, chosen):
        """Whether a mean that was reset within an epoch was not reset since the step before too."""
        for one, number in zip(chosen, self._choices[0], strict=True):
            if one.count_before == 0 and seen.before[number][1] > 0:
                self._size = one.size
            elif self._size is not None and one.count_before > 0:
                return one.size == self._size != one.count
        return True


def is_mean(metric):
    """Whether a metric is a mean as Keras makes it: one of your own may forget, or halve."""
    kind = type(metric)
    return isinstance(metric, keras.metrics.Mean) and all(
        method.__module__.startswith("keras.") for method in (kind.update_state, kind.result)
    )


def flat(metrics):
    """Metrics with those that they hold."""
    return [part for one in metrics for part in (one, *getattr(one, "metrics", ()))]


def is_sum_of(changes, logged):
    """Whether a log is the sum of the means after a step."""
    return close(sum(one.mean for one in changes), logged, 1e-4)


def agrees(change, loss):
    """Whether a loss is a step's own value, but for the float32 rounding of the total."""
    scale = change.total / change.size if change.count_before else 0.0
    return agree(change.undone, loss, scale)


def agree(undone, loss, scale):
    """Whether the two are equal but for the float32 rounding of a total of so many losses."""
    known = math.isfinite(undone) and math.isfinite(loss)
    return close(undone, loss, 1e-5) or (known and abs(undone - loss) <= 5e-7 * abs(scale))


def close(a, b, tolerance):
    """Whether two numbers are equal within a relative tolerance; NaN is equal to NaN."""
    if not (math.isfinite(a) and math.isfinite(b)):
        return a == b or (math.isnan(a) and math.isnan(b))
    return abs(a - b) <= tolerance * abs(b)


def _state(metric):
    if is_mean(metric):
        return float(to_numpy(metric.total)), float(to_numpy(metric.count))
    return tuple(float(to_numpy(one).sum()) for one in metric.variables)


def _differs(seen, number):
    before, after = seen.before.get(number), seen.after.get(number)
    return before is not None and after is not None and not _same(before, after)


def _same(before, after):
    pairs = itertools.zip_longest(before, after)
    return all(a == b or (a != a and b != b) for a, b in pairs)


def _changes(seen, means):
    """The `Change` of each of some means that this step changed, by number."""
    if seen.before is None or seen.after is None:
        return {}
    both = [k for k in means if k in seen.before and k in seen.after]
    found = {k: Change.of(seen.before[k], seen.after[k]) for k in both}
    return {k: one for k, one in found.items() if one is not None}


def _subsets(numbers):
    """Each metric alone, and the pairs and triples of a few."""
    sizes = range(1, MOST_ADDED + 1) if len(numbers) <= MOST_SEARCHED else [1]
    return [one for size in sizes for one in itertools.combinations(numbers, size)]


def _adds_up(found, numbers, logged):
    return close(sum(found[k].mean for k in numbers), logged, 1e-5)


def _is_own(found, numbers, logged):
    """Whether the log is the step's own value as well."""
    changes = [found[k] for k in numbers]
    scale = sum(abs(one.total / one.size) for one in changes if one.count_before)
    return agree(sum(one.undone for one in changes), logged, scale)


def _tells(change):
    """Whether a step's own value is another than the mean."""
    return not agrees(change, change.mean)
