"""Optimizers from the same starts, over the same batches."""

import dataclasses
import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._arrays import as_arrays, as_tensor
from keras_valleys._backend import backend_version
from keras_valleys._checks import (
    as_numbers,
    check_number,
    check_whole,
    is_whole,
    refusal,
    shortened,
)
from keras_valleys._optimizers import Candidate, OptimizerLike, as_candidates
from keras_valleys._progress import Progress, check_verbose
from keras_valleys._weights import flatten
from keras_valleys.comparisons.bench import Bench
from keras_valleys.comparisons.reports import publish
from keras_valleys.comparisons.results import Comparison, assembled
from keras_valleys.comparisons.run_files import RunFiles, folder_name
from keras_valleys.surfaces import Surface
from keras_valleys.valleys import Valleys, check_persistence, find_valleys

MOST = 10**6  # starts, seeds or learning rates that can be asked for by their number
Arrays: TypeAlias = ArrayLike | Mapping[str, ArrayLike] | Sequence[Any]


def compare(
    build_model: Callable[[], keras.Model],
    optimizers: Mapping[str, OptimizerLike] | Sequence[OptimizerLike] | OptimizerLike,
    x: Arrays,
    y: Arrays,
    steps: int,
    batch_size: int | None = None,
    *,
    seeds: int | Iterable[int] = (0,),
    starts: ArrayLike | int | None = None,
    surface: Surface | Valleys | None = None,
    persistence: float | None = None,
    log_dir: str | os.PathLike[str] | None = None,
    tune: int | Iterable[float] | None = None,
    tolerance: float = 0.01,
    every: int = 1,
    verbose: Literal["auto", 0, 1] = "auto",
) -> Comparison:
    """Let several optimizers walk from the same starts, over the same batches in the same order.

    Each run is one `model.fit` with an optimizer of its own. Before it, all that the model holds is
    put back: weights, BatchNorm's statistics, and the states of random layers, which the run's seed
    sets. So neither the order of the optimizers nor their number changes a row, and the same call
    gives the same rows, bit for bit, on one backend. A run that fails or diverges stays in the
    table with its reason.

    All losses of the table are true: of all rows of data in evaluation mode, measured after each
    run at each recorded step; those of batches, as recorded, are too noisy to compare.

    A run succeeds where it ends in the best valley, or in one whose floor is within the tolerance
    of the best one's. Where the surface is lowest at its border, that basin takes the place of the
    best valley, and the table says so. The floor that `steps_to_floor` counts to is that of the
    valley the run ends in, reached within this valley. Without a surface a run succeeds where its
    final loss is within the tolerance of the lowest final loss of all runs, and that is the floor.

    Args:
        build_model: Function without arguments that returns a Keras model, compiled with a loss.
            It is called once. The model's own optimizer is not used.
        optimizers: Dictionary of labels to optimizers: names, classes, instances, configs, or
            functions without arguments that return a new one; or a list of these, or one. Each run
            gets a new copy, instances by their `get_config`. In a list those of the same name are
            told apart by their learning rates, and by a number where these are equal as well.
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
            the `keras_valleys.valleys.Valleys` of it. For larger models the valleys are those that
            the path's projection on the surface is in.
        persistence: As for `keras_valleys.valleys.find_valleys`, where `surface` is a `Surface`.
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
    # A list of rates takes the place of their own.
    own_rates = tune is None or is_whole(tune)
    candidates = as_candidates("compare", optimizers=optimizers, with_rates=own_rates)
    seeds = as_seeds(seeds)
    check_numbers(steps=steps, every=every, tolerance=tolerance)
    _check_persistence(surface, persistence)
    check_verbose(verbose, "compare")
    rates = rates_to_try(candidates, tune)
    bench = Bench(built(build_model, x), x, y, steps, batch_size=batch_size, every=every)
    try:
        valleys = as_valleys(surface, bench.objective.size, persistence)
        points = Starts(starts, bench, build_model, x)
        files = RunFiles(log_dir)
        jobs = plan(bench, candidates, rates, points=points.found(files), seeds=seeds)
        fits = do(jobs, bench, files, valleys=valleys, verbose=verbose)
    finally:
        bench.close()
    comparison = assembled(
        jobs,
        fits,
        valleys,
        tolerance,
        is_random=bench.is_random,
        tuned=tune is not None,
    )
    if files.log_dir is not None:
        publish(comparison, files, [job.digest for job in jobs])
    return comparison


@dataclasses.dataclass(frozen=True)
class Job:
    """One fit to be made.

    Attributes:
        candidate: The optimizer.
        rate: Learning rate to set, or `None` for the optimizer's own.
        start: Number of the start.
        seed: Seed of the batches and of random layers.
        point: Flat weight vector to start from.
        digest: Text that differs where the outcome does; `None` where that is not known.
        shown_rate: The learning rate in print.
    """

    candidate: Candidate
    rate: float | None
    start: int
    seed: int
    point: np.ndarray
    digest: str | None
    shown_rate: float | str | None

    @property
    def hparams(self):
        """What TensorBoard lists of the run."""
        rate = {} if self.shown_rate is None else {"learning_rate": self.shown_rate}
        return {"optimizer": self.candidate.label, **rate, "start": self.start, "seed": self.seed}

    @property
    def folder(self):
        """Name of the run's folder."""
        rate = self.shown_rate
        shown = f"{rate:g}" if isinstance(rate, float) else rate or "no rate"
        return folder_name(self.candidate.label, shown, f"start{self.start}", f"seed{self.seed}")


