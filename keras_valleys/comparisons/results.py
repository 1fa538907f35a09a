"""What a comparison found, and the statistics of it."""

import dataclasses
import math
import statistics

import numpy as np

from keras_valleys._results import Result, counted, cut
from keras_valleys.comparisons.reports import as_csv, as_text, cell_text
from keras_valleys.trajectories import Trajectory, project
from keras_valleys.valleys import derailments


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run(Result):
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
    trajectory: Trajectory = dataclasses.field(compare=False)

    def _in_short(self) -> str:
        return (
            f"{cut(self.optimizer)} at {cut(cell_text(self.learning_rate))}, start {self.start}, "
            f"seed {self.seed}, {self.status}, final loss {self.final_loss:.4g}"
        )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Summary(Result):
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

    def _in_short(self) -> str:
        return (
            f"{cut(self.optimizer)} at {cut(cell_text(self.learning_rate))}, "
            f"{self.num_successes} of {counted(self.num_runs, 'run')} succeeded, "
            f"final loss {self.final_loss:.4g}"
        )

    @property
    def success_rate(self):
        """Share of the runs that succeeded."""
        return self.num_successes / self.num_runs


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
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
        return as_text(self)

    def _in_short(self) -> str:
        facts = [counted(len(self.summaries), "optimizer"), counted(len(self.runs), "run")]
        for best in self.summaries[:1]:
            rate = f"{best.num_successes} of {counted(best.num_runs, 'run')} succeeded"
            facts.append(f"best {cut(best.optimizer)}: {rate}")
        return ", ".join(facts)

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
        return as_csv(self.to_dicts(), path)


def rows_of(jobs, fits, valleys, tolerance):
    """What a `Run` holds, for each job, and the learning rate that each optimizer is shown with.

    Returns:
        List of dictionaries, and a dictionary of labels to rates.
    """
    measured = [measure(fit, valleys) for fit, _ in fits]
    chosen = _choose(jobs, [fields for fields, _ in measured])
    finals = [
        fields["final_loss"]
        for job, (fields, _) in zip(jobs, measured, strict=True)
        if chosen[job.candidate.label] == job.rate and fields["status"] == "finished"
    ]
    lowest = min(finals, default=math.nan)
    found = []
    for job, (fit, folder), (fields, places) in zip(jobs, fits, measured, strict=True):
        arrived = _arrival(fit, fields, places, valleys, target=lowest, tolerance=tolerance)
        row = {
            "optimizer": job.candidate.label,
            "learning_rate": job.shown_rate,
            "start": job.start,
            "seed": job.seed,
            **fields,
            **arrived,
            "seconds": fit.seconds,
            "log_dir": None if folder is None else str(folder),
            "trajectory": fit.trajectory,
        }
        found.append(row)
    return found, chosen


def _choose(jobs, measured):
    """The rate with the lowest median of the final losses, the smaller of equal ones."""
    finals = {}
    for job, fields in zip(jobs, measured, strict=True):
        known = fields["final_loss"] if fields["status"] == "finished" else math.inf
        finals.setdefault(job.candidate.label, {}).setdefault(job.rate, []).append(known)
    return {
        label: min(by_rate, key=lambda rate: (median(by_rate[rate]), rate or 0.0))
        for label, by_rate in finals.items()
    }


def summary(label, taken, counted):
    """What a `Summary` holds of the rows of an optimizer, of which some count."""
    own = [row for row in taken if row["optimizer"] == label]
    counted = [row for row in counted if row["optimizer"] == label]
    best = [row["best_loss"] for row in own if not math.isnan(row["best_loss"])]
    derailed = [row["derailments"] for row in own if row["derailments"] is not None]
    arrived = [row["steps_to_floor"] for row in own if row["steps_to_floor"] is not None]
    return {
        "optimizer": label,
        "learning_rate": own[0]["learning_rate"],
        "num_runs": len(counted),
        "num_successes": sum(row["success"] for row in counted),
        "num_diverged": sum(row["status"] == "diverged" for row in own),
        "num_failed": sum(row["status"] == "failed" for row in own),
        "final_loss": median([_final(row) for row in own]),
        "best_loss": min(best, default=math.nan),
        "derailments": statistics.mean(derailed) if derailed else None,
        "steps_to_floor": float(statistics.median(arrived)) if arrived else None,
        "seconds": statistics.mean(row["seconds"] for row in own),
    }


