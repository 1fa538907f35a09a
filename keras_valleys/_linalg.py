"""Leading eigenvectors by products alone, and orthonormal rows."""

import dataclasses

import numpy as np

DOUBLE = 2.0**-52  # the precision of float64
BASIS_NUMBERS = 2**26  # of the basis: 512 MB
BASIS_ROWS = 256
MOST_PRODUCTS = 2000
NOISE = 10  # units in the last place of a product that say nothing
FLOOR = 100  # the same, for residuals: none is asked to be smaller


@dataclasses.dataclass(frozen=True, eq=False)
class Eigenpairs:
    """The largest eigenvalues, in falling order, with what their vectors `v` leave.

    Attributes:
        values: Array of shape `(k,)`.
        vectors: Orthonormal rows, shape `(k, P)`.
        residuals: `|A v - value v|`, measured, shape `(k,)`.
        converged: Whether each residual is within its bound.
        num_products: Number of products that it took.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    converged: bool
    num_products: int


def leading(multiply, size, count, *, tolerance, precision=DOUBLE, seed=0):
    """The `count` largest eigenvalues (algebraically) by block Lanczos with thick restarts.

    A block of `count` random vectors meets each eigenspace in as many dimensions as are asked for,
    so repeated eigenvalues are found as often as they occur, and a space that the matrix maps into
    itself holds the answer. All vectors are kept orthogonal to each other, twice.

    Args:
        multiply: The matrix times a vector of shape `(size,)`.
        size: Rows of the matrix.
        count: Number of eigenvalues, at most `size`.
        tolerance: Bound of each residual relative to its eigenvalue.
        precision: Relative rounding error of a number in a product.
        seed: Of the first vectors.
    """
    space = _Space(multiply, size, count)
    space.block = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, count)))[0].T
    while True:
        space.extend()
        values, mixing = space.eigen()
        scale = np.abs(values).max()
        bound = np.maximum(tolerance * np.abs(values[:count]), FLOOR * precision * scale)
        left = space.leftover(mixing, NOISE * precision * scale)
        # Half of it: the residuals are measured again below, with the noise of their products.
        if np.all(left <= bound / 2) or space.is_closed or space.num_products >= MOST_PRODUCTS:
            break
        space.make_room(values, mixing)
    values, vectors = values[:count], oriented(mixing[:, :count].T @ space.basis[: space.filled])
    images = np.stack([multiply(vector) for vector in vectors])
    residuals = np.linalg.norm(images - values[:, None] * vectors, axis=1)
    converged = bool(np.all(residuals <= bound))
    return Eigenpairs(values, vectors, residuals, converged, space.num_products + count)


def oriented(vectors):
    """The rows with their largest number positive: a sign that does not depend on chance."""
    largest = np.abs(vectors).argmax(axis=1)
    signs = np.sign(np.take_along_axis(vectors, largest[:, None], axis=1))
    return vectors * np.where(signs == 0, 1, signs)


class _Space:
    """An orthonormal basis, the matrix within it, and what its products have left over."""

    def __init__(self, multiply, size, count):
        self._multiply, self._size, self._count = multiply, size, count
        self._room = min(size, max(4 * count + 8, min(BASIS_ROWS, BASIS_NUMBERS // size)))
        self.basis = np.empty((self._room, size))
        self._within = np.zeros((self._room, self._room))
        self.block = self._rest = np.empty((0, size))
        self.filled, self.num_products = 0, 0

    @property
    def is_closed(self):
        """Whether the matrix maps the space into itself."""
        return not len(self.block)

    def extend(self):
        """Take the block into the basis, and multiply it."""
        first, self.filled = self.filled, self.filled + len(self.block)
        new, basis = slice(first, self.filled), self.basis[: self.filled]
        basis[new] = self.block
        rest = np.stack([self._multiply(row) for row in self.block])
        self.num_products += len(rest)
        inside = rest @ basis.T
        self._within[: self.filled, new], self._within[new, : self.filled] = inside.T, inside
        rest -= inside @ basis
        rest -= (rest @ basis.T) @ basis
        self._rest = rest

    def eigen(self):
        """Eigenvalues within the space, the largest first, and their vectors as columns."""
        within = self._within[: self.filled, : self.filled]
        values, mixing = np.linalg.eigh((within + within.T) / 2)
        return values[::-1], mixing[:, ::-1]

    def leftover(self, mixing, noise):
        """How far the leading vectors are from being mapped to themselves; makes the next block.

        Only the products of the last block leave the space.
        """
        turn, sizes, block = np.linalg.svd(self._rest, full_matrices=False)
        last = mixing[self.filled - len(self._rest) : self.filled, : self._count]
        block = block[sizes > noise][: self._size - self.filled]
        block = block - (block @ self.basis[: self.filled].T) @ self.basis[: self.filled]
        self.block = np.linalg.qr(block.T)[0].T
        return np.linalg.norm((last.T @ turn) * sizes, axis=1)

    def make_room(self, values, mixing):
        """Where the basis is full, go on with its leading part."""
        if self.filled + len(self.block) <= self._room:
            return
        keep = self._count + (self._room - self._count) // 3
        self.basis[:keep] = mixing[:, :keep].T @ self.basis[: self.filled]
        self._within[:keep, :keep] = np.diag(values[:keep])
        self.filled = keep


def orthonormal(rows):
    """Orthonormal rows that span the same, one after the other, each on the side of its row."""
    turned, triangle = np.linalg.qr(rows.T)
    return (turned * np.where(np.diagonal(triangle) < 0, -1, 1)).T


def turned_towards(rows, others):
    """The turn or reflection of orthonormal rows, in their span, that brings them nearest others.

    Orthogonal Procrustes: of all orthogonal matrices Q that with the least `|Q @ rows - others|`.

    Args:
        rows: Orthonormal, shape `(K, P)`.
        others: Array of shape `(K, P)`.

    Returns:
        Q, shape `(K, K)`.
    """
    left, _, right = np.linalg.svd(others @ rows.T)
    return left @ right


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
