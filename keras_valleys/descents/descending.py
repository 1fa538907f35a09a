"""Many descents at once, each with a real Keras optimizer, and where they end."""

import dataclasses
import os
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import as_measured, check_kind, check_whole, refusal, shortened
from keras_valleys._optimizers import OptimizerLike, as_candidate
from keras_valleys._progress import check_verbose
from keras_valleys._results import Result, counted, cut, frozen, range_text
from keras_valleys.descents.walks import Ground, Walks, check_elementwise, checkpoint_of
from keras_valleys.objectives import Objective

PATHS_BYTES = 2**30  # of all weights that are kept on the way
DEPENDS = "model, weights, data, optimizer, starts, steps and paths"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Descents(Result):
    """Where descents from K starts ended.

    Attributes:
        weights: Array of shape `(K, P)`: the final weights, as `model.fit` would leave them.
        losses: Array of shape `(K,)`: the objective's loss at the final weights, of all its rows in
            evaluation mode, with the statistics that the objective says. Where a descent diverged,
            it is not finite.
        paths: Array of shape `(R, K, P)` of the weights after the number of steps in `steps`, or
            `None`.
        steps: Array of shape `(R,)`, from 0 to the last; empty where no paths were kept.
        label: Name of the optimizer.
    """

    weights: np.ndarray
    losses: np.ndarray
    paths: np.ndarray | None
    steps: np.ndarray
    label: str

    def __post_init__(self):
        for name in ("weights", "losses", "paths", "steps"):
            if getattr(self, name) is not None:
                self._set(**{name: frozen(getattr(self, name))})

    def _in_short(self) -> str:
        count, size = self.weights.shape
        return (
            f"{counted(count, 'descent')} of {counted(size, 'weight')} by {cut(self.label)}, "
            f"final losses {range_text(self.losses)}"
        )


def descend(
    objective: Objective,
    optimizer: OptimizerLike,
    starts: ArrayLike,
    steps: int,
    *,
    paths: bool | int = False,
    verbose: Literal["auto", 0, 1] = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
) -> Descents:
    """Descend from many starts at once with a real Keras optimizer.

    The K weight vectors are one variable of shape `(K, P)`. The sum of their K losses has the
    gradient of each loss in its row, so that one optimizer updates all of them, in one compiled
    loop, as K times `model.fit` would with all rows in one batch. A start that diverges harms no
    other.

    It is the objective that they descend on: layers run in inference mode. `model.fit` does the
    same for models without Dropout, BatchNormalization and their like, without a `train_step` of
    their own, and, on TensorFlow, without Embedding layers, whose gradients it gives to the
    optimizer in parts. Constraints of the weights apply after each step. An optimizer given as an
    instance is copied by its config: it is not changed, and what it has learned so far is not
    taken over.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights, of data in one batch.
        optimizer: A Keras optimizer: a name, a class, an instance, a config, or a function without
            arguments that makes one. It must update each weight by itself, which is tried out.
        starts: Array of shape `(K, P)`; `(K,)` for one weight.
        steps: Number of updates.
        paths: Whether to keep the weights of all steps on the way, or every how many steps.
        verbose: 0 for silence, 1 for a progress bar, "auto" for one where more than two seconds of
            work are left.
        checkpoint: Path of a file that keeps finished descents. Called again with the same
            arguments after it was killed, `descend` goes on from there, with the same result.

    Returns:
        A `Descents`.

    Raises:
        ValueError: The optimizer couples weights, as with `clipnorm` or Lamb; starts of another
            shape or not finite; data in several batches; paths that take more than 1 GB; a
            checkpoint of something else; another argument outside its range.
        OSError: The checkpoint cannot be written.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mean_squared_error")
    >>> objective = keras_valleys.objectives.Objective(model, np.ones((1, 1)), np.zeros((1, 1)))
    >>> optimizer = keras.optimizers.SGD(0.25)  # of the square of the weight: it halves each time
    >>> found = keras_valleys.descents.descend(objective, optimizer, [[1.0], [-4.0], [8.0]], 2)
    >>> found.weights[:, 0].tolist(), found.losses.tolist()
    ([0.25, -1.0, 2.0], [0.0625, 1.0, 4.0])
    """
    check_kind("descend", "objective", objective=objective)
    check_verbose(verbose, "descend")
    check_whole("descend", 1, steps=steps)
    rows = _as_starts(objective, starts)
    marks = _marks(paths, steps, rows)
    candidate = as_candidate("descend", optimizer=optimizer)
    ground = Ground("descend", objective)
    check_elementwise("descend", candidate, objective, num=len(rows))
    facts = [rows, steps, np.array(marks, int)]
    kept = checkpoint_of(
        "descend", checkpoint, objective, [candidate], facts=facts, depends=DEPENDS
    )
    (found,) = Walks(ground, rows, steps, marks).run([candidate], kept, verbose)
    weights = np.ascontiguousarray(found[:, -1])
    on_the_way = np.ascontiguousarray(found[:, :-1].swapaxes(0, 1)) if marks else None
    for large in (weights, on_the_way):
        if large is not None:
            large.setflags(write=False)  # so that it is shared and not copied
    losses = objective(weights)
    return Descents(weights, losses, on_the_way, np.array(marks, int), candidate.label)


def _as_starts(objective, starts):
    try:
        rows = as_measured("descend", starts=starts).astype(objective.dtype)
    except ValueError:
        rows = np.empty(0)
    rows = rows[:, None] if rows.ndim == 1 and objective.size == 1 else rows
    fits = rows.ndim == 2 and len(rows) and rows.shape[1] == objective.size
    if not fits or not np.all(np.isfinite(rows)):
        raise refusal(
            "descend",
            f"`starts` of shape (K, {objective.size}): K >= 1 weight vectors of finite numbers",
            f"starts={shortened(starts)}, shape {np.shape(rows)}",
            "`objective.point()` is one such vector.",
        )
    return rows


def _marks(paths, steps, starts):
    """The numbers of steps after which weights are kept."""
    check_whole("descend", paths=int(paths) if isinstance(paths, bool) else paths)
    if not paths:
        return ()
    marks = [*range(0, steps, int(paths)), steps]
    most = PATHS_BYTES // starts.nbytes
    if len(marks) > most:
        every = -(-steps // max(most - 2, 1))
        raise refusal(
            "descend",
            f"`paths` of at most {PATHS_BYTES >> 20} MB",
            f"{len(marks)} times {len(starts)} weight vectors, {len(marks) * starts.nbytes >> 20} "
            "MB",
            f"Use paths={every}, one step in {every}, or fewer starts.",
        )
    return tuple(marks)
