"""Data as batches that can be read again and again, and are the same each time."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._arrays import (
    as_arrays,
    as_tensor,
    grows,
    is_array,
    num_bytes,
    size_and_places,
    update_digest,
)
from keras_valleys._checks import refusal

KEPT_BYTES = 2**28  # data sets up to this size are read once and kept
BATCH_BYTES = 2**24  # of inputs in a batch, where the user leaves its size open
NUM_COMPARED = 3  # batches of a larger data set that are read twice at once

# An array, a structure of arrays, or a data set of batches.
Data: TypeAlias = ArrayLike | Mapping[str, ArrayLike] | keras.utils.PyDataset | Iterable[Any]


class Batches:
    """The batches `(x, y, sample_weight)` of arrays or of a data set, as NumPy arrays.

    Attributes:
        num_rows: Number of rows in all batches.
        num_batches: Number of batches.
        most_rows: Number of rows in the largest batch.
        fingerprint: Digest of all the data.
        kept: The batches, or `None` where they are read from the data set at each pass.
        arrays: The arrays that the batches were cut from, or `None`.
    """

    def __init__(self, x, y=None, sample_weight=None, class_weight=None, batch_size=None):
        self._class_weight = class_weight
        self.kept: list | None = None
        self.arrays: list | None = None
        self._dataset: Any = None
        if sample_weight is not None and class_weight is not None:
            raise _error(
                "`sample_weight` or `class_weight`", "both", "Multiply the sample weights yourself"
            )
        if is_dataset(x):
            if y is not None or sample_weight is not None or batch_size is not None:
                raise _error(
                    "a data set alone: it gives targets, weights and batches itself",
                    f"a {type(x).__name__} and y, sample_weight or batch_size",
                    "Put them into the data set",
                )
            self._dataset = x
            self._read_dataset()
        else:
            self.arrays = arrays = _as_batch(x, y, sample_weight)
            self._cut_arrays(arrays, batch_size)
        digest = hashlib.blake2b("".join(self._digests).encode(), digest_size=16)
        self.fingerprint = digest.hexdigest()

    def __iter__(self):
        """One pass over the batches, which must be those of the first pass."""
        if self.kept is not None:
            yield from self.kept
            return
        digests = iter(self._digests)
        for batch in self._pass():
            if _digest(batch) != next(digests, None):
                raise _differs()
            yield batch
        if next(digests, None) is not None:
            raise _differs()

    def _cut_arrays(self, arrays, batch_size):
        leaves = [a for a in keras.tree.flatten(arrays) if a is not None]
        lengths = [a.shape[0] if a.shape else None for a in leaves]
        if len(set(lengths)) > 1 or not lengths or not lengths[0]:
            raise _error(
                "`x`, `y` and `sample_weight` to be arrays, or lists or dicts of arrays, of one "
                "length >= 1",
                f"arrays of the lengths {lengths}",
                "Pass the arrays that you pass to `model.evaluate`",
            )
        self.num_rows = lengths[0]
        if batch_size is None:
            row_bytes = sum(map(num_bytes, keras.tree.flatten(arrays[0]))) / self.num_rows
            parts = -(-self.num_rows * row_bytes // BATCH_BYTES)
            batch_size = -(-self.num_rows // max(int(parts), 1))
        elif isinstance(batch_size, bool) or int(batch_size) != batch_size or batch_size < 1:
            raise _error("`batch_size` >= 1", f"batch_size={batch_size!r}", "Use batch_size=32")
        starts = range(0, self.num_rows, int(batch_size))
        self.kept = [self._weigh(_cut(arrays, s, s + int(batch_size))) for s in starts]
        self.num_batches = len(self.kept)
        self.most_rows = min(int(batch_size), self.num_rows)
        self._digests = [_digest(batch) for batch in self.kept]

    def _read_dataset(self):
        self._digests, size = [], 0
        self.num_rows = self.most_rows = 0
        kept: list | None = []
        for batch in self._pass():
            self._digests.append(_digest(batch))
            rows = rows_of(batch)
            self.num_rows, self.most_rows = self.num_rows + rows, max(self.most_rows, rows)
            size += sum(num_bytes(a) for a in keras.tree.flatten(batch) if a is not None)
            kept = [*kept, batch] if kept is not None and size <= KEPT_BYTES else None
        self.num_batches = len(self._digests)
        if not self.num_rows:
            raise _error("data", f"an empty {type(self._dataset).__name__}", "Check its source")
        again = itertools.islice(self._pass(), None if kept else NUM_COMPARED)
        digests = [_digest(batch) for batch in again]
        if digests != self._digests[: len(digests)] or (kept and len(digests) < len(kept)):
            raise _differs()
        self.kept = kept

    def _pass(self):
        return map(self._weigh, as_batches(self._dataset))

    def _weigh(self, batch):
        x, y, sample_weight = batch
        if self._class_weight is not None:
            sample_weight = _class_weights(y, self._class_weight)
        return [x, y, sample_weight]


def as_batches(dataset):
    """The batches `[x, y, sample_weight]` of a data set, as NumPy arrays, one after the other."""
    if isinstance(dataset, keras.utils.PyDataset):
        dataset = map(dataset.__getitem__, range(dataset.num_batches))
    for batch in dataset:
        parts = keras.utils.unpack_x_y_sample_weight(_as_tuple(batch))
        yield _as_batch(*parts, are_batches=True)


def same_batches(batches, again):
    """Refuse batches that are others on the second pass, and data without any."""
    if not batches:
        raise _error("data", "an empty data set", "Check its source")
    if list(map(_digest, batches)) != list(map(_digest, again)):
        raise _differs()


def widens(batch):
    """Whether the tensors of a batch take much more memory than the batch."""
    return any(grows(array) for array in keras.tree.flatten(batch))


def rows_of(batch):
    """The number of rows of a batch."""
    return int(keras.tree.flatten(batch[0])[0].shape[0])


def average(parts, num_rows):
    """The mean of arrays over batches.

    Args:
        parts: Pairs of a number of rows and an array or a structure of arrays.
        num_rows: Number of rows of all parts.
    """
    total = None
    for rows, part in parts:
        if rows == num_rows:
            return part
        dtypes = keras.tree.map_structure(lambda a: a.dtype, part)
        part = keras.tree.map_structure(lambda a, n=rows: n / num_rows * a.astype("float64"), part)
        total = part if total is None else keras.tree.map_structure(np.add, total, part)
    return keras.tree.map_structure(lambda a, dtype: a.astype(dtype), total, dtypes)


def count_values(x, shapes):
    """Roughly how many values a model with weights of these shapes makes of a batch."""
    found = [size_and_places(array) for array in keras.tree.flatten(x)]
    num_places = sum(places for _, places in found)
    return sum(size for size, _ in found) + num_places * sum(s[-1] if s else 1 for s in shapes)


def as_tensors(batch):
    """A batch as the model gets it."""
    return keras.tree.map_structure(lambda a: None if a is None else as_tensor(a), batch)


def is_dataset(x):
    """Whether these are batches and no arrays; those without an end are refused."""
    if isinstance(x, keras.utils.PyDataset):
        if x.num_batches is None:
            raise _error("a finite data set", "a PyDataset without an end", "Give it a length")
        return True
    if hasattr(x, "__next__"):
        raise _error(
            "data that can be read more than once",
            f"a {type(x).__name__}, which is used up by one pass",
            "Pass arrays, a tf.data.Dataset, a DataLoader or a PyDataset",
        )
    if hasattr(x, "element_spec"):  # a tf.data.Dataset
        if int(x.cardinality()) == -1:
            raise _error("a finite data set", "one that repeats for ever", "Leave out `repeat()`")
        return True
    # A torch DataLoader and its like: read by a loop, but neither an array nor a structure of them.
    plain = isinstance(x, list | tuple | dict | str | bytes) or is_array(x)
    return not plain and hasattr(x, "__iter__")


def _as_batch(x, y, sample_weight, *, are_batches=False):
    parts = {"x": x, "y": y, "sample_weight": sample_weight}
    return [as_arrays("Objective", *part, are_batches=are_batches) for part in parts.items()]


def _as_tuple(batch):
    return tuple(batch) if isinstance(batch, list) else batch  # as a DataLoader gives it


def _class_weights(y, class_weight):
    if not isinstance(class_weight, dict) or not isinstance(y, np.ndarray):
        raise _error(
            "`class_weight` to be a dictionary of classes to weights, for a model of one output",
            f"class_weight={class_weight!r}, targets of {type(y).__name__}",
            "Use `sample_weight`",
        )
    if y.ndim > 1:
        y = y[..., 0] if y.shape[-1] == 1 else y.argmax(axis=-1)
    classes, rows = np.unique(np.round(y).astype("int64"), return_inverse=True)
    weights = [class_weight.get(int(one), 1.0) for one in classes]
    return np.asarray(weights, keras.config.floatx())[rows.reshape(y.shape)]


def _cut(arrays, start, stop):
    return keras.tree.map_structure(lambda a: None if a is None else a[start:stop], arrays)


def _digest(batch):
    digest = hashlib.blake2b(digest_size=16)
    for array in keras.tree.flatten(batch):
        if array is None:
            digest.update(b"none")
        else:
            update_digest(digest, array)
    return digest.hexdigest()


def _differs():
    return _error(
        "data that are the same at every pass: a surface compares losses on equal data",
        "a data set that gave other batches on the second pass",
        "Leave out shuffling and augmentation, or pass arrays",
    )


def _error(expected, received, remedy):
    return refusal(
        "Objective",
        expected,
        received,
        f"{remedy}.",
    )
