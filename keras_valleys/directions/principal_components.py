"""The principal directions of paths, which are read in blocks."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import as_list, as_numbers, check_whole, is_kind, refusal
from keras_valleys._linalg import leading, oriented, orthonormal, turned_towards
from keras_valleys.directions.directions import Directions, numbered
from keras_valleys.trajectories import TrajectoryLike, as_trajectory

GRAM_ROWS = 1024  # up to which the products of all pairs of rows are formed
BLOCK_NUMBERS = 2**20  # in use at a time, in float64: 8 MB, and a few copies
LARGEST = 1e150  # whose square is a number


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
            pairs = leading(self._gram_times, size, count, tolerance=1e-8)
            return total, pairs.values, pairs.vectors
        gram = sum(block @ block.T for block in self._blocks())
        values, mixing = np.linalg.eigh(gram)
        return total, values[::-1][:count], mixing[:, ::-1][:, :count].T

    def combined(self, mixing):
        """The combinations of rows, shape `(count, P)`."""
        return np.concatenate([mixing @ block for block in self._blocks()], axis=1)

    def extents(self, directions):
        """The least and the greatest inner product of the finite rows with each direction."""
        parts = (self._read(c)[self._finite] @ directions[:, c].T for c in self._columns)
        inner = sum(parts)
        return np.stack([inner.min(axis=0), inner.max(axis=0)], axis=1).tolist()

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
    given = as_list(trajectories)
    paths = [_as_array(path) for path in given]
    if paths and all(path.ndim == 1 for path in paths):
        paths = [np.asarray(given)]  # one path as nested lists
    shapes = [path.shape for path in paths]
    if not paths or any(path.ndim != 2 for path in paths) or len({s[1] for s in shapes}) > 1:
        raise refusal(
            "principal",
            "trajectories, or arrays of shape (T, P), over the same P weights",
            f"shapes {shapes}",
            "Record them of one model.",
        )
    return paths


def _as_array(path):
    if isinstance(path, list | tuple) or is_kind("array", path):
        return np.asarray(path)
    return as_trajectory("principal", path, "trajectories").weights


def principal(
    trajectories: TrajectoryLike | ArrayLike | Iterable[TrajectoryLike | ArrayLike],
    num_directions: int = 2,
    *,
    like: ArrayLike | None = None,
) -> Directions:
    """The orthonormal directions in which paths of an optimizer vary most (PCA).

    Of all finite rows, each counted once, about their mean: `details["explained_variance"]` is the
    part of the variance that lies in each direction, and `details["extents"]` the least and the
    greatest inner product of a row with it, by which `evaluate` knows how far to go. They say
    nothing of where the plane is: through the final weights, as in Li et al., with
    `origin=path.weights[-1]`; or through the mean. The largest number of each direction is
    positive.

    Args:
        trajectories: A `keras_valleys.trajectories.Trajectory`, an array of shape `(T, P)`, or a
            list of these over the same weights. They are read block by block: memory grows with T
            and K P, not with T P or P squared.
        num_directions: K.
        like: Directions `(K, P)` of another moment: the new ones are turned within the space that
            they span until they are nearest to these (orthogonal Procrustes), so that a path is
            seen from one side from moment to moment. Each one alone is then not the direction of
            the most variance, and they are labeled "path direction".

    Returns:
        `Directions`.

    Raises:
        ValueError: Paths of different sizes, or finite rows that do not span K dimensions about
            their mean, such as fewer than K + 1 different ones.

    Example:

    >>> path = np.array([[0, 0, 1], [3, 4, 1], [6, 8, 1], [3, 4, 2]])
    >>> axes = keras_valleys.directions.principal(path)
    >>> [round(float(number), 2) for number in axes[0]]
    [0.6, 0.8, 0.0]
    >>> [round(part, 3) for part in axes.details["explained_variance"]]
    [0.985, 0.015]
    """
    paths = PathRows(trajectories)
    check_whole("principal", 1, num_directions=num_directions)
    total, values, mixing = paths.leading(num_directions)
    # Below that part of the variance lies the rounding of the weights.
    rank = int(np.sum(values > 1e-12 * total))
    if rank < num_directions:
        raise refusal(
            "principal",
            f"at least {num_directions + 1} different finite rows that span {num_directions} "
            "dimensions",
            f"{paths.num_rows} rows, {paths.num_finite} of them finite, that span {rank} "
            "dimensions",
            "Record more steps, or ask for fewer directions.",
        )
    vectors = oriented(orthonormal(paths.combined(mixing)))
    details = {"kind": "principal", "num_rows": paths.num_finite}
    name = "principal direction"
    if like is not None:
        near = as_numbers("principal", like=like)
        if near.shape != vectors.shape:
            raise refusal(
                "principal",
                f"`like` to be directions of shape {vectors.shape}",
                f"shape {near.shape}",
                "Give those of an earlier moment of the path.",
            )
        turn = turned_towards(vectors, near)
        vectors, values = turn @ vectors, np.square(turn) @ values
        details["turned"], name = True, "path direction"
    details["extents"] = paths.extents(vectors)
    details["explained_variance"] = np.clip(values / total, 0, 1).tolist()
    return Directions(vectors, numbered(name, num_directions), details)
