"""What a comparison found, and the statistics of it."""

import dataclasses
import math
import os
import statistics
from typing import Any

import numpy as np

from keras_valleys._checks import TOO_LARGE, is_whole, refusal
from keras_valleys._results import Result, counted, cut
from keras_valleys.comparisons.reports import as_csv, as_text, cell_text, notes_on
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory, project
from keras_valleys.valleys import Valleys, derailments


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
        final_loss: True loss, of all rows of data, at the final weights.
        best_loss: The lowest true loss on the path.
        best_step: The number of updates made there.
        valley: Index of the valley that the final weights are in; `None` for none.
        derailments: Number of steps that crossed into another valley; `None` without a surface.
        success: Whether it ended in the best valley; see `compare`.
        steps_to_floor: Number of updates until the loss was first within the tolerance of the
            floor; `None` for never.
        seconds_to_floor: Seconds until then, from the end of the first step, which compiles.
        seconds: Wall time of `model.fit`, with compilation if it was the first of its optimizer.
        log_dir: Folder of the run, or `None`.
        trajectory: The path. Its losses are the true ones: of all rows of data, at each row.
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


def run_of(job, fit, reading, aim):
    """The run of a `Job`, from its `Fit`, what is read off that, and the aim of all runs."""
    row = aim.arrival(reading, fit.trajectory)
    return Run(
        optimizer=job.candidate.label,
        learning_rate=job.shown_rate,
        start=job.start,
        seed=job.seed,
        status=reading.status,
        reason=reading.reason,
        final_loss=reading.final_loss,
        best_loss=reading.best_loss,
        best_step=reading.best_step,
        valley=reading.valley,
        derailments=reading.derailments,
        success=aim.is_met(reading),
        steps_to_floor=None if row is None else int(fit.trajectory.steps[row]),
        seconds_to_floor=None if row is None else number(fit.clock[row]),
        seconds=fit.seconds,
        log_dir=fit.folder,
        trajectory=fit.trajectory,
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
    interval: tuple[float, float]
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
    def success_rate(self) -> float:
        """Share of the runs that succeeded."""
        return self.num_successes / self.num_runs


def summary_of(runs, counted):
    """The summary of the runs of an optimizer, of which some count."""
    successes = sum(run.success for run in counted)
    best = [run.best_loss for run in runs if not math.isnan(run.best_loss)]
    derailed = [run.derailments for run in runs if run.derailments is not None]
    arrived = [run.steps_to_floor for run in runs if run.steps_to_floor is not None]
    return Summary(
        optimizer=runs[0].optimizer,
        learning_rate=runs[0].learning_rate,
        num_runs=len(counted),
        num_successes=successes,
        interval=success_interval(successes, len(counted)),
        num_diverged=sum(run.status == "diverged" for run in runs),
        num_failed=sum(run.status == "failed" for run in runs),
        final_loss=median([_final(run) for run in runs]),
        best_loss=min(best, default=math.nan),
        derailments=statistics.mean(derailed) if derailed else None,
        steps_to_floor=float(statistics.median(arrived)) if arrived else None,
        seconds=statistics.mean(run.seconds for run in runs),
    )


def rank(summary):
    """A key to sort summaries by, the best first."""
    return -summary.success_rate, summary.final_loss, summary.optimizer


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

    runs: tuple[Run, ...]
    summaries: tuple[Summary, ...]
    tuning: tuple[Run, ...] = ()
    valleys: Valleys | None = None
    tolerance: float = 0.0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return as_text(self)

    def _in_short(self) -> str:
        facts = [counted(len(self.summaries), "optimizer"), counted(len(self.runs), "run")]
        for best in self.summaries[:1]:
            rate = f"{best.num_successes} of {counted(best.num_runs, 'run')} succeeded"
            facts.append(f"best {cut(best.optimizer)}: {rate}")
        return ", ".join(facts)

    @property
    def surface(self) -> Surface | None:
        """The `keras_valleys.surfaces.Surface`, or `None`."""
        return None if self.valleys is None else self.valleys.surface

    @property
    def trajectories(self) -> list[Trajectory]:
        """The paths of the runs, labeled by optimizer, as the pictures take them."""
        return [run.trajectory for run in self.runs if len(run.trajectory)]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The runs as a list of dictionaries of numbers and text, without the paths."""
        names = [field.name for field in dataclasses.fields(Run) if field.name != "trajectory"]
        return [{name: getattr(run, name) for name in names} for run in self.runs]

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """The runs as CSV.

        Args:
            path: Path of the file to write; `None` writes none.

        Returns:
            The text.
        """
        return as_csv(self.to_dicts(), path)


@dataclasses.dataclass(frozen=True)
class Reading:
    """What is read off the path of a fit, whatever the other fits did.

    Attributes:
        places: Array of shape `(T+1,)`: the valley of each row of the path; `None` without a
            surface or a path.
        others: As in `Run`.
    """

    status: str
    reason: str
    final_loss: float
    best_loss: float
    best_step: int | None
    valley: int | None
    derailments: int | None
    places: np.ndarray | None

    @classmethod
    def of(cls, fit, valleys):
        """Read a `Fit`; `valleys` are those of the surface, or `None`."""
        path, losses = fit.trajectory, fit.trajectory.losses
        finite = np.isfinite(losses) & np.all(np.isfinite(path.weights), axis=1)
        status, reason = "finished", ""
        if fit.error:
            status, reason = "failed", fit.error
        elif not len(path) or not finite[-1]:
            first = int(path.steps[np.argmin(finite)]) if len(path) else 0
            status, reason = "diverged", f"the loss is not finite from step {first} on"
        known = np.flatnonzero(finite)
        best = known[np.argmin(losses[known])] if known.size else None
        seen = valleys is not None and len(path) > 0
        places: Any = valleys.at(project(path.weights, valleys.surface)) if seen else None
        ends = seen and status != "failed" and places[-1] >= 0
        return cls(
            status=status,
            reason=reason,
            final_loss=number(losses[-1]) if len(path) else math.nan,
            best_loss=math.nan if best is None else number(losses[best]),
            best_step=None if best is None else int(path.steps[best]),
            valley=int(places[-1]) if ends else None,
            derailments=len(derailments(path, valleys)) if seen else None,
            places=places,
        )


@dataclasses.dataclass(frozen=True)
class Aim:
    """What counts as a success, and from which row on a run is at the floor.

    Attributes:
        valleys: The valleys of the surface, or `None`: then the floor is the lowest final loss.
        lowest: The lowest final loss of all runs that count.
        tolerance: In units of the loss.
    """

    valleys: Valleys | None
    lowest: float
    tolerance: float

    def is_met(self, reading):
        """Whether a run succeeded."""
        if reading.status != "finished":
            return False
        if self.valleys is None:
            return bool(reading.final_loss <= self.lowest + self.tolerance)
        if reading.valley is None:
            return False
        floor = self.valleys[reading.valley].loss
        return bool(floor <= self.valleys[0].loss + self.tolerance)

    def arrival(self, reading, path):
        """The first row of a path within the tolerance of its floor, or `None`."""
        if self.valleys is None:
            near = path.losses <= self.lowest + self.tolerance
        elif reading.valley is None:
            return None
        else:
            floor = self.valleys[reading.valley].loss
            near = (reading.places == reading.valley) & (path.losses <= floor + self.tolerance)
        return int(np.argmax(near)) if near.any() else None


def assembled(jobs, fits, valleys, tolerance, *, is_random, tuned):
    """The `Comparison` of the fits of some jobs.

    Args:
        jobs: List of `Job`.
        fits: List of `Fit`, one for each job.
        valleys: The valleys of the surface, or `None`.
        tolerance: In units of the loss.
        is_random: Whether a seed changes anything: if not, one seed counts.
        tuned: Whether learning rates were tried.
    """
    readings = [Reading.of(fit, valleys) for fit in fits]
    chosen = _choose(jobs, readings)
    counts = [job.rate == chosen[job.candidate.label] for job in jobs]
    finals = [
        reading.final_loss
        for reading, counted in zip(readings, counts, strict=True)
        if counted and reading.status == "finished"
    ]
    aim = Aim(valleys, min(finals, default=math.nan), tolerance)
    runs = [run_of(*parts, aim) for parts in zip(jobs, fits, readings, strict=True)]
    taken = [run for run, counted in zip(runs, counts, strict=True) if counted]
    summaries = []
    for label in dict.fromkeys(run.optimizer for run in taken):
        own = [run for run in taken if run.optimizer == label]
        first = [run for run in own if run.seed == jobs[0].seed]
        summaries.append(summary_of(own, own if is_random else first))
    summaries.sort(key=rank)
    place = {one.optimizer: number for number, one in enumerate(summaries)}

    def order(run):
        rate = run.learning_rate if isinstance(run.learning_rate, float) else 0.0
        return place[run.optimizer], rate, run.start, run.seed

    return Comparison(
        runs=tuple(sorted(taken, key=order)),
        summaries=tuple(summaries),
        tuning=tuple(sorted(runs, key=order)) if tuned else (),
        valleys=valleys,
        tolerance=tolerance,
        notes=notes_on(taken, valleys, tolerance, tuned=tuned, is_random=is_random),
    )


def _choose(jobs, readings):
    """The rate with the lowest median of the final losses, the smaller of equal ones."""
    finals: dict = {}
    for job, reading in zip(jobs, readings, strict=True):
        finals.setdefault(job.candidate.label, {}).setdefault(job.rate, []).append(_final(reading))
    return {
        label: min(by_rate, key=lambda rate: (median(by_rate[rate]), rate or 0.0))
        for label, by_rate in finals.items()
    }


def median(losses):
    """The median, where what is not finite is higher than all."""
    return statistics.median(loss if math.isfinite(loss) else math.inf for loss in losses)


def _final(run):
    """The final loss of a run or of its reading; infinite where it did not finish."""
    return run.final_loss if run.status == "finished" else math.inf


def number(value):
    """A plain number; all that are NaN are one, so that equal rows are equal."""
    value = float(value)
    return math.nan if math.isnan(value) else value


def success_interval(successes: int, trials: int) -> tuple[float, float]:
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
    whole = all(is_whole(count) and count < TOO_LARGE for count in (successes, trials))
    if not whole or not 0 <= successes <= trials or trials < 1:
        raise refusal(
            "success_interval",
            "`successes` from 0 to `trials`, and `trials` >= 1",
            {"successes": successes, "trials": trials},
            "Count both over the same runs.",
        )
    z = statistics.NormalDist().inv_cdf(0.975)
    rate, share = successes / trials, z * z / trials
    half = z * math.sqrt(rate * (1 - rate) / trials + share / (4 * trials))
    low, high = ((rate + share / 2 + side) / (1 + share) for side in (-half, half))
    return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)
