"""Rows that span lines and planes, and the leading directions of many rows."""

import numpy as np

from keras_valleys import _eigen

GRAM_ROWS = 1024  # up to which the products of all pairs of rows are formed
BLOCK_NUMBERS = 2**20  # in use at a time, in float64: 8 MB, and a few copies
LARGEST = 1e150  # whose square is a number


def orthonormal(rows):
    """Orthonormal rows that span the same, one after the other, each on the side of its row."""
    turned, triangle = np.linalg.qr(rows.T)
    return (turned * np.where(np.diagonal(triangle) < 0, -1, 1)).T


def orthonormal_through(steps):
    """Orthonormal rows along one or two steps, and the coordinates of the steps along them.

    `None` where a step is zero or the two are on one line.
    """
    lengths = np.linalg.norm(steps, axis=1)
    if not np.all(lengths):
        return None
    rows = orthonormal(steps / lengths[:, None])
    coordinates = np.tril(steps @ rows.T)
    # Weights are float32: what is less than this off the line is their rounding.
    return (rows, coordinates) if np.all(np.diagonal(coordinates) > 1e-6 * lengths) else None


class PathRows:
    """The finite rows of paths, about their mean, read in blocks of columns.

    Args:
        trajectories: A trajectory or an array of shape `(T, P)`, or a list of these.
    """

    def __init__(self, trajectories):
        self._parts = parts = _as_arrays(trajectories)
        self.num_rows, self.size = sum(map(len, parts)), parts[0].shape[1]
        width = max(BLOCK_NUMBERS // max(self.num_rows, 1), 1)
        self._columns = [slice(i, i + width) for i in range(0, self.size, width)]
        self._finite = np.ones(self.num_rows, bool)
        for columns in self._columns:
            self._finite &= np.all(np.abs(self._read(columns)) < LARGEST, axis=1)
        self.num_finite = int(np.count_nonzero(self._finite))

    def leading(self, count):
        """All variance, the variances along the leading directions, and how rows combine to these.

        Returns:
            A number, shape `(count,)`, shape `(count, T)` of the finite rows; fewer of them where
            there are fewer rows.
        """
        count = min(count, self.num_finite)
        if not count:
            return 0.0, np.zeros(0), np.zeros((0, 0))
        total = sum(float(np.sum(np.square(block))) for block in self._blocks())
        if self.num_finite > GRAM_ROWS:
            size = self.num_finite
            pairs = _eigen.leading(self._gram_times, size, count, tolerance=1e-8)
            return total, pairs.values, pairs.vectors
        gram = sum(block @ block.T for block in self._blocks())
        values, mixing = np.linalg.eigh(gram)
        return total, values[::-1][:count], mixing[:, ::-1][:, :count].T

    def combined(self, mixing):
        """The combinations of rows, shape `(count, P)`."""
        return np.concatenate([mixing @ block for block in self._blocks()], axis=1)

    def _gram_times(self, vector):
        return sum(block @ (vector @ block) for block in self._blocks())

    def _blocks(self):
        for columns in self._columns:
            block = self._read(columns)[self._finite]
            yield block - block.mean(axis=0)

    def _read(self, columns):
        return np.concatenate([part[:, columns] for part in self._parts]).astype("float64")


def _as_arrays(trajectories):
    """One path or several, as a list of arrays of shape (T, P)."""
    if hasattr(trajectories, "weights") or isinstance(trajectories, np.ndarray):
        trajectories = [trajectories]
    paths = [np.asarray(getattr(path, "weights", path)) for path in trajectories]
    if paths and all(path.ndim == 1 for path in paths):
        paths = [np.asarray(trajectories)]  # one path as nested lists
    shapes = [path.shape for path in paths]
    if not paths or any(path.ndim != 2 for path in paths) or len({s[1] for s in shapes}) > 1:
        raise ValueError(
            "`principal` expects trajectories, or arrays of shape (T, P), over the same P weights. "
            f"Received: shapes {shapes}. Record them of one model."
        )
    return paths
