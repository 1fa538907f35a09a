"""A fair comparison of Keras optimizers: same starts, same batches, each a real `model.fit`."""

from keras_valleys._sampling import check_verbose
from keras_valleys.comparisons import _contest, _outcomes, _reports, _starts
from keras_valleys.comparisons._bench import Bench
from keras_valleys.comparisons._candidates import as_candidates
from keras_valleys.comparisons._run_files import RunFiles
from keras_valleys.comparisons.intervals import success_interval
from keras_valleys.comparisons.results import Comparison, Run, Summary


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
            the `keras_valleys.valleys.Valleys` of it. An axis named "phi" has the period pi. For
            larger models the valleys are those that the path's projection on the surface is in.
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
