"""The rows of a path in memory, of which there is only so much."""

import dataclasses
from typing import Any

import numpy as np

from keras_valleys._checks import check_number
from keras_valleys.callbacks.steps import Row

# Every third row stays: of what swings to and fro every second one would show one side only.
THINNED = 3
LEAST_ROWS = 9  # that stay, however large they are
SHARE = 0.1  # of the memory that is free
UNKNOWN = 2**32  # bytes, where the system does not tell


class KeptRows:
    """Rows within a bound of bytes: where they would take more, only every third one stays.

    Args:
        owner: Name of the class that keeps them, for the error message.
        memory: Bytes; `None` is a tenth of what is free when the first row comes.
    """

    def __init__(self, owner: str, memory: float | None = None) -> None:
        check_memory(owner, memory)
        self.memory: Any = memory
        self.stride = 1  # of the steps that stay
        self.rows: list[Row] = []
        self.pinned: set[int] = set()  # steps that stay whatever comes
        self._first: int | None = None  # the first step, which stays as well
        self._jumped = False  # whether no step led to a row that was left out after the last one
        self._known: list[Row] = []
        self._whole = np.empty((0, 0))  # the weights of these

    def add(self, row: Row) -> bool:
        """Keep a row, or leave it out; whether from now on fewer are kept.

        One with the step of the last takes its place: where a fit ended, the next one begins.
        """
        self._first = row.step if self._first is None else self._first
        if self.rows and self.rows[-1].step == row.step:
            del self.rows[-1]
        kept, self._jumped = self._those_that_stay([row], self._jumped)
        self.rows += kept
        return bool(kept) and self._make_room()

    def stacked(self, ahead: list[Row]) -> np.ndarray:
        """The weights of all rows and of those ahead, shape `(n, P)`, which nobody writes to.

        The rows become views of it, so that there is one copy; asked again it is the same array.
        """
        rows = [*self.rows, *ahead]
        if list(map(id, rows)) != list(map(id, self._known)):
            whole = np.stack([row.weights for row in rows]) if rows else np.empty((0, 0))
            whole.setflags(write=False)
            for row, weights in zip(rows, whole, strict=True):
                row.weights = weights
            self._known, self._whole = rows, whole
        return self._whole

    def _those_that_stay(self, rows, jumped=False):
        """These, and whether no step led to one that was left out after the last of them."""
        kept = []
        for row in rows:
            jumped = jumped or row.no_step
            stays = row.step % self.stride == 0 or row.step in self.pinned
            if stays or row.step == self._first:
                if jumped and not row.no_step:
                    row = dataclasses.replace(row, no_step=True)
                kept.append(row)
                jumped = False
        return kept, jumped

    def _make_room(self):
        if self.memory is None:
            self.memory = SHARE * free_memory()
        size = self.rows[-1].weights.nbytes + self.rows[-1].statistics.nbytes
        before = self.stride
        while len(self.rows) > max(LEAST_ROWS, self.memory / size):
            self.stride *= THINNED
            last = self.rows[-1].step
            self.rows, self._jumped = self._those_that_stay(self.rows)
            if self.stride > last:  # nothing more to leave out
                break
        if self.stride > before and self._known:  # else the views would hold what is left out
            for row in self.rows:
                row.weights = row.weights.copy()
            self._known, self._whole = [], np.empty((0, 0))
        return self.stride > before


def check_memory(owner: str, memory: float | None) -> None:
    """Refuse what is no number of bytes."""
    if memory is not None:
        remedy = "Use memory=2**30, or None for a tenth of what is free."
        check_number(owner, "a number of bytes > 0", remedy, above=0, memory=memory)


def free_memory() -> float:
    """Bytes that new arrays may take, where the system tells it."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            (line,) = [line for line in file if line.startswith("MemAvailable:")]
        return 1024.0 * int(line.split()[1])
    except (OSError, ValueError):
        return UNKNOWN
