"""What a plane is between its samples: slopes at the samples, and a smooth surface through them.

Both are of polynomials through a few samples along each axis, those around the place in question;
an axis that has fewer takes all. Where one of them is not finite, fewer are taken.

Places are `(u, v)`, numbers of samples along each axis, so that 2.5 is in the middle between the
samples 2 and 3. On a ring they may lie beyond its ends.
"""

import dataclasses

import numpy as np

SIZES = (6, 4, 2)  # samples along an axis that the surface between two of them is taken from
SLOPE_SIZES = (5, 3)  # those that the slope at the middle one is taken from


def slopes(values, axis, k):
    """The derivative by the coordinate of axis `k` at the samples, NaN where it is not known."""
    count = len(axis.nodes)
    if count == 1:
        return np.zeros_like(values)
    found = np.full(values.shape, np.nan)
    stencils = [(size, size // 2) for size in SLOPE_SIZES if size <= count] + [(2, 0), (2, 1)]
    for size, before in stencils:
        known = np.isfinite(found)
        if not known.all():
            where, weights = _stencils(axis, np.arange(count) - before, size, np.arange(count))
            with np.errstate(invalid="ignore", over="ignore"):
                new = _weighted(values, k, where, weights[:, 1])
            found = np.where(known, found, new) if known.any() else new
    return found


def _weighted(values, k, where, weights):
    """The sums of values along axis `k` at nodes `where`, `(n, size)`, times weights."""
    shape = [len(where) if n == k else 1 for n in range(values.ndim)]
    total = np.take(values, where[:, 0], k) * weights[:, 0].reshape(shape)
    for n in range(1, where.shape[1]):
        term = np.take(values, where[:, n], k)
        term *= weights[:, n].reshape(shape)
        total += term
    return total


def doubled(values, axes):
    """Values on a grid that has one sample more between each two, and its axes.

    The value between two is that of the polynomial through the six around it, along one axis after
    the other; with a value that is not finite near, the mean of the two.
    """
    fine = []
    for k, axis in enumerate(axes):
        count, middles = len(axis.nodes), axis.middles()
        size = min(SIZES[0], count)
        where, weights = _stencils(
            axis, np.arange(len(middles)) - size // 2 + 1, size, np.arange(len(middles))
        )
        powers = (middles - axis.nodes[: len(middles)])[:, None] ** np.arange(size)
        shares = np.einsum("np,npk->nk", powers, weights[: len(middles)])
        with np.errstate(invalid="ignore", over="ignore"):
            new = _weighted(values, k, where, shares)
            if not np.isfinite(new).all():
                ends = [np.take(values, (np.arange(len(middles)) + n) % count, k) for n in (0, 1)]
                new = np.where(np.isfinite(new), new, (ends[0] + ends[1]) / 2)
        length = count + len(middles)
        both = np.empty([length if n == k else size_n for n, size_n in enumerate(values.shape)])
        slices = [
            tuple(slice(n, None, 2) if j == k else slice(None) for j in range(values.ndim))
            for n in (0, 1)
        ]
        both[slices[0]], both[slices[1]] = values, new
        values = both
        nodes = np.empty(length)
        nodes[::2], nodes[1::2] = axis.nodes, middles
        fine.append(dataclasses.replace(axis, nodes=nodes))
    return values, tuple(fine)


def _stencils(axis, first, size, origin):
    """The nodes `(n, size)` that begin at `first`, as far as the axis has them, and their weights.

    Weights `(n, size, size)`: entry `[:, p]` gives the coefficient of the p-th power of the
    distance from the nodes `origin`, in the coordinate, of the polynomial through the nodes.
    """
    count = len(axis.nodes)
    first = first if axis.joined else np.clip(first, 0, count - size)
    where = first[:, None] + np.arange(size)
    turns, where = np.divmod(where, count)
    steps = axis.steps()
    if np.ptp(steps[np.isfinite(steps)]) == 0:  # most have the same weights
        offsets, same = np.unique(first - origin, return_inverse=True)
        return where, _weights((offsets[:, None] + np.arange(size)) * steps[0])[same]
    away = axis.nodes[where] - axis.nodes[origin % count][:, None]
    if axis.joined:
        away = away + (turns - (origin // count)[:, None]) * axis.period
    return where, _weights(away)


def _weights(away):
    """Of polynomials through nodes at these distances `(n, size)`, what `_stencils` returns."""
    scale = np.abs(away).max(axis=1)[:, None, None]
    powers = np.arange(away.shape[1])
    matrix = (away[:, :, None] / scale) ** powers
    return np.linalg.inv(matrix) / scale ** powers[:, None]


class Patches:
    """The smooth surface through the samples of a plane.

    Args:
        losses: float64 array of the nodes of both axes.
        axes: Two `Axis`.
    """

    def __init__(self, losses, axes):
        self.losses, self.axes = losses, axes
        self._tables = {}

    def at(self, places, size=SIZES[0]):
        """Loss, its slopes `(n, 2)` and second derivatives `(n, 2, 2)` at places `(n, 2)`.

        Derivatives are by the places, so that a cell is 1 long. `size` is the number of samples
        along each axis that it is taken from.
        """
        loss, slope, second = self._at(places, size)
        for size in (fewer for fewer in SIZES if fewer < size):
            missing = np.flatnonzero(np.isnan(loss))
            if len(missing):
                loss[missing], slope[missing], second[missing] = self._at(places[missing], size)
        return loss, slope, second

    def highest(self, places):
        """The largest absolute loss of the samples around places `(n, 2)`."""
        wheres = []
        for k, axis in enumerate(self.axes):
            where, _ = self._table(k, axis, SIZES[0])
            wheres.append(where[np.floor(places[:, k]).astype(int) % len(axis.nodes)])
        around = np.abs(self.losses[wheres[0][:, :, None], wheres[1][:, None, :]])
        return np.nan_to_num(around).max(axis=(1, 2))

    def _at(self, places, size):
        wheres, bases = [], []
        for k, axis in enumerate(self.axes):
            where, weights = self._table(k, axis, size)
            count = len(axis.nodes)
            cell = np.floor(places[:, k]).astype(int)
            cell = cell if axis.joined else np.clip(cell, 0, max(count - 2, 0))
            powers = (places[:, k] - cell)[:, None] ** np.arange(weights.shape[2])
            cell = cell % count
            wheres.append(where[cell])
            bases.append(np.einsum("np,ndpk->dnk", powers, weights[cell]))
        around = self.losses[wheres[0][:, :, None], wheres[1][:, None, :]]
        u, (v0, v1, v2) = bases
        with np.errstate(invalid="ignore", over="ignore"):
            rows = np.matmul(u[:, :, None], around)[:, :, 0]
            loss, along_v, mixed, twice = (
                np.einsum("nb,nb->n", row, v)
                for row, v in ((rows[0], v0), (rows[0], v1), (rows[1], v1), (rows[0], v2))
            )
            along_u, twice_u = np.einsum("dnb,nb->dn", rows[1:], v0)
        second = np.stack([twice_u, mixed, mixed, twice], axis=-1).reshape(-1, 2, 2)
        return loss, np.stack([along_u, along_v], axis=-1), second

    def _table(self, k, axis, size):
        """Of each cell of an axis the nodes around it, and their weights by its own length.

        Weights `(n, 3, size, size)`: of the value and its two derivatives, by powers.
        """
        if (k, size) not in self._tables:
            cells, size = np.arange(len(axis.nodes)), min(size, len(axis.nodes))
            where, weights = _stencils(axis, cells - size // 2 + 1, size, cells)
            lengths = np.where(np.isfinite(axis.steps()), axis.steps(), 1.0)
            powers = np.arange(size)[:, None]
            table = np.zeros((len(cells), 3, size, size))
            table[:, 0] = weights * lengths[:, None, None] ** powers
            for order in (1, 2):
                table[:, order, :-1] = powers[1:] * table[:, order - 1, 1:]
            self._tables[k, size] = where, table
        return self._tables[k, size]