def rank(one):
    """A key to sort summaries by, the best first."""
    return -one["num_successes"] / one["num_runs"], one["final_loss"], one["optimizer"]


def in_order(labels):
    """Function that sorts rows by these labels, then learning rate, start and seed."""
    place = {label: k for k, label in enumerate(labels)}

    def key(row):
        rate = row["learning_rate"] if isinstance(row["learning_rate"], float) else 0.0
        return place[row["optimizer"]], rate, row["start"], row["seed"]

    return lambda unsorted: sorted(unsorted, key=key)


def measure(fit, valleys):
    """Status, losses and valley of a fit, and the valley of each row of its path.

    Returns:
        Dictionary of fields, and an array of shape `(T+1,)` or `None`.
    """
    path = fit.trajectory
    losses = path.losses
    finite = np.isfinite(losses) & np.all(np.isfinite(path.weights), axis=1)
    status, reason = "finished", ""
    if fit.error:
        status, reason = "failed", fit.error
    elif not len(path) or not finite[-1]:
        first = int(path.steps[np.argmin(finite)]) if len(path) else 0
        status, reason = "diverged", f"the loss is not finite from step {first} on"
    known = np.flatnonzero(finite)
    best = known[np.argmin(losses[known])] if known.size else None
    fields = {
        "status": status,
        "reason": reason,
        "final_loss": number(losses[-1]) if len(path) else math.nan,
        "best_loss": math.nan if best is None else number(losses[best]),
        "best_step": None if best is None else int(path.steps[best]),
        "valley": None,
        "derailments": None,
    }
    if valleys is None or not len(path):
        return fields, None
    places = valleys.at(project(path.weights, valleys.surface))
    fields["derailments"] = len(derailments(path, valleys))
    if status != "failed" and places[-1] >= 0:
        fields["valley"] = int(places[-1])
    return fields, places


def _arrival(fit, fields, places, valleys, *, target, tolerance):
    """Whether a run succeeded, and when it came within the tolerance of the floor.

    Without valleys the floor is the target, the lowest final loss of all runs.
    """
    near = fit.trajectory.losses <= target + tolerance
    success = fields["status"] == "finished" and fields["final_loss"] <= target + tolerance
    if valleys is not None:
        valley = fields["valley"]
        success = fields["status"] == "finished" and valley is not None
        success = success and valleys[valley].loss <= valleys[0].loss + tolerance
        near = np.zeros(len(near), bool)
        if valley is not None:
            floor = valleys[valley].loss
            near = (places == valley) & (fit.trajectory.losses <= floor + tolerance)
    row = int(np.argmax(near)) if near.any() else None
    return {
        "success": bool(success),
        "steps_to_floor": None if row is None else int(fit.trajectory.steps[row]),
        "seconds_to_floor": None if row is None else number(fit.clock[row]),
    }


def median(losses):
    """The median, where what is not finite is higher than all."""
    return statistics.median(loss if math.isfinite(loss) else math.inf for loss in losses)


def _final(row):
    return row["final_loss"] if row["status"] == "finished" else math.inf


def number(value):
    """A plain number; all that are NaN are one, so that equal rows are equal."""
    value = float(value)
    return math.nan if math.isnan(value) else value


def success_interval(successes, trials):
    """The 95 % confidence interval of a success rate, after Wilson.

    With `p = successes / trials` and `z = 1.96`, the rates `q` with
    `|p - q| <= z * sqrt(q * (1 - q) / trials)`:

        `(p + z^2 / (2 n) +- z * sqrt(p (1 - p) / n + z^2 / (4 n^2))) / (1 + z^2 / n)`.

    It holds for few trials and for rates near 0 and 1, where `p +- z * sqrt(p (1 - p) / n)` does
    not.

    Args:
        successes: Number of successes, from 0 to `trials`.
        trials: Number of independent trials, at least 1.

    Returns:
        `(low, high)`.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> [round(end, 3) for end in keras_valleys.comparisons.success_interval(4, 5)]
    [0.376, 0.964]

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927), 209-212.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(
            "`success_interval` expects `successes` from 0 to `trials`, and `trials` >= 1. "
            f"Received: successes={successes!r}, trials={trials!r}. Count both over the same runs."
        )
    z = statistics.NormalDist().inv_cdf(0.975)
    rate, share = successes / trials, z * z / trials
    half = z * math.sqrt(rate * (1 - rate) / trials + share / (4 * trials))
    low, high = ((rate + share / 2 + side) / (1 + share) for side in (-half, half))
    return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)
