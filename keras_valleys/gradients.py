"""The slope and the curvature of the loss: gradients, Hessian products, leading eigenvalues."""

import dataclasses
import warnings

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_valleys import _backend
from keras_valleys._checks import as_numbers, check_kind, check_whole, refusal
from keras_valleys._linalg import leading
from keras_valleys._results import Result, counted, frozen
from keras_valleys.objectives import CALL_BYTES, Objective

__all__ = ["Sharpness", "gradient", "hessian_vector_product", "sharpness"]


def __dir__():
    return __all__


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Sharpness(Result):
    """How the loss curves at a point.

    Attributes:
        eigenvalues: The algebraically largest eigenvalues of the Hessian, in falling order, shape
            `(k,)`. Negative ones say that the loss curves down in all other directions as well.
        eigenvectors: Orthonormal rows, shape `(k, P)`; the largest number of each is positive.
        trace: Sum of all P eigenvalues; NaN without samples.
        trace_error: Standard error of the trace: 0 where it is exact, NaN with fewer than two
            samples.
        residuals: `|H v - eigenvalue v|` of each pair, measured, shape `(k,)`. An eigenvalue of H
            lies within its residual.
        num_products: Number of Hessian-vector products that it took. Each costs about two
            gradients over all the data.
        converged: Whether all residuals are within the tolerance.
    """

    eigenvalues: np.ndarray
    eigenvectors: np.ndarray
    trace: float
    trace_error: float
    residuals: np.ndarray
    num_products: int
    converged: bool = True

    def __post_init__(self):
        for name in ("eigenvalues", "eigenvectors", "residuals"):
            self._set(**{name: frozen(getattr(self, name), "float64")})

    def _in_short(self) -> str:
        values = ", ".join(f"{value:.4g}" for value in self.eigenvalues[:3])
        more = ", ..." if len(self.eigenvalues) > 3 else ""
        size = counted(self.eigenvectors.shape[1], "weight")
        doubt = "" if self.converged else ", not converged"
        trace = "" if np.isnan(self.trace) else f", trace {self.trace:.4g}"
        return f"eigenvalues {values}{more} over {size}{trace}{doubt}"


def gradient(objective: Objective, points: ArrayLike | None = None) -> np.ndarray:
    """The gradient of the loss at each point.

    Where the loss has a kink, it is what the backend takes for the slope there.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        points: Array of shape `(..., P)`. `None` is the model's present weights, shape `(P,)`.

    Returns:
        Array of shape `(..., P)`.

    Raises:
        ValueError: Points have another size than P.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mean_squared_error")
    >>> objective = keras_valleys.objectives.Objective(model, np.eye(2), np.zeros((2, 1)))
    >>> keras_valleys.gradients.gradient(objective, [[3.0, 0.0], [1.0, -2.0]]).tolist()
    [[3.0, 0.0], [1.0, -2.0]]
    """
    check_kind("gradient", "objective", objective=objective)
    points = objective.point() if points is None else points
    points = _as_points("gradient", objective, points=points)
    return _by_rows(objective, _gradients, points)


def hessian_vector_product(
    objective: Objective, vectors: ArrayLike, point: ArrayLike | None = None
) -> np.ndarray:
    """The Hessian of the loss at a point, times each vector.

    The Hessian itself, `(P, P)` numbers, is never formed. Layers that the backend cannot
    differentiate twice raise the backend's own error.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        vectors: Array of shape `(..., P)`.
        point: Weight vector of shape `(P,)`. `None` is the model's present weights.

    Returns:
        Array of shape `(..., P)`.

    Raises:
        ValueError: The point or the vectors have another size than P.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mean_squared_error")
    >>> x = np.array([[3.0, 1.0], [0.0, 1.0]])
    >>> objective = keras_valleys.objectives.Objective(model, x, np.zeros((2, 1)))
    >>> keras_valleys.gradients.hessian_vector_product(objective, [1.0, 0.0]).tolist()
    [9.0, 3.0]
    """
    check_kind("hessian_vector_product", "objective", objective=objective)
    vectors = _as_points("hessian_vector_product", objective, vectors=vectors)
    point = _as_point("hessian_vector_product", objective, point)
    return _by_rows(objective, _products, vectors, point)


