"""Data of which some rows are enough: read once, and cut to as many as there is time for."""

import contextlib
import itertools
import random
import sys
from typing import Any

import keras
import numpy as np

from keras_valleys._arrays import num_bytes
from keras_valleys._checks import refusal
from keras_valleys.objectives.data import Batches, as_batches, is_dataset, rows_of, same_batches
from keras_valleys.objectives.objective import Objective

MOST_ROWS, MOST_BYTES = 2**14, 2**28  # that are read of a data set
NUM_COMPARED = 2  # batches that are read twice


class SomeRows:
    """Data as `Objective` takes them, for objectives on as many of their rows as are asked for.

    Args:
        owner: Name of the class that has them, for the error messages.
        data: A tuple or list `(x, y)` or `(x, y, sample_weight)` of arrays, an array `x` alone or a
            tuple of it, a data set, or an `Objective`, which is taken as it is.

    Attributes:
        num_rows: Number of all rows; `None` of a data set that goes on behind what is read of it.
        is_whole: Whether they are an `Objective`, from which no rows are taken.

    Raises:
        ValueError: They are none, as for `Objective`.
    """

    num_rows: int | None

    def __init__(self, owner: str, data: Any) -> None:
        self._given: Any = data if isinstance(data, Objective) else None
        self._arrays: Any = None
        self._batches: list = []
        if self._given is not None:
            self.num_rows = self._given.num_rows
            return
        parts = data if isinstance(data, tuple) or _is_pair(data) else (data,)
        if not 1 <= len(parts) <= 3:
            raise refusal(
                owner,
                "data of (x, y) or (x, y, sample_weight), a data set, or an Objective",
                f"a tuple of {len(parts)}",
                "Use data=(x, y).",
            )
        if is_dataset(parts[0]) and all(part is None for part in parts[1:]):
            self._read(parts[0])
        else:
            batches = Batches(*parts)
            self._arrays, self.num_rows = batches.arrays, batches.num_rows

    @property
    def is_whole(self) -> bool:
        return self._given is not None

    def objective(self, model: keras.Model, most_rows: int, statistics: str) -> Objective:
        """An `Objective` on at most so many evenly spaced rows, or the first of a data set.

        Args:
            model: A built and compiled model.
            most_rows: At least 1; the batches of a data set are taken whole.
            statistics: As for `Objective`.
        """
        if self._given is not None:
            return self._given
        if self._arrays is None:
            counts = np.cumsum([rows_of(batch) for batch in self._batches])
            number = int(np.searchsorted(counts, most_rows)) + 1
            return Objective(model, FirstBatches(self._batches[:number]), statistics=statistics)
        total = int(self.num_rows or 0)
        rows = np.linspace(0, total - 1, min(most_rows, total)).round().astype(int)
        few = self._arrays
        if len(rows) < total:
            few = keras.tree.map_structure(lambda a: None if a is None else a[rows], few)
        return Objective(model, *few, statistics=statistics)

    def _read(self, dataset):
        """The first batches of a data set, which must be the same on a second pass."""
        size = count = 0
        self.num_rows = None
        with random_numbers_kept():
            passes = as_batches(dataset)
            for batch in passes:
                self._batches.append(batch)
                count += rows_of(batch)
                size += sum(num_bytes(a) for a in keras.tree.flatten(batch) if a is not None)
                if count >= MOST_ROWS or size >= MOST_BYTES:
                    break
            else:
                self.num_rows = count
            again = itertools.islice(as_batches(dataset), NUM_COMPARED)
            same_batches(self._batches[:NUM_COMPARED], list(again))


def _is_pair(data):
    """Whether it is a list [x, y] or [x, y, sample_weight] where a tuple is meant."""
    structures = (dict, list, tuple)
    return (
        isinstance(data, list)
        and len(data) in (2, 3)
        and all(hasattr(part, "shape") or isinstance(part, structures) for part in data)
        and not all(isinstance(part, list) for part in data)  # numbers in nested lists
    )


class FirstBatches(keras.utils.PyDataset):
    """Batches that were read, as a data set."""

    def __init__(self, batches):
        super().__init__()
        self._batches = batches

    @property
    def num_batches(self):
        return len(self._batches)

    def __getitem__(self, index):
        return tuple(self._batches[index])


@contextlib.contextmanager
def random_numbers_kept():
    """Leave the global random numbers, which data sets may draw from, as they were.

    A DataLoader of torch draws one each time it is read.
    """
    torch = sys.modules.get("torch")
    # The old global numbers of NumPy are what other code draws from.
    before, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    state = None if torch is None else torch.random.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numbers)  # noqa: NPY002
        if torch is not None:
            torch.random.set_rng_state(state)