def plan(bench, candidates, rates, *, points, seeds):
    """The jobs, those of one optimizer together, so that it is compiled once."""
    facts = [bench.identity(), keras.__version__, backend_version()]
    jobs = []
    for candidate, tried in zip(candidates, rates, strict=True):
        own = candidate.rate()
        for rate in tried:
            identity = candidate.identity(rate)
            shown = own if rate is None else rate
            for start, point in enumerate(points):
                for seed in seeds:
                    digest = None
                    if identity is not None:
                        digest = _digest(point, identity, seed, *facts)
                    jobs.append(Job(candidate, rate, start, seed, point, digest, shown))
    return jobs


def _digest(point, *facts):
    digest = hashlib.sha256(np.ascontiguousarray(point).tobytes())
    digest.update(repr(facts).encode())
    return digest.hexdigest()


def rates_to_try(candidates, tune):
    """The learning rates of each candidate: its own, the given ones, or some around its own."""
    if tune is None:
        return [[None]] * len(candidates)
    own = [candidate.rate() for candidate in candidates]
    unfit = [
        candidate.label
        for candidate, rate in zip(candidates, own, strict=True)
        if not isinstance(rate, float) and candidate.identity(None) is not None
    ]
    if unfit:
        raise refusal(
            "compare",
            "optimizers with a number as learning rate where they are tuned",
            f"{unfit}, with a schedule or without a learning rate",
            "Use tune=None, or give them a number.",
        )
    if is_whole(tune) and 1 <= tune <= MOST:
        powers = (np.arange(tune) - tune // 2) / 2
        tried = [[float(f"{rate * 10**p:.4g}") for p in powers] if rate else [None] for rate in own]
        return [
            [rate if p == 0 else r for r, p in zip(row, powers, strict=True)] if rate else row
            for row, rate in zip(tried, own, strict=True)
        ]
    try:
        given = [float(rate) for rate in tune]
    except (TypeError, ValueError, OverflowError):
        given = []
    if not given or not all(0 < rate < math.inf for rate in given) or len(set(given)) < len(given):
        raise refusal(
            "compare",
            "`tune` to be a list of different learning rates > 0, the number of rates to try for "
            "each optimizer, or None",
            {"tune": tune},
            "Use tune=[0.001, 0.01, 0.1].",
        )
    return [sorted(given)] * len(candidates)


def do(jobs, bench, files, *, valleys, verbose):
    """The fits of the jobs, in their order."""
    from keras_valleys.callbacks import SurfaceBoard

    found = {
        job.digest: files.find(job.digest, job.point.size) for job in jobs if job.digest is not None
    }
    done = [found.get(job.digest) for job in jobs]
    pending = [k for k, one in enumerate(done) if one is None]
    progress = Progress(verbose, len(pending), len(jobs), unit="run", where="in log_dir")
    begin = time.perf_counter()
    for count, k in enumerate(pending, 1):
        job, board = jobs[k], None
        if files.log_dir is not None:
            board = SurfaceBoard(
                files.log_dir / job.folder,
                None if valleys is None else valleys.surface,
                images=0,
                hparams=job.hparams,
                objective=bench.objective,
                valleys=valleys,
            )
        fit = bench.fit(job, board=board)
        if not fit.error:  # what failed is tried again
            files.keep(fit, job.digest, job.hparams)
        done[k] = fit
        progress.add(1, (time.perf_counter() - begin) / count)
    return done


def built(build_model, x):
    """The model that a function returns, with its weights."""
    if not callable(build_model) or isinstance(build_model, keras.layers.Layer):
        raise refusal(
            "compare",
            "`build_model` to be a function that returns a compiled Keras model",
            shortened(build_model),
            "Use a function that builds and compiles the model.",
        )
    model = build_model()
    if not isinstance(model, keras.Model):
        raise refusal(
            "compare",
            "`build_model` to return a compiled Keras model",
            shortened(model),
            "End the function with `return model`.",
        )
    if not model.built:
        few = keras.tree.map_structure(lambda a: as_tensor(a[:1]), as_arrays("compare", "x", x))
        model(few)
    return model


class Starts:
    """The flat weight vectors that runs start from.

    Args:
        given: Array, number, or `None`.
        bench: The `Bench`, whose model has its initial weights.
        build_model: Function that returns such a model.
        x: The inputs, to build a model with.
    """

    def __init__(self, given, bench, build_model, x):
        self._bench, self._build_model, self._x = bench, build_model, x
        size = bench.objective.size
        self._count: int | None = None
        if given is None or (is_whole(given) and 1 <= given <= MOST):
            self._count = 1 if given is None else int(given)
            self._points = self._draw(bench.model)
        else:
            self._points = self._as_points(given, size)
        self._points = self._points.astype(bench.objective.dtype)
        if self._count and self._count > 1 and len(np.unique(self._points, axis=0)) < self._count:
            raise refusal(
                "compare",
                "`build_model` to give other weights at each call where `starts` is a number",
                f"starts={given}, and the same weights again",
                "Use initializers without a seed, or give the weights as an array.",
            )

    def found(self, files):
        """Array of shape `(S, P)`; of random ones those that were kept in the folder."""
        if self._count is None:
            return self._points
        name = f"{self._bench.objective.signature()[:8]}-{self._count}"
        return files.starts(name, self._points, self._draw)

    def _draw(self, first=None):
        points = [] if first is None else [flatten(first.trainable_variables)]
        while len(points) < (self._count or 0):
            points.append(flatten(built(self._build_model, self._x).trainable_variables))
        return np.stack(points)

    @staticmethod
    def _as_points(given, size):
        try:
            points = as_numbers("compare", starts=np.empty(0) if is_whole(given) else given)
        except ValueError:
            points = np.empty(0)
        if points.ndim == 1:
            points = points[:, None] if size == 1 else points[None]
        if points.ndim != 2 or not len(points) or points.shape[1] != size:
            raise refusal(
                "compare",
                f"`starts` to be weight vectors of shape (S, {size}), a number >= 1, or None",
                {"starts": given},
                "`Objective.point()` is such a vector.",
            )
        if not np.all(np.isfinite(points)):
            raise refusal(
                "compare",
                "finite `starts`",
                "numbers that are NaN or infinite",
                "Leave these starts out.",
            )
        return points


def as_seeds(seeds):
    """Different integers >= 0, as a list."""
    if is_whole(seeds) and 1 <= seeds <= MOST:
        return list(range(int(seeds)))
    try:
        found = np.asarray(list(seeds) if isinstance(seeds, Iterable) else seeds)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size or np.any(found < 0):
        found = np.zeros(2, int)
    if len(np.unique(found)) < len(found):
        raise refusal(
            "compare",
            "`seeds` to be different integers >= 0, or how many of them",
            {"seeds": seeds},
            "Use seeds=5 for 0 to 4.",
        )
    return [int(seed) for seed in found]


def check_numbers(*, steps, every, tolerance):
    """Refuse what is out of range."""
    for name, value in (("steps", steps), ("every", every)):
        check_whole("compare", 1, remedy=f"Use {name}=1 for the least.", **{name: value})
    wanted = "a number >= 0, in units of the loss"
    check_number("compare", wanted, "Use tolerance=0.01.", least=0, tolerance=tolerance)


def _check_persistence(surface, persistence):
    check_persistence("compare", persistence)
    if persistence is not None and not isinstance(surface, Surface):
        given = "no surface" if surface is None else "valleys that are found already"
        remedy = "Give it to `find_valleys`, or give the surface."
        raise refusal("compare", "`persistence` with a `Surface` only", given, remedy)


def as_valleys(surface, size, persistence=None):
    """The valleys of a surface over so many weights, of a `Surface` or its `Valleys`; or `None`."""
    if surface is None:
        return None
    valleys = surface
    if isinstance(surface, Surface):
        valleys = find_valleys(surface, persistence=persistence)
    if not isinstance(getattr(valleys, "surface", None), Surface) or not hasattr(valleys, "at"):
        raise refusal(
            "compare",
            "`surface` to be a `keras_valleys.surfaces.Surface`, the valleys of one, or None",
            type(surface).__name__,
            "Use `keras_valleys.surfaces.evaluate`.",
        )
    if valleys.surface.origin.size != size:
        raise refusal(
            "compare",
            f"a surface over the model's {size} trainable weights",
            f"one over {valleys.surface.origin.size}",
            "Evaluate the surface of this model.",
        )
    return valleys
