"""Many points in chunks: compiled once, shown as they come, kept as they come."""

import math
import time
import weakref
from typing import Any

import numpy as np

from keras_valleys._backend import compiles_each_shape
from keras_valleys._progress import Progress
from keras_valleys.objectives import Objective
from keras_valleys.surfaces.executors import gather, num_chunks, packed

MOST = 2**22  # coefficients in one call
QUICK = 1e7  # weights times rows times points that take less time than to find out how much
FIRST = 1e9  # of the same in the first chunk, which pays for the compilation
SECONDS = 0.5  # that a chunk takes
AT_ONCE = 1.0  # seconds of work that are not worth dividing
NUM_TRIED = 16  # points, to find out what one takes
WORTH = 0.01  # seconds beside which a call itself takes none: longer ones are not worth compiling
# What is known of objectives, by number of axes: what is compiled for one surface serves the next.
PACES: "weakref.WeakKeyDictionary[Any, dict[int, Pace]]" = weakref.WeakKeyDictionary()


class Sampler:
    """The losses of an objective on a line or plane, for any number of points.

    Args:
        objective: An `Objective`, or what has its `size` and `along`.
        directions: Array of shape `(K, P)`.
        origin: Array of shape `(P,)`.
        checkpoint: A `Checkpoint`, which keeps the losses.
        verbose: "auto", 0 or 1.
        executor: A `concurrent.futures.Executor`, or `None`.
        note: What is to be known of the losses, said once where progress is shown.
    """

    def __init__(self, objective, directions, origin, *, checkpoint, verbose, executor, note=""):
        self._objective, self._directions, self._origin = objective, directions, origin
        self._checkpoint, self._verbose = checkpoint, verbose
        self._executor, self._note = executor, note
        self._blob = packed(objective, directions, origin) if executor is not None else None
        self._pace = pace_of(objective, len(directions))

    def __call__(self, rows_of, num):
        """The losses of `num` points; `rows_of(indices)` are their coefficients."""
        pending = self._checkpoint.begin(num)
        progress = Progress(self._verbose, len(pending), num, note=self._note)
        self._verbose = self._verbose and "auto"  # many small calls may follow, as in refinement
        try:
            if self._executor is not None and len(pending):
                pending = self._elsewhere(rows_of, pending, progress)
            self._here(rows_of, pending, progress)
        finally:  # what is finished outlives an error, and Ctrl-C
            self._checkpoint.write()
        self._note = progress.note
        return self._checkpoint.losses()

    def _here(self, rows_of, pending, progress):
        pace, start = self._pace, 0
        while start < len(pending):
            size = pace.next_size(len(pending) - start)
            part = pending[start : start + size]
            rows = pace.padded(rows_of(part), size)
            begin = time.perf_counter()
            losses = _floating(self._objective.along(rows, self._directions, self._origin))
            losses = losses[: len(part)]
            pace.took(len(rows), time.perf_counter() - begin)
            self._checkpoint.put(part, losses)
            start += len(part)
            progress.add(len(part), pace.seconds)

    def _elsewhere(self, rows_of, pending, progress):
        size = self._pace.share(len(pending), num_chunks(self._executor))
        parts = [pending[start : start + size] for start in range(0, len(pending), size)]
        chunks = [(k, self._pace.padded(rows_of(part), size)) for k, part in enumerate(parts)]
        begin = time.perf_counter()

        def take(k, losses):
            self._checkpoint.put(parts[k], _floating(losses)[: len(parts[k])])
            passed = time.perf_counter() - begin
            progress.add(len(parts[k]), passed / (progress.done + len(parts[k])))

        lost = gather(self._executor, self._blob, chunks, take)
        if lost:
            self._executor = None  # the next points are not sent into a broken pool
        return np.concatenate([np.empty(0, int), *(parts[k] for k in sorted(lost))])


