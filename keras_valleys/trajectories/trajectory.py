"""What an optimizer did: the weights and the loss at each step."""

import dataclasses
import typing
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import as_integers, as_measured, refusal
from keras_valleys._results import Result, Saved, counted, cut, frozen

BLOCK = 2**20  # numbers of a path that are held as float64 at once


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Trajectory(Result, Saved, kind="trajectory"):
    """A walk through weight space.

    Row `t` is the state before update `t` and the loss there; the last row holds the final
    weights, whose loss is NaN unless it was measured. After T updates there are T + 1 rows, fewer
    where some steps were not seen: `steps` says which are there.

    Args:
        steps: Integers of shape `(T+1,)`, rising: the number of updates made before each row.
        weights: Array of shape `(T+1, P)`: the flat weights.
        losses: Array of shape `(T+1,)`; NaN where the loss is not known.
        label: Name of the run, as in a legend.
        loss_source: Where the losses came from, in words.
        statistics: Array of shape `(T+1, Q)`: what training moved without a gradient, such as the
            means and variances of BatchNormalization, at each row. `None` is none, Q = 0.
        statistics_names: One name for each of the Q numbers, as in
            `keras_valleys.objectives.Objective.statistics_names`.
        loss_kind: "recorded": as the fit had them, each of its step's batch in training mode. Or
            "true": of all rows of an objective in evaluation mode, as `measured` gives them.
        no_steps: Those of `steps` at which no step led to the row from the one before: at the end
            of a run, where an optimizer has averaged the weights after the last step or
            `EarlyStopping` restored the best ones, and where weights were set between two fits.

    Raises:
        ValueError: The shapes do not belong together, something is no real number, the steps do not
            rise, or `no_steps` are not among them.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0.8], [0.7]], [0.61, np.nan])
    >>> path.weights.shape
    (2, 1)
    """

    steps: np.ndarray
    weights: np.ndarray
    losses: np.ndarray
    label: str = ""
    loss_source: str = ""
    statistics: np.ndarray = typing.cast("np.ndarray", None)  # `None` becomes none, shape (T+1, 0)
    statistics_names: tuple[str, ...] = ()
    loss_kind: str = "recorded"
    no_steps: np.ndarray = typing.cast("np.ndarray", ())

    if typing.TYPE_CHECKING:  # it takes what these can be made of

        def __init__(
            self,
            steps: ArrayLike,
            weights: ArrayLike,
            losses: ArrayLike,
            label: str = "",
            loss_source: str = "",
            statistics: ArrayLike | None = None,
            statistics_names: Sequence[str] = (),
            loss_kind: str = "recorded",
            no_steps: ArrayLike = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        steps = frozen(as_integers("Trajectory", steps=self.steps))
        wanted = "`steps` to be integers, `weights` and `losses` real numbers"
        weights = frozen(as_measured("Trajectory", wanted=wanted, weights=self.weights))
        losses = frozen(as_measured("Trajectory", wanted=wanted, losses=self.losses))
        if weights.ndim != 2 or steps.shape != weights.shape[:1] or losses.shape != steps.shape:
            raise refusal(
                "Trajectory",
                "`steps` (T+1,), `weights` (T+1, P) and `losses` (T+1,)",
                f"steps {steps.shape}, weights {weights.shape}, losses {losses.shape}",
                "Give each row one step, one weight vector and one loss (NaN where unknown).",
            )
        if np.any(np.diff(steps) <= 0):
            raise refusal(
                "Trajectory",
                "`steps` to rise",
                {"steps": steps},
                "Sort the rows by step, one row per step.",
            )
        names = tuple(map(str, self.statistics_names))
        if self.statistics is None:
            statistics = frozen(np.empty((len(steps), 0), "float32"))
        else:
            statistics = frozen(as_measured("Trajectory", statistics=self.statistics))
        if statistics.shape != (len(steps), len(names)):
            raise refusal(
                "Trajectory",
                "`statistics` of shape (T+1, Q), numbers, and one name for each of the Q",
                f"statistics {statistics.shape} of dtype {statistics.dtype}, {len(steps)} rows, "
                f"{len(names)} names",
                "Give each row its statistics, or none of them any.",
            )
        if self.loss_kind not in ("recorded", "true"):
            raise refusal(
                "Trajectory",
                "`loss_kind` to be 'recorded' or 'true'",
                {"loss_kind": self.loss_kind},
                "Use 'recorded' for what a fit had; `measured` gives the true losses.",
            )
        no_steps = as_integers("Trajectory", no_steps=self.no_steps)
        if no_steps.ndim != 1 or not np.all(np.isin(no_steps, steps)):
            raise refusal(
                "Trajectory",
                "`no_steps` to be some of `steps`",
                {"no_steps": self.no_steps},
                "Leave it out where each row is a step's.",
            )
        self._set(steps=steps, weights=weights, losses=losses, no_steps=frozen(no_steps))
        self._set(statistics=statistics, statistics_names=names)

    def __len__(self) -> int:
        return len(self.steps)

    def _in_short(self) -> str:
        rows, numbers = self.weights.shape
        steps = f", steps {self.steps[0]} to {self.steps[-1]}" if rows else ""
        label = f", label={cut(self.label)!r}" if self.label else ""
        return f"{counted(rows, 'row')} of {counted(numbers, 'weight')}{steps}{label}"


def blocks(weights, rows=None):
    """Row numbers and float64 copies of the finite rows, some at a time."""
    rows = np.arange(len(weights)) if rows is None else rows
    size = max(1, BLOCK // max(1, weights.shape[1]))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        block = weights[part].astype("float64")
        finite = np.all(np.isfinite(block), axis=1)
        yield (part, block) if finite.all() else (part[finite], block[finite])


def first_finite(weights):
    """The first row without NaN and infinities, as float64, or `None`."""
    return next((block[0] for _, block in blocks(weights) if len(block)), None)
