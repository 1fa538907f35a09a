"""How high the loss rises between two networks."""

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys import surfaces
from keras_valleys._checks import check_kind, check_vector, check_whole, is_finite, refusal
from keras_valleys._results import Result
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import Surface

NUM_WITHIN = 11  # points of each finer stretch
FINEST = 1e-6  # of the line: between closer points float32 makes no difference
LABEL = "from start to end"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class BarrierBetween(Result):
    """The loss on the straight line between two networks, and how high it rises.

    Two networks are linearly connected where it hardly rises. What "rises" is compared with differs
    in the literature: the mean of the two ends, or the higher one.

    Attributes:
        surface: The `keras_valleys.surfaces.Surface` of the line, for pictures: coordinate 0 is the
            start, 1 the end.
        start: Loss at the start.
        end: Loss at the end.
        highest: The highest loss between them, both included; infinite where the loss is not
            finite on the way.
        position: Where that is, from 0 at the start to 1 at the end.
        statistics: With which statistics of normalization layers it was evaluated, in words; ""
            for a model without any.
    """

    surface: Surface
    start: float
    end: float
    highest: float
    position: float
    statistics: str = ""

    @property
    def over_mean(self) -> float:
        """The highest loss minus the mean of both ends."""
        return self.highest - (self.start + self.end) / 2

    @property
    def over_higher(self) -> float:
        """The highest loss minus that of the higher end: 0 where nothing rises above both."""
        return self.highest - max(self.start, self.end)

    def _in_short(self) -> str:
        return (
            f"{self.over_mean:.4g} over the mean of {self.start:.4g} and {self.end:.4g}, "
            f"{self.over_higher:.4g} over the higher, at {self.position:.3g} of the way"
        )


def barrier_between(
    objective: Objective,
    start: ArrayLike,
    end: ArrayLike,
    *,
    num_points: int = 61,
    tolerance: float = 1e-3,
    statistics: str | None = None,
) -> BarrierBetween:
    """How high the loss rises on the straight line between two networks of one architecture.

    Their weights may come from `Objective.point` or a `Trajectory`. That the line rises says that
    this way is barred, not that there is none: networks whose units are in another order are the
    same, and far apart.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        start: Weight vector of shape `(P,)`.
        end: Another.
        num_points: Samples of the line, its ends among them, at least 3.
        tolerance: The highest point between the samples is located to this share of the line, at
            least 1e-6.
        statistics: As for `Objective`. `None` takes those of the objective, but "reestimated" for
            "held": the statistics that a model holds belong to one network, and not to the others
            on the line.

    Returns:
        A `BarrierBetween`.

    Raises:
        ValueError: Not an `Objective`, vectors of another size, not finite or equal, a number out
            of range, or unknown `statistics`.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> model.compile(loss=keras_valleys.losses.RootError())
    >>> objective = keras_valleys.objectives.Objective(model, *keras_valleys.datasets.rosette()[0])
    >>> found = keras_valleys.valleys.barrier_between(objective, [0.0], [np.radians(36)])
    >>> round(found.over_higher, 3), round(found.position, 2)
    (0.03, 0.78)
    """
    check_kind("barrier_between", "objective", objective=objective)
    start = check_vector("barrier_between", objective.size, start=start)
    end = check_vector("barrier_between", objective.size, end=end)
    check_whole("barrier_between", 3, num_points=num_points)
    if not is_finite(tolerance) or not FINEST <= tolerance < 1:
        raise refusal(
            "barrier_between",
            f"`tolerance` to be between {FINEST:g} and 1, a share of the line",
            {"tolerance": tolerance},
            "Use 1e-3.",
        )
    if np.array_equal(start, end):
        raise refusal("barrier_between", "two networks", "the same weights twice", "Give another.")
    if statistics is None:
        belong_to_one = objective.statistics == "held" and objective.statistics_sentence
        statistics = "reestimated" if belong_to_one else objective.statistics
    objective = objective.with_statistics(statistics)
    way = (end - start)[np.newaxis]
    line = surfaces.evaluate(
        objective, way, coordinates=np.linspace(0, 1, num_points), origin=start, labels=[LABEL]
    )
    position, highest = _highest(objective, line, tolerance)
    ends = float(line.losses[0]), float(line.losses[-1])
    return BarrierBetween(line, *ends, highest, position, objective.statistics_sentence)


def _highest(objective, line, tolerance):
    """Where the loss of a line is highest, and that loss."""
    t, losses = line.coordinates[0], line.losses.astype("float64")
    while np.all(np.isfinite(losses)):
        k = int(np.argmax(losses))
        highest = float(t[k]), float(losses[k])
        low, high = t[max(k - 1, 0)], t[min(k + 1, len(t) - 1)]
        if high - low <= 2 * tolerance:
            return highest
        t = np.union1d(np.linspace(low, high, NUM_WITHIN), t[k])  # never lower than before
        losses = objective.along(t[:, None], line.directions, line.origin).astype("float64")
    return float(t[np.argmin(np.isfinite(losses))]), math.inf