def sharpness(
    objective: Objective,
    point: ArrayLike | None = None,
    *,
    num_eigenvalues: int | None = None,
    num_samples: int = 32,
    seed: int = 0,
    tolerance: float = 1e-4,
) -> Sharpness:
    """The largest eigenvalues of the Hessian, with their eigenvectors, and its trace.

    Eigenvalues by block Lanczos with full orthogonalization in float64, on products in the
    model's precision; their basis takes at most about 512 MB (`4 k + 8` vectors for larger models).
    The trace is the sum of those eigenvalues plus, of `num_samples` random vectors z of signs
    freed from those eigenvectors, the mean of z' H z (Hutchinson); up to P = `num_samples` it is
    the exact sum over all weights.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        point: Weight vector of shape `(P,)`. `None` is the model's present weights.
        num_eigenvalues: k, from 1 to P. `None` is 2, or 1 for a single weight.
        num_samples: Products for the trace. 0 leaves it out.
        seed: Integer of the random vectors.
        tolerance: Bound of each residual relative to its eigenvalue. No residual is asked to be
            smaller than the rounding noise of the products: in float32 about 1e-5 of the
            eigenvalue that is largest by magnitude.

    Returns:
        A `Sharpness`.

    Raises:
        ValueError: The point has another size than P, a number is out of range, or the Hessian is
            not finite at the point.

    Warns:
        RuntimeWarning: Residuals are above the tolerance after about 2000 products, or because the
            products are noisier than that.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mean_squared_error")
    >>> x = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> objective = keras_valleys.objectives.Objective(model, x, np.zeros((2, 1)))
    >>> sharpness = keras_valleys.gradients.sharpness(objective)
    >>> [round(float(value), 4) for value in sharpness.eigenvalues], round(sharpness.trace, 4)
    ([4.0, 1.0], 5.0)
    """
    check_kind("sharpness", "objective", objective=objective)
    size = objective.size
    num_eigenvalues = min(2, size) if num_eigenvalues is None else num_eigenvalues
    check_whole("sharpness", 1, size, num_eigenvalues=num_eigenvalues)
    check_whole("sharpness", num_samples=num_samples)
    check_whole("sharpness", seed=seed)
    if not tolerance > 0:
        raise refusal("sharpness", "`tolerance` > 0", {"tolerance": tolerance}, "Use 1e-4.")
    point = _as_point("sharpness", objective, point)

    def multiply(vector):
        # One at a time: one compiled function for all of them, and no more memory.
        product = objective.compute(_products, vector[None], point)[0].astype("float64")
        if not np.all(np.isfinite(product)):
            raise refusal(
                "sharpness",
                "a Hessian of finite numbers",
                f"{np.count_nonzero(~np.isfinite(product))} of {size} numbers of a product that "
                "are NaN or infinite",
                "Give a point where the loss is smooth and finite.",
            )
        return product

    # Keras computes losses in its own float type, whatever the model's is.
    double = objective.dtype == keras.config.floatx() == "float64"
    precision = float(np.finfo("float64" if double else "float32").eps)
    pairs = leading(
        multiply, size, num_eigenvalues, tolerance=tolerance, precision=precision, seed=seed
    )
    if not pairs.converged:
        warnings.warn(
            f"`sharpness` stopped after {pairs.num_products} Hessian-vector products with "
            f"residuals {pairs.residuals} of the eigenvalues {pairs.values}, more than the "
            f"tolerance {tolerance}. Ask for fewer eigenvalues or a larger tolerance.",
            RuntimeWarning,
            stacklevel=2,
        )
    trace, error, count = _trace(multiply, pairs, num_samples, seed)
    return Sharpness(
        pairs.values,
        pairs.vectors,
        trace,
        error,
        pairs.residuals,
        pairs.num_products + count,
        pairs.converged,
    )


def _trace(multiply, pairs, num_samples, seed):
    """The trace, its standard error, and the number of products."""
    size = pairs.vectors.shape[1]
    if not num_samples:
        return np.nan, np.nan, 0
    if size <= num_samples:
        return sum(float(multiply(unit) @ unit) for unit in np.eye(size)), 0.0, size
    random = np.random.default_rng([seed, 1])  # not the vectors that Lanczos began with
    parts = []
    for _ in range(num_samples):
        signs = random.choice([-1.0, 1.0], size)
        # The leading eigenvectors give most of the variance, and their part is known.
        signs -= (pairs.vectors @ signs) @ pairs.vectors
        parts.append(float(multiply(signs) @ signs))
    trace = float(pairs.values.sum() + np.mean(parts))
    error = np.std(parts, ddof=1) / np.sqrt(num_samples) if num_samples > 1 else np.nan
    return trace, float(error), num_samples


def _gradients(loss, points):
    return _backend.map_rows(lambda point: _backend.gradient(loss, point), points)


def _products(loss, vectors, point):
    def product(vector):
        return _backend.hessian_vector_product(loss, point, vector)

    return _backend.map_rows(product, vectors)


def _by_rows(objective, function, rows, *others):
    """`objective.compute` for rows of any shape, as many at a time as memory allows."""
    flat = rows.reshape(-1, objective.size)
    at_once = max(CALL_BYTES // (flat.itemsize * objective.size), 1)
    parts = [flat[i : i + at_once] for i in range(0, len(flat), at_once)]
    found = [objective.compute(function, part, *others) for part in parts]
    return np.concatenate(found).reshape(rows.shape) if found else np.empty_like(rows)


def _as_points(owner, objective, *, shape="(..., P)", **argument):
    """An argument as an array of weight vectors in the objective's float type, or an error."""
    (name,) = argument
    points = as_numbers(owner, objective.dtype, **argument)
    wanted = points.shape[-1:] == (objective.size,) and (shape != "(P,)" or points.ndim == 1)
    if not wanted:
        raise refusal(
            owner,
            f"`{name}` of shape {shape} with P = {objective.size}, one number per weight",
            f"shape {points.shape}",
            "`objective.point()` is such a weight vector.",
        )
    return points


def _as_point(owner, objective, point):
    point = objective.point() if point is None else point
    return _as_points(owner, objective, shape="(P,)", point=point)
