"""What an optimizer did: the weights and the loss at each step."""

import dataclasses

import numpy as np

from keras_valleys._files import damaged, read_archive, write_archive


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectory:
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

    def __post_init__(self):
        steps, weights, losses = map(np.array, (self.steps, self.weights, self.losses))
        if not len(steps):
            steps = steps.astype("int64")
        if steps.dtype.kind not in "iu" or any(
            a.dtype.kind not in "iuf" for a in (weights, losses)
        ):
            raise ValueError(
                "`Trajectory` expects `steps` to be integers, `weights` and `losses` real numbers. "
                f"Received: dtypes {steps.dtype}, {weights.dtype}, {losses.dtype}. Convert them."
            )
        steps = steps.astype("int64")
        if weights.ndim != 2 or steps.shape != weights.shape[:1] or losses.shape != steps.shape:
            raise ValueError(
                "`Trajectory` expects `steps` (T+1,), `weights` (T+1, P) and `losses` (T+1,). "
                f"Received: steps {steps.shape}, weights {weights.shape}, losses {losses.shape}. "
                "Give each row one step, one weight vector and one loss (NaN where unknown)."
            )
        if np.any(np.diff(steps) <= 0):
            raise ValueError(
                "`Trajectory` expects `steps` to rise. "
                f"Received: steps={steps}. Sort the rows by step, one row per step."
            )
        for name, value in (("steps", steps), ("weights", weights), ("losses", losses)):
            value.setflags(write=False)  # a copy of what was given, and it stays as it is
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.steps)

    def save(self, path):
        """Write the trajectory to an npz file, whole or not at all.

        Args:
            path: Path of the file; an older file there is replaced.

        Raises:
            OSError: The file cannot be written; an older file is then still there.
        """
        write_archive(path, "trajectory", **dataclasses.asdict(self))

    @classmethod
    def load(cls, path):
        """Read a trajectory that `save` wrote.

        Args:
            path: Path of the file.

        Returns:
            A `Trajectory`.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is damaged or of another kind.
        """
        fields = read_archive(path, "trajectory", [field.name for field in dataclasses.fields(cls)])
        for name in ("label", "loss_source"):
            fields[name] = str(fields[name])
        try:
            return cls(**fields)
        except ValueError as error:
            raise damaged(path, "trajectory", error) from error
