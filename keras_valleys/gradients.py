"""The slope and the curvature of the loss: gradients, Hessian products, leading eigenvalues."""

import dataclasses
import warnings
import weakref

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_valleys import _backend
from keras_valleys._checks import as_numbers, check_kind, check_whole, is_finite, refusal
from keras_valleys._linalg import leading
from keras_valleys._results import Result, counted, frozen
from keras_valleys.objectives import CALL_BYTES, Objective

ROUNDING = 1e-5  # of a loss in float32, relative; of many rows and layers

# Whose derivatives were compared with the loss.
_SLOPES: weakref.WeakSet = weakref.WeakSet()
_CURVATURES: weakref.WeakSet = weakref.WeakSet()

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
        ValueError: Points have another size than P, or what the backend gives is not the slope of
            the loss: it is compared with differences of the loss once per Objective.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mean_squared_error")
    >>> objective = keras_valleys.objectives.Objective(model, np.eye(2), np.zeros((2, 1)))
    >>> keras_valleys.gradients.gradient(objective, [[3.0, 0.0], [1.0, -2.0]]).tolist()
    [[3.0, 0.0], [1.0, -2.0]]
    """
    check_kind("gradient", "objective", objective=objective)
    points = objective.point() if points is None else points
    rows = _as_points("gradient", objective, points=points)
    if rows.size:
        _check_slope("gradient", objective, rows.reshape(-1, objective.size)[0])
    return _by_rows(objective, _gradients, rows)


def hessian_vector_product(
    objective: Objective, vectors: ArrayLike, point: ArrayLike | None = None
) -> np.ndarray:
    """The Hessian of the loss at a point, times each vector.

    The Hessian itself, `(P, P)` numbers, is never formed.

    Args:
        objective: A `keras_valleys.objectives.Objective` over P weights.
        vectors: Array of shape `(..., P)`.
        point: Weight vector of shape `(P,)`. `None` is the model's present weights.

    Returns:
        Array of shape `(..., P)`.

    Raises:
        ValueError: The point or the vectors have another size than P, or what the backend gives is
            no second derivative of the loss: that it is symmetric is checked once per Objective.

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
    _check_curvature("hessian_vector_product", objective, point)
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
            not finite at the point, or not symmetric as the backend gives it.

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
    if not is_finite(tolerance) or not tolerance > 0:
        raise refusal("sharpness", "`tolerance` > 0", {"tolerance": tolerance}, "Use 1e-4.")
    point = _as_point("sharpness", objective, point)
    _check_curvature("sharpness", objective, point)

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


def _check_slope(owner, objective, point):
    """Refuse a gradient that is not the slope of the loss; once per Objective.

    Along a random direction the gradient gives a slope, and two losses on either side give another.
    The two may differ at a kink, and are compared at three places before anything is refused.
    """
    if objective in _SLOPES or not np.all(np.isfinite(point)):
        return
    random = np.random.default_rng(0)
    scale = _typical_size(point)
    for far in (0.0, 0.03, 0.1):
        place = (point + far * scale * random.normal(size=point.shape)).astype(point.dtype)
        direction = scale * random.normal(size=point.shape)
        slope = objective.compute(_gradients, place[None])[0].astype("float64") @ direction
        found, doubt = _slope_between(objective, place, direction)
        # Nothing can be told where losses are not finite.
        if not np.isfinite(slope + found) or abs(slope - found) <= doubt:
            _SLOPES.add(objective)
            return
        if far and doubt <= 0.01 * abs(found):  # no kink is near a random place
            break
    raise refusal(
        owner,
        "a loss whose gradient, as the backend gives it, is its slope",
        f"a slope of {found:.4g} by differences of the loss, and of {slope:.4g} by the gradient",
        "Look for `stop_gradient`, rounding, NumPy or gradients of your own in the model or loss.",
    )


def _typical_size(point):
    """The root mean square of the weights at a point; 1 where all are 0."""
    return np.sqrt(np.mean(np.square(point, dtype="float64"))) or 1.0


def _slope_between(objective, place, direction):
    """The slope of the loss along a direction by differences, and how far it may be off.

    Where the loss is smooth a wide and a narrow difference agree.
    """
    steps = np.array([1e-2, 1e-3])
    ends = place + np.concatenate([-steps, steps])[:, None] * direction
    losses = objective(ends.astype(place.dtype)).astype("float64")
    wide, narrow = (losses[2:] - losses[:2]) / (2 * steps)
    rounding = ROUNDING * np.abs(losses).max() / (2 * steps[0])
    return wide, 3 * abs(wide - narrow) + 2e-3 * abs(wide) + rounding


def _check_curvature(owner, objective, point):
    """Refuse second derivatives that are none; once per Objective.

    A Hessian is symmetric, v' H w = w' H v. Where the backend has no derivative of an operation's
    gradient it gives zeros, and these are not symmetric, or all is zero.
    """
    if objective in _CURVATURES:
        return
    _check_slope(owner, objective, point)
    one, other = np.random.default_rng(0).choice([-1.0, 1.0], (2, objective.size))
    pairs = np.stack([one, other]).astype(point.dtype)
    of_one, of_other = objective.compute(_products, pairs, point).astype("float64")
    if np.all(np.isfinite([of_one, of_other])):
        a, b = of_one @ other, of_other @ one
        size = np.sqrt(objective.size)
        noise = 1e-5 * size * (np.linalg.norm(of_one) + np.linalg.norm(of_other))
        if abs(a - b) > 0.05 * max(abs(a), abs(b)) + noise:
            raise _no_curvature(owner, f"v' H w = {a:.4g} and w' H v = {b:.4g}")
        if not np.any(of_one) and _gradient_changes(objective, point, one):
            raise _no_curvature(owner, "products that are all 0, of a gradient that changes")
    _CURVATURES.add(objective)


def _gradient_changes(objective, point, direction):
    """Whether the gradient changes along a direction, and evenly: not by a jump at a kink."""
    scale = _typical_size(point)
    steps = scale * np.array([[-1e-2], [1e-2], [-1e-3], [1e-3]])
    ends = (point + steps * direction).astype(point.dtype)
    slopes = objective.compute(_gradients, ends).astype("float64")
    wide, narrow = (slopes[1] - slopes[0]) / 10, slopes[3] - slopes[2]
    rounding = ROUNDING * np.linalg.norm(slopes[0])
    apart = np.linalg.norm(wide - narrow)
    return np.linalg.norm(wide) > rounding and apart <= 0.1 * np.linalg.norm(wide) + rounding


def _no_curvature(owner, found):
    return refusal(
        owner,
        "a loss that the backend can differentiate twice",
        found,
        "Layers such as bilinear Resizing and UpSampling2D on TensorFlow have no second "
        "derivative: use interpolation='nearest', or another backend.",
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
