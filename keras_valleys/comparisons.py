"""A fair comparison of Keras optimizers: same starts, same batches, each a real `model.fit`."""

import dataclasses
import math
import statistics

from keras_valleys import _contest, _outcomes, _reports, _starts
from keras_valleys._bench import Bench
from keras_valleys._candidates import as_candidates
from keras_valleys._run_files import RunFiles
from keras_valleys._sampling import check_verbose
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
    """What `compare` returns. `print(comparison)` shows it as a table.

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


def compare(
    build_model, optimizers, x, y, steps, batch_size=None, *, seeds=(0,), starts=None,
    surface=None, log_dir=None, tune=None, tolerance=0.01, every=1, verbose="auto",
):  # fmt: skip
    """Let several optimizers walk from the same starts, over the same batches in the same order.

    Each run is one `model.fit` with an optimizer of its own. Before it, all that the model holds is
    put back: weights, BatchNorm's statistics, and the states of random layers, which the run's seed
    sets. So neither the order of the optimizers nor their number changes a row, and the same call
    gives the same rows, bit for bit, on one backend. A run that fails or diverges stays in the
    table with its reason.

    All losses of the table are those of all rows of data in inference mode, measured after each
    run at each recorded step; batches are too noisy to compare.

    A run succeeds where it ends in the best valley, or in one whose floor is within the tolerance
    of the best one's. The floor that `steps_to_floor` counts to is that of the valley the run ends
    in, reached within this valley. Without a surface a run succeeds where its final loss is within
    the tolerance of the lowest final loss of all runs, and that is the floor.

    Args:
        build_model: Function without arguments that returns a Keras model, compiled with a loss.
            It is called once. The model's own optimizer is not used.
        optimizers: Dictionary of labels to optimizers: names, instances, configs, or functions
            without arguments that return a new one; or a list of these. Each run gets a new copy,
            instances and configs by their `get_config`.
        x: Array of N rows, or a dictionary or list of arrays.
        y: As `x`.
        steps: Number of updates of each run.
        batch_size: Rows of a step. `None` takes all; a smaller batch is drawn as
            `keras_valleys.datasets.repeat` draws it.
        seeds: Integers, or how many of them from 0 on. Each sets the order of the batches and the
            states of random layers, not the weights.
        starts: Flat weight vectors, shape `(S, P)`, or `(S,)` for a model of one weight. A number
            takes the weights that `build_model` gives when it is called as often. `None` takes
            those that it gives.
        surface: A `keras_valleys.surfaces.Surface` over all trainable weights, of the same data, or
            the `keras_valleys.valleys.Valleys` of it, where an axis is periodic. For larger models
            the valleys are those that the path's projection on the surface is in.
        log_dir: Folder for one TensorBoard run per fit with its `trajectory.npz`, and one of the
            comparison, with its pictures. Called again with the same arguments, also after it was
            killed, `compare` takes finished runs from there; those that failed are tried again.
            What an unfinished run left is not touched. Where `build_model` gives other random
            weights at each call, those of the first are kept there and used.
        tune: Learning rates to try for every optimizer; or a number of them, half powers of ten
            around each optimizer's own. The one with the lowest median of the final loss is taken.
            It is chosen on the very runs that are shown, which flatters all alike.
        tolerance: In units of the loss.
        every: Record and measure only every so many steps, for large models.
        verbose: 0 for silence, 1 for a progress bar, "auto" for one where it takes more than two
            seconds.

    Returns:
        A `Comparison`.

    Raises:
        ValueError: An argument is outside its range, or they do not fit together.
        OSError: `log_dir` cannot be written.

    Example:

    >>> def build_model():
    ...     model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    ...     model.compile(loss=keras_valleys.losses.RootError())
    ...     return model
    >>> (x, y), _ = keras_valleys.datasets.rosette()
    >>> optimizers = {"sgd": keras.optimizers.SGD(0.05), "adam": keras.optimizers.Adam(0.05)}
    >>> comparison = keras_valleys.comparisons.compare(build_model, optimizers, x, y, steps=20)
    >>> len(comparison.runs)
    2
    """
    candidates = as_candidates(optimizers)
    seeds = _starts.as_seeds(seeds)
    _starts.check_numbers(steps=steps, every=every, tolerance=tolerance)
    check_verbose(verbose, "compare")
    rates = _contest.rates_to_try(candidates, tune)
    bench = Bench(_starts.built(build_model, x), x, y, steps, batch_size=batch_size, every=every)
    try:
        valleys = _starts.as_valleys(surface, bench.objective.size)
        points = _starts.Starts(starts, bench, build_model, x)
        files = RunFiles(log_dir)
        jobs = _contest.plan(bench, candidates, rates, points=points.found(files), seeds=seeds)
        chart = None if valleys is None else valleys.surface
        fits = _contest.do(jobs, bench, files, surface=chart, verbose=verbose)
    finally:
        bench.close()
    comparison = _assemble(
        jobs, fits, valleys,
        tolerance=tolerance, is_random=bench.is_random, tuned=tune is not None,
    )  # fmt: skip
    if files.log_dir is not None:
        _reports.publish(comparison, files, [job.digest for job in jobs])
    return comparison


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


def _assemble(jobs, fits, valleys, *, tolerance, is_random, tuned):
    rows, chosen = _outcomes.rows(jobs, fits, valleys, tolerance)
    taken = [
        row for row, job in zip(rows, jobs, strict=True) if job.rate == chosen[row["optimizer"]]
    ]
    counted = taken if is_random else [row for row in taken if row["seed"] == jobs[0].seed]
    labels = dict.fromkeys(row["optimizer"] for row in taken)
    summaries = [_outcomes.summary(label, taken, counted) for label in labels]
    summaries = [
        Summary(**one, interval=success_interval(one["num_successes"], one["num_runs"]))
        for one in sorted(summaries, key=_outcomes.rank)
    ]
    ordered = _outcomes.in_order([summary.optimizer for summary in summaries])
    notes = _reports.notes(valleys, tolerance, tuned=tuned, is_random=is_random, rows=taken)
    return Comparison(
        tuple(Run(**row) for row in ordered(taken)), tuple(summaries),
        tuple(Run(**row) for row in ordered(rows)) if tuned else (), valleys, tolerance, notes,
    )  # fmt: skip
