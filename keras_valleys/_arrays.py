"""What `model.evaluate` takes as an array, as copies in NumPy: numbers, text, sparse and ragged."""

import dataclasses
import numbers

import keras
import numpy as np
from keras import ops

from keras_valleys import _backend
from keras_valleys._checks import refusal, shortened

MOST_SHOWN = 60  # characters of a list that is refused
PAD = (
    "Make rows of one length, as by `keras.utils.pad_sequences`, or, on TensorFlow, a "
    "`tf.RaggedTensor`."
)
UNKNOWN_TO_NUMPY = {"torch.bfloat16", "torch.float8_e4m3fn", "torch.float8_e5m2"}


@dataclasses.dataclass(frozen=True, eq=False)
class Sparse:
    """Rows of which only some numbers are given, and the others are 0.

    Attributes:
        places: Array of shape `(n, num_axes)`: where they are, in the order of the rows.
        values: Array of shape `(n,)`.
        shape: The shape of the whole, `(N, ...)`.
    """

    places: np.ndarray
    values: np.ndarray
    shape: tuple[int, ...]

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Some rows, by a slice or an array of their numbers."""
        rows = np.arange(len(self))[rows]
        begins = np.searchsorted(self.places[:, 0], rows)
        lengths = np.searchsorted(self.places[:, 0], rows, "right") - begins
        part = _ranges(begins, lengths)
        numbers = np.repeat(np.arange(len(rows)), lengths)
        places = np.column_stack([numbers, self.places[part, 1:]])
        return Sparse(places, self.values[part], (len(rows), *self.shape[1:]))

    @property
    def parts(self):
        """All that it holds, as arrays."""
        return self.places, self.values, np.array(self.shape)

    @property
    def num_values(self):
        """Number of numbers that a model sees."""
        return self.values.size if _backend.has_sparse() else int(np.prod(self.shape))

    def tensor(self):
        """As the model gets it: of a backend without sparse tensors, all numbers."""
        if _backend.has_sparse():
            return _backend.sparse_tensor(self.places, self.values, self.shape)
        dense = np.zeros(self.shape, self.values.dtype)
        np.add.at(dense, tuple(self.places.T), self.values)
        return ops.convert_to_tensor(dense)


@dataclasses.dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of different lengths.

    Attributes:
        values: Array of all values, one row after the other.
        splits: For each ragged axis, from outside in, an array of where each row of it begins, and
            where the last ends.
    """

    values: np.ndarray
    splits: tuple[np.ndarray, ...]

    def __len__(self):
        return len(self.splits[0]) - 1

    def __getitem__(self, rows):
        """Some rows, by a slice or an array of their numbers."""
        rows, splits = np.arange(len(self))[rows], []
        for split in self.splits:
            lengths = split[rows + 1] - split[rows]
            splits.append(np.concatenate([[0], np.cumsum(lengths)]))
            rows = _ranges(split[rows], lengths)
        return Ragged(self.values[rows], tuple(splits))

    @property
    def shape(self):
        """The shape of the whole, in which the lengths of ragged axes are `None`."""
        return len(self), *[None] * len(self.splits), *self.values.shape[1:]

    @property
    def parts(self):
        """All that it holds, as arrays."""
        return self.values, *self.splits

    @property
    def num_values(self):
        """Number of values that a model sees."""
        if _backend.has_ragged():
            return self.values.size
        longest = [int(np.diff(split).max(initial=0)) for split in self.splits]
        return len(self) * int(np.prod(longest)) * int(np.prod(self.values.shape[1:]))

    def tensor(self):
        """As the model gets it: of a backend without ragged tensors, filled up with zeros."""
        if _backend.has_ragged():
            return _backend.ragged_tensor(self.values, self.splits)
        places, longest = np.arange(len(self))[:, None], []
        for split in self.splits:
            lengths = np.diff(split)
            within = np.arange(split[-1]) - np.repeat(split[:-1], lengths)
            places = np.column_stack([np.repeat(places, lengths, axis=0), within])
            longest.append(int(lengths.max(initial=0)))
        dense = np.zeros((len(self), *longest, *self.values.shape[1:]), self.values.dtype)
        dense[tuple(places.T)] = self.values
        return ops.convert_to_tensor(dense)


def as_arrays(owner, name, structure, *, are_batches=False):
    """Copies of the arrays of a structure, as `model.evaluate` takes them.

    Args:
        owner: Name of the asking function or class.
        name: Name of the argument.
        structure: An array, or a list, tuple or dictionary of arrays.
        are_batches: Whether it comes from a data set, where Keras gives no column an axis.

    Returns:
        The structure, with NumPy arrays of numbers, floats in Keras' own precision; object arrays
        of bytes for text; `Sparse`; or `Ragged`.
    """
    leaves = keras.tree.flatten_with_path(structure)
    if any(_is_plain(leaf) for _, leaf in leaves):
        raise refusal(
            owner,
            f"`{name}` to be an array, or a list or dictionary of arrays",
            f"a {type(structure).__name__} of Python's own values, "
            f"{shortened(structure)[:MOST_SHOWN]}...",
            _remedy_for_plain(name, structure, leaves),
        )
    arrays = [
        None if leaf is None else _as_array(owner, _path(name, path), leaf, are_batches)
        for path, leaf in leaves
    ]
    return keras.tree.pack_sequence_as(structure, arrays)


