"""What an optimizer did: the weights and the loss at each step."""

import dataclasses
import typing

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import refusal
from keras_valleys._results import Result, Saved, counted, cut, frozen


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

    Raises:
        ValueError: The shapes do not belong together, or the steps do not rise.

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

    if typing.TYPE_CHECKING:  # it takes what these can be made of

        def __init__(
            self,
            steps: ArrayLike,
            weights: ArrayLike,
            losses: ArrayLike,
            label: str = "",
            loss_source: str = "",
        ) -> None: ...

    def __post_init__(self) -> None:
        steps, weights, losses = map(frozen, (self.steps, self.weights, self.losses))
        if not len(steps):
            steps = steps.astype("int64")
        if steps.dtype.kind not in "iu" or any(
            a.dtype.kind not in "iuf" for a in (weights, losses)
        ):
            raise refusal(
                "Trajectory",
                "`steps` to be integers, `weights` and `losses` real numbers",
                f"dtypes {steps.dtype}, {weights.dtype}, {losses.dtype}",
                "Convert them.",
            )
        steps = frozen(steps, "int64")
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
        self._set(steps=steps, weights=weights, losses=losses)

    def __len__(self) -> int:
        return len(self.steps)

    def _in_short(self) -> str:
        rows, numbers = self.weights.shape
        steps = f", steps {self.steps[0]} to {self.steps[-1]}" if rows else ""
        label = f", label={cut(self.label)!r}" if self.label else ""
        return f"{counted(rows, 'row')} of {counted(numbers, 'weight')}{steps}{label}"
