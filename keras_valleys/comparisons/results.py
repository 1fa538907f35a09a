"""What a comparison found: its runs, and what they say of each optimizer."""

import dataclasses

from keras_valleys.comparisons import _reports
from keras_valleys.trajectories import Trajectory


@dataclasses.dataclass(frozen=True)
class Run:
    """One `model.fit` of a comparison. Times and the path do not count when runs are compared.

    Attributes:
        optimizer: Label of the optimizer.
        learning_rate: Number, name of a schedule, or `None`.
        start: Number of the start.
        seed: Seed of the order of the batches and of random layers.
        status: "finished"; "diverged": the last weights or their loss are not finite; or "failed":
            the optimizer could not be made, or `fit` raised an exception.
        reason: Why it diverged or failed, in words; else "".
        final_loss: Loss of all rows of data at the final weights.
        best_loss: The lowest loss on the path.
        best_step: The number of updates made there.
        valley: Index of the valley that the final weights are in; `None` for none.
        derailments: Number of steps that crossed into another valley; `None` without a surface.
        success: Whether it ended in the best valley; see `compare`.
        steps_to_floor: Number of updates until the loss was first within the tolerance of the
            floor; `None` for never.
        seconds_to_floor: Seconds until then, from the end of the first step, which compiles.
        seconds: Wall time of `model.fit`, with compilation if it was the first of its optimizer.
        log_dir: Folder of the run, or `None`.
        trajectory: The path. Its losses are those of all rows of data at the weights of each row.
    """

    optimizer: str
    learning_rate: float | str | None
    start: int
    seed: int
    status: str
    reason: str
    final_loss: float
    best_loss: float
    best_step: int | None
    valley: int | None
    derailments: int | None
    success: bool
    steps_to_floor: int | None
    seconds_to_floor: float | None = dataclasses.field(compare=False)
    seconds: float = dataclasses.field(compare=False)
    log_dir: str | None = dataclasses.field(compare=False)
    trajectory: Trajectory = dataclasses.field(compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class Summary:
    """All runs of one optimizer, over starts and seeds.

    Attributes:
        optimizer: Label of the optimizer.
        learning_rate: Number, name of a schedule, or `None`.
        num_runs: Number of runs that count: where no seed changes anything, one for each start.
        num_successes: How many of them succeeded.
        interval: 95 % confidence interval of the success rate, `success_interval` of these.
        num_diverged: Number of runs that diverged.
        num_failed: Number of runs that failed.
        final_loss: Median of the final losses, where one that is not finite is higher than all.
        best_loss: The lowest loss on any path.
        derailments: Mean number of derailments; `None` without a surface.
        steps_to_floor: Median over the runs that came there; `None` where none did.
        seconds: Mean wall time of `model.fit`.
    """

    optimizer: str
    learning_rate: float | str | None
    num_runs: int
    num_successes: int
    interval: tuple
    num_diverged: int
    num_failed: int
    final_loss: float
    best_loss: float
    derailments: float | None
    steps_to_floor: float | None
    seconds: float = dataclasses.field(compare=False)

    @property
    def success_rate(self):
        """Share of the runs that succeeded."""
        return self.num_successes / self.num_runs


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` returns. Its text, `str(comparison)`, is a table.

    Attributes:
        runs: Tuple of `Run`, those of the best optimizer first, by start and seed.
        summaries: Tuple of `Summary`, one per optimizer: by success rate, then by final loss.
        tuning: Tuple of `Run`: all runs of all learning rates that were tried, the chosen ones
            among them; empty without tuning.
        valleys: The `keras_valleys.valleys.Valleys` of the surface, or `None`.
        tolerance: In units of the loss.
        notes: Tuple of sentences on how the table is to be read.
    """

    runs: tuple
    summaries: tuple
    tuning: tuple = ()
    valleys: object = None
    tolerance: float = 0.0
    notes: tuple = ()

    def __str__(self):
        return _reports.as_text(self)

    @property
    def surface(self):
        """The `keras_valleys.surfaces.Surface`, or `None`."""
        return None if self.valleys is None else self.valleys.surface

    @property
    def trajectories(self):
        """The paths of the runs, labeled by optimizer, as the pictures take them."""
        return [run.trajectory for run in self.runs if len(run.trajectory)]

    def to_dicts(self):
        """The runs as a list of dictionaries of numbers and text, without the paths."""
        names = [field.name for field in dataclasses.fields(Run) if field.name != "trajectory"]
        return [{name: getattr(run, name) for name in names} for run in self.runs]

    def to_csv(self, path=None):
        """The runs as CSV.

        Args:
            path: Path of the file to write; `None` writes none.

        Returns:
            The text.
        """
        return _reports.as_csv(self.to_dicts(), path)