def is_array(value):
    """Whether something is one array of any kind that is taken here."""
    return (
        isinstance(value, Sparse | Ragged)
        or any(hasattr(value, name) for name in ("__array__", "tocoo", "row_splits"))
        or _is_sparse(value)
    )


def num_bytes(array):
    """The memory that an array takes as the model sees it."""
    if isinstance(array, Sparse | Ragged):
        return array.num_values * array.values.itemsize
    return sum(map(len, array.flat)) if array.dtype == object else array.nbytes


def size_and_places(array):
    """How many values an array has, and how many of them or of its rows a layer looks at."""
    if isinstance(array, Sparse | Ragged):
        per_row = array.shape[-1] if isinstance(array, Sparse) else 1
        return array.num_values, max(array.num_values // max(per_row, 1), len(array))
    one_by_one = array.dtype.kind in "iuO"
    return array.size, array.size if one_by_one or not array.size else array.size // array.shape[-1]


def update_digest(digest, array):
    """Take an array into a digest, by its kind, shape and values."""
    if isinstance(array, Sparse | Ragged):
        digest.update(type(array).__name__.encode())
        for part in array.parts:
            update_digest(digest, part)
        return
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    if array.dtype == object:
        digest.update(np.array([len(text) for text in array.flat], "int64").data)
        digest.update(b"".join(array.flat))
    elif array.size:
        digest.update(np.ascontiguousarray(array).view("uint8").data)


def as_tensor(array):
    """An array of any kind that is taken here, as the model gets it."""
    return ops.convert_to_tensor(array) if isinstance(array, np.ndarray) else array.tensor()


def as_fit_takes(array):
    """An array of any kind that is taken here, as Keras takes it in a batch of a data set."""
    plain = isinstance(array, np.ndarray) and array.dtype != object
    return array if plain else as_tensor(array)


def grows(array):
    """Whether the tensor of an array takes much more memory than the array."""
    return (isinstance(array, Sparse) and not _backend.has_sparse()) or (
        isinstance(array, Ragged) and not _backend.has_ragged()
    )


def _as_array(owner, name, leaf, are_batches):
    if isinstance(leaf, Sparse):
        return Sparse(leaf.places.copy(), leaf.values.copy(), leaf.shape)
    if isinstance(leaf, Ragged):
        return Ragged(leaf.values.copy(), tuple(split.copy() for split in leaf.splits))
    if isinstance(leaf, np.ndarray):
        return _standard(owner, name, np.array(leaf))  # what is given may be filled anew
    if hasattr(leaf, "iloc"):  # of pandas
        array = _of_frame(owner, name, leaf)
        array = array[:, None] if array.ndim == 1 and not are_batches else array
        return _standard(owner, name, array)
    if hasattr(leaf, "row_splits"):  # of TensorFlow
        values = _as_array(owner, name, leaf.flat_values, are_batches)
        return Ragged(values, tuple(np.array(split) for split in leaf.nested_row_splits))
    if hasattr(leaf, "tocoo"):  # of SciPy
        coo = leaf.tocsr().tocoo()
        return _sparse(owner, name, np.stack([coo.row, coo.col], axis=1), coo.data, coo.shape)
    if _is_sparse(leaf):
        return _as_sparse(owner, name, leaf)
    if hasattr(leaf, "detach"):  # of torch
        leaf = leaf.detach().cpu()
        leaf = leaf if str(leaf.dtype) not in UNKNOWN_TO_NUMPY else leaf.float()
    return _standard(owner, name, np.array(leaf))


def _standard(owner, name, array):
    """An array with floats in Keras' own precision, and text as bytes."""
    kind = array.dtype.kind
    if kind in "US" or (kind in "OT" and all(isinstance(a, str | bytes) for a in array.flat)):
        return _as_text(owner, name, array)
    if kind in "OMmT" or array.dtype.names:
        raise refusal(
            owner,
            f"`{name}` to be numbers or text",
            f"{_first_other(array)} in an array of the dtype {shortened(str(array.dtype))}",
            _remedy(array),
        )
    # "V" are those that NumPy does not know, such as bfloat16
    return array.astype(keras.config.floatx()) if kind in "fV" else array


def _first_other(array):
    """An element that is no text, where an array is no array of numbers either."""
    if array.dtype.kind in "OT":
        found = next(one for one in array.flat if not isinstance(one, str | bytes))
        return f"{shortened(found)}, a {type(found).__name__},"
    return "fields" if array.dtype.names else "times"


def _remedy(array):
    kinds = {type(one) for one in array.flat} if array.dtype.kind == "O" else set()
    if array.dtype.kind in "Mm":
        return "Convert times to numbers, such as `x.astype('int64')`."
    if array.dtype.names:
        return "Use `numpy.lib.recfunctions.structured_to_unstructured(x)`."
    if kinds and all(issubclass(kind, numbers.Real | np.bool_) for kind in kinds):
        return "Use `x.astype('float32')`."
    if any(issubclass(kind, np.ndarray | list | tuple) for kind in kinds):
        return PAD
    return "Convert it to arrays of numbers, or of texts where none is missing."


def _as_text(owner, name, array):
    if not _backend.has_text():
        raise refusal(
            owner,
            f"`{name}` to be numbers: the {keras.config.backend()} backend has no text",
            f"text such as {shortened(next(array.flat, ''))}",
            "Call the layer that reads the text, such as TextVectorization or StringLookup, on "
            "the data, as `dataset.map(lambda x, y: (layer(x), y))` or `layer(x)`, and take a "
            "model that begins behind it; or use the tensorflow backend.",
        )
    texts = [one.encode() if isinstance(one, str) else one for one in array.flat]
    encoded = np.empty(len(texts), object)
    encoded[:] = texts
    return encoded.reshape(array.shape)


def _of_frame(owner, name, frame):
    """A frame or a column of pandas as one new array: of numbers, or of text."""
    if frame.ndim == 1:
        columns = [(frame.name, frame.to_numpy())]
    else:
        columns = [(label, frame.iloc[:, k].to_numpy()) for k, label in enumerate(frame.columns)]
    are_text = bool(columns) and all(_is_text(array) for _, array in columns)
    wrong = [(label, a) for label, a in columns if not are_text and a.dtype.kind not in "biufc"]
    if wrong:
        raise refusal(
            owner,
            f"the columns of `{name}` to be numbers or bools, without missing values",
            ", ".join(f"{shortened(label)} of {_in_words(array)}" for label, array in wrong),
            "Convert these columns: `frame.fillna(0)` for missing values, "
            "`pandas.get_dummies(frame)` for text and categories, `.astype('int64')` for times; "
            "or, for a model with an input for each column, give `dict(frame)`.",
        )
    if frame.ndim == 1:
        return np.array(columns[0][1])
    return np.stack([array for _, array in columns], axis=1) if columns else frame.to_numpy()


def _is_text(array):
    return array.dtype.kind in "OUT" and all(isinstance(one, str) for one in array.flat)


def _in_words(array):
    if array.dtype.kind in "Mm":
        return "times"
    if _is_text(array):
        return f"text, such as {shortened(array[0])}"
    numeric = numbers.Number | np.bool_ | str
    found = next((one for one in array.flat if not isinstance(one, numeric)), array.flat[0])
    return f"objects, such as {shortened(found)}"


def _is_sparse(value):
    """Whether something is a sparse tensor of TensorFlow, JAX or torch."""
    return (
        hasattr(value, "dense_shape")
        or (hasattr(value, "todense") and hasattr(value, "nse"))
        or bool(getattr(value, "is_sparse", False))
        or bool(getattr(value, "is_sparse_csr", False))
    )


def _as_sparse(owner, name, tensor):
    if hasattr(tensor, "dense_shape"):  # of TensorFlow
        return _sparse(owner, name, tensor.indices, tensor.values, tensor.dense_shape)
    if hasattr(tensor, "to_sparse_coo"):  # of torch
        tensor = tensor.detach().cpu().to_sparse_coo().coalesce()
        return _sparse(owner, name, tensor.indices().T, tensor.values(), tensor.shape)
    if getattr(tensor, "n_batch", 1) or tensor.n_dense:  # of JAX, in another form
        dense = np.asarray(tensor.todense())
        places = np.argwhere(dense)
        return _sparse(owner, name, places, dense[tuple(places.T)], dense.shape)
    places, values = np.asarray(tensor.indices), np.asarray(tensor.data)
    inside = np.all(places < np.array(tensor.shape), axis=1)  # places outside fill up memory
    return _sparse(owner, name, places[inside], values[inside], tensor.shape)


def _sparse(owner, name, places, values, shape):
    places = np.array(places, "int64")
    order = np.lexsort(places.T[::-1])  # rows one after the other
    values = _as_array(owner, name, values, True)
    return Sparse(places[order], values[order], tuple(int(size) for size in np.array(shape)))


def _is_plain(leaf):
    """Whether an element of a structure is a number or a text of Python, and no array."""
    return isinstance(leaf, str | bytes | numbers.Number)


def _remedy_for_plain(name, structure, leaves):
    if not all(_is_plain(leaf) for _, leaf in leaves) or _is_plain(structure):
        return "Pass the arrays that you pass to `model.evaluate`."
    try:
        np.array(structure)
    except ValueError:  # of different lengths
        return PAD
    return f"Use `numpy.array({name})`."


def _ranges(begins, lengths):
    """The numbers `begin, begin + 1, ...` of each range, one range after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(begins - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)


def _path(name, path):
    return name + "".join(f"[{key!r}]" for key in path)
