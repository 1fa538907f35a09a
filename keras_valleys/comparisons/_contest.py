"""The runs of a comparison: which there are, and doing those that are not done."""

import dataclasses
import hashlib
import math
import time

import keras
import numpy as np

from keras_valleys._backends import backend_version
from keras_valleys._sampling import Progress
from keras_valleys.comparisons._run_files import folder_name


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

    candidate: object
    rate: float | None
    start: int
    seed: int
    point: np.ndarray
    digest: str | None
    shown_rate: object

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
        raise ValueError(
            "`compare` expects optimizers with a number as learning rate where they are tuned. "
            f"Received: {unfit}, with a schedule or without a learning rate. "
            "Use tune=None, or give them a number."
        )
    if isinstance(tune, int | np.integer) and not isinstance(tune, bool) and tune >= 1:
        powers = (np.arange(tune) - tune // 2) / 2
        tried = [[float(f"{rate * 10**p:.4g}") for p in powers] if rate else [None] for rate in own]
        return [
            [rate if p == 0 else r for r, p in zip(row, powers, strict=True)] if rate else row
            for row, rate in zip(tried, own, strict=True)
        ]
    try:
        given = [float(rate) for rate in tune]
    except TypeError:
        given = []
    if not given or not all(0 < rate < math.inf for rate in given) or len(set(given)) < len(given):
        raise ValueError(
            "`compare` expects `tune` to be a list of different learning rates > 0, the number of "
            f"rates to try for each optimizer, or None. Received: tune={tune!r}. "
            "Use tune=[0.001, 0.01, 0.1]."
        )
    return [sorted(given)] * len(candidates)


def do(jobs, bench, files, *, surface, verbose):
    """The fits of the jobs in their order, and the folder of each."""
    from keras_valleys.callbacks import SurfaceBoard

    found = {job.digest: files.find(job.digest) for job in jobs if job.digest is not None}
    done = [found.get(job.digest) for job in jobs]
    pending = [k for k, one in enumerate(done) if one is None]
    progress = Progress(verbose, len(pending), len(jobs), unit="run", where="in log_dir")
    begin = time.perf_counter()
    for count, k in enumerate(pending, 1):
        job, board = jobs[k], None
        if files.log_dir is not None:
            board = SurfaceBoard(
                files.log_dir / job.folder, surface, images=0,
                hparams=job.hparams, objective=bench.objective,
            )  # fmt: skip
        fit = bench.fit(job.candidate, job.rate, job.point, job.seed, board=board)
        folder = None if board is None else board.log_dir
        if not fit.error:  # what failed is tried again
            files.keep(fit, folder, job.digest, job.hparams)
        done[k] = fit, folder
        progress.add(1, (time.perf_counter() - begin) / count)
    return done