class Pace:
    """How many points go into the next call.

    Points must not be regrouped where the objective runs groups of them side by side, and JAX
    compiles anew for each number of rows.
    """

    def __init__(self, objective, num_axes):
        self.seconds = None  # for one point
        self._group = getattr(objective, "group", 1)
        self._streams = getattr(objective, "streams", False)
        self._point = objective.size * getattr(objective, "num_rows", 1)
        self._most = max(MOST // num_axes // self._group, 1) * self._group
        self._compiles = compiles_each_shape() and self._group == 1
        self._first = self._first_seconds = self._slowest = self._waste = None
        self._seen = set()

    def next_size(self, remaining):
        """Number of rows of the next call; more than remain where a compiled size is at hand."""
        if self._streams:  # each call reads the data anew
            return min(remaining, self._most)
        if self._first is None:
            self._first = self._grouped(self._guess(remaining))
            return self._first
        if self.seconds is None:  # the first call was compiled: one more tells the time
            quick = not self._compiles and remaining * self._slowest < AT_ONCE
            size = min(remaining, self._most) if quick else self._first
            return size if self._compiles else min(size, remaining)
        at_once = remaining * self.seconds < AT_ONCE
        size = remaining if at_once else SECONDS / max(self.seconds, 1e-9)
        size = min(self._grouped(size), remaining)
        return self._compiled_size(min(size, self._most)) if self._compiles else size

    def took(self, num, seconds):
        """Note the time of a call."""
        again = num in self._seen if self._compiles else bool(self._seen)
        self._seen.add(num)
        if not again:
            if self._first_seconds is None:
                self._first_seconds, self._slowest = seconds, seconds / num
            return
        self.seconds = seconds / num
        if self._waste is None:
            self._waste = max(self._first_seconds - self.seconds * self._first, 0.1)

    def padded(self, rows, size):
        """Rows for JAX, the last one repeated up to a number of rows that is compiled."""
        if not self._compiles or len(rows) == size:
            return rows
        return np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])

    def share(self, num, parts):
        """Number of rows of each of about so many calls."""
        size = min(self._grouped(num / parts), self._most)
        return 2 ** math.ceil(math.log2(size)) if self._compiles and size < self._most else size

    def _guess(self, remaining):
        work = self._point * remaining
        if work <= QUICK and remaining <= 2048:
            return remaining
        size = max(min(int(FIRST // self._point), math.ceil(remaining / 4)), 2)
        return min(size, remaining, self._most)

    def _grouped(self, size):
        groups = max(math.ceil(size / self._group), 1)
        return min(groups * self._group, self._most)

    def _compiled_size(self, size):
        """A number of rows that is compiled, or the one that serves best when it will be."""
        above = [n for n in self._seen if n >= size and (n - size) * self.seconds <= self._waste]
        below = [n for n in self._seen if n < size and (size <= 4 * n or n * self.seconds > WORTH)]
        if above or below:
            return min(above) if above else max(below)
        power = max(2 ** math.ceil(math.log2(size)), 8)
        if (power - size) * self.seconds > self._waste or power > self._most:
            power = 2 ** math.floor(math.log2(size))
        return power


def pace_of(objective, num_axes):
    """The `Pace` of an objective on lines or planes."""
    return PACES.setdefault(objective, {}).setdefault(num_axes, Pace(objective, num_axes))


def seconds_per_point(objective: Objective) -> float:
    """What a point of the objective's surface takes, from two calls; the first one compiles.

    They are of a size that `evaluate` will use, and of points that are all the present weights.

    Args:
        objective: An `Objective`.

    Returns:
        Seconds.
    """
    point = objective.point()
    _at_present(objective, point, NUM_TRIED)
    _, num, seconds = _at_present(objective, point, NUM_TRIED)
    return seconds / num


def loss_at(objective: Objective, weights: np.ndarray) -> float:
    """The loss at a weight vector, by the function that samples its surfaces.

    Another one would have to be compiled first.

    Args:
        objective: An `Objective`.
        weights: Array of shape `(P,)`.
    """
    loss, _, _ = _at_present(objective, weights, 1)
    return loss


def _at_present(objective, weights, wanted):
    """The loss at a weight vector, at how many points it was found, and the seconds of it."""
    num_axes = min(objective.size, 2)
    pace, directions = pace_of(objective, num_axes), np.zeros((num_axes, objective.size))
    num = pace.next_size(wanted)
    begin = time.perf_counter()
    losses = objective.along(np.zeros((num, num_axes)), directions, weights)
    seconds = time.perf_counter() - begin
    pace.took(num, seconds)
    return float(losses[0]), num, seconds


def _floating(losses):
    losses = np.asarray(losses)
    return losses if losses.dtype.kind == "f" else losses.astype("float64")
