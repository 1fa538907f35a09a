"""The functions that optimizers are tried on, with their minima and saddles in closed form.

Each formula takes tensors, for `model.fit`, and NumPy's arrays, for exact values.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_valleys._checks import check_number
from keras_valleys.functions.function import Function, in_numpy

# Roots of Himmelblau's and Beale's gradients, computed with 40 digits.
HIMMELBLAU_MINIMA = (
    (3.0, 2.0),
    (-2.805118086952745, 3.131312518250573),
    (-3.779310253377747, -3.2831859912861696),
    (3.5844283403304917, -1.8481265269644036),
)
HIMMELBLAU_SADDLES = (
    (0.08667750455539636, 2.884254701174776),
    (-3.0730257507643897, -0.08135304428796751),
    (-0.12796134673068008, -1.9537149802445763),
    (3.385154183607021, 0.07385187983774928),
)
BEALE_SADDLES = ((0.0, 1.0), (0.10053793732415836, -2.644513585023125))
BEALE_CONSTANTS = (1.5, 2.25, 2.625)


def rosenbrock(*, b: float = 100.0) -> Function:
    """Rosenbrock's banana: a curved ravine, easy to fall into and slow to follow.

    `(1 - x)^2 + b (y - x^2)^2`, with its minimum 0 at (1, 1). At b = 100 the curvature there is
    1002 across the ravine and 0.4 along it.

    Args:
        b: How steep the walls are, a number > 0.

    Returns:
        A `Function` of two weights.

    Raises:
        ValueError: `b` is no finite number > 0.

    Example:

    >>> float(keras_valleys.functions.rosenbrock()([-1.0, 2.0]))
    104.0

    Source: H. H. Rosenbrock, "An automatic method for finding the greatest or least value of a
    function", The Computer Journal 3, 1960.
    """
    check_number("rosenbrock", "a finite number > 0", "Use b=100.0.", above=0, b=b)
    return Function(
        "rosenbrock",
        _rosenbrock,
        [(-2.0, 2.0), (-1.0, 3.0)],
        [-1.2, 1.0],
        f"(1 - x)^2 + {b:g} (y - x^2)^2",
        [(1.0, 1.0)],
        arguments={"b": float(b)},
        slopes=_rosenbrock_slopes,
    )


@in_numpy
def _rosenbrock(x, y, b):
    return (1 - x) ** 2 + b * (y - x**2) ** 2


def _rosenbrock_slopes(x, y, b):
    off = y - x**2
    return -2 * (1 - x) - 4 * b * x * off, 2 * b * off


def beale() -> Function:
    """Beale's function: a flat plateau with steep corners, and a minimum in a bent valley.

    `(1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2`, with its minimum 0 at
    (3, 0.5) and a saddle at (0, 1).

    Returns:
        A `Function` of two weights.

    Example:

    >>> float(keras_valleys.functions.beale()([1.0, 1.0]))
    14.203125

    Source: E. M. L. Beale, "On an iterative method for finding a local minimum of a function of
    more than one variable", Princeton University, 1958.
    """
    return Function(
        "beale",
        _beale,
        [(-4.5, 4.5), (-4.5, 4.5)],
        [1.0, 1.0],
        "(1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2",
        [(3.0, 0.5)],
        BEALE_SADDLES,
        slopes=_beale_slopes,
    )


@in_numpy
def _beale(x, y):
    first, second, third = _beale_errors(x, y)
    return first**2 + second**2 + third**2


def _beale_slopes(x, y):
    errors, powers = _beale_errors(x, y), (y, y**2, y**3)
    bends = (1.0, 2 * y, 3 * y**2)
    along_x = sum(2 * error * (power - 1) for error, power in zip(errors, powers, strict=True))
    along_y = sum(2 * error * x * bend for error, bend in zip(errors, bends, strict=True))
    return along_x, along_y


def _beale_errors(x, y):
    return [c - x * (1 - y ** (k + 1)) for k, c in enumerate(BEALE_CONSTANTS)]


def himmelblau() -> Function:
    """Himmelblau's function: four valleys, equally deep.

    `(x^2 + y - 11)^2 + (x + y^2 - 7)^2`, with four minima of value 0, one of them at (3, 2), four
    saddles between them, and a maximum in their middle.

    Returns:
        A `Function` of two weights.

    Example:

    >>> float(keras_valleys.functions.himmelblau()([0.0, 0.0]))
    170.0

    Source: D. M. Himmelblau, "Applied Nonlinear Programming", McGraw-Hill, 1972.
    """
    return Function(
        "himmelblau",
        _himmelblau,
        [(-5.0, 5.0), (-5.0, 5.0)],
        [0.0, 0.0],
        "(x^2 + y - 11)^2 + (x + y^2 - 7)^2",
        HIMMELBLAU_MINIMA,
        HIMMELBLAU_SADDLES,
        slopes=_himmelblau_slopes,
    )


@in_numpy
def _himmelblau(x, y):
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def _himmelblau_slopes(x, y):
    first, second = x**2 + y - 11, x + y**2 - 7
    return 4 * x * first + 2 * second, 2 * first + 4 * y * second


def rastrigin() -> Function:
    """Rastrigin's function: a bowl full of dents, 121 of them within the limits.

    `20 + x^2 + y^2 - 10 (cos(2 pi x) + cos(2 pi y))`, with its lowest minimum 0 at (0, 0) and
    others near all whole numbers.

    Returns:
        A `Function` of two weights.

    Example:

    >>> float(keras_valleys.functions.rastrigin()([1.0, -2.0]))
    5.0

    Source: L. A. Rastrigin, "Systems of extremal control", Nauka, 1974.
    """
    # Along each weight the slope 2 x + 20 pi sin(2 pi x) is 0 at the dents and at the bumps.
    dents, bumps = np.arange(-5.0, 6), np.arange(-4.5, 5)
    at_dents, at_bumps = dents.copy(), bumps.copy()
    for _ in range(10):  # each time two more digits
        at_dents = dents - np.arcsin(at_dents / (10 * np.pi)) / (2 * np.pi)
        at_bumps = bumps + np.arcsin(at_bumps / (10 * np.pi)) / (2 * np.pi)
    return Function(
        "rastrigin",
        _rastrigin,
        [(-5.12, 5.12), (-5.12, 5.12)],
        [4.2, -2.7],
        "20 + x^2 + y^2 - 10 (cos(2 pi x) + cos(2 pi y))",
        _pairs(at_dents, at_dents),
        np.concatenate([_pairs(at_dents, at_bumps), _pairs(at_bumps, at_dents)]),
        slopes=_rastrigin_slopes,
    )


@in_numpy
def _rastrigin(x, y):
    cos = _module_of(x).cos
    return 20 + x**2 + y**2 - 10 * (cos(2 * math.pi * x) + cos(2 * math.pi * y))


def _rastrigin_slopes(x, y):
    sin = _module_of(x).sin
    return tuple(2 * w + 20 * math.pi * sin(2 * math.pi * w) for w in (x, y))


def _pairs(a, b):
    return np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2)


def saddle() -> Function:
    """A saddle: down to it along x, and away from it along y, for ever.

    `x^2 - y^2`, without a minimum, and negative where |y| > |x|.

    Returns:
        A `Function` of two weights.

    Example:

    >>> float(keras_valleys.functions.saddle()([1.0, 2.0]))
    -3.0
    """
    return Function(
        "saddle",
        _saddle,
        [(-1.5, 2.0), (-1.2, 1.6)],
        [1.5, 0.01],
        "x^2 - y^2",
        saddles=[(0.0, 0.0)],
        slopes=_saddle_slopes,
    )


@in_numpy
def _saddle(x, y):
    return x**2 - y**2


def _saddle_slopes(x, y):
    return 2 * x, -2 * y


def oblique_valley(*, condition: float = 100.0, angle: float = math.pi / 6) -> Function:
    """A long straight valley at an angle to the weights: an ill-conditioned quadratic.

    `(u^2 + condition v^2) / 2`, where u is the way along the valley and v the way across:
    `u = cos(angle) x + sin(angle) y`, `v = cos(angle) y - sin(angle) x`. Its Hessian has the
    eigenvalues 1 and `condition` everywhere, so that plain gradient descent oscillates across the
    valley for ever at the learning rate `2 / condition`. Optimizers that scale each weight by
    itself, such as Adam, depend on the angle; SGD does not.

    Args:
        condition: How many times more it curves across the valley than along it, a number > 0.
        angle: Angle of the valley to the first weight, in radians.

    Returns:
        A `Function` of two weights.

    Raises:
        ValueError: `condition` is no finite number > 0, or `angle` is not finite.

    Example:

    >>> valley = keras_valleys.functions.oblique_valley(condition=100.0, angle=0.0)
    >>> float(valley([2.0, 1.0]))
    52.0
    """
    owner, number = "oblique_valley", "a finite number > 0"
    check_number(owner, number, "Use condition=100.0.", above=0, condition=condition)
    check_number(owner, "a finite angle in radians", "Use angle=0.5.", angle=angle)
    return Function(
        "oblique_valley",
        _oblique_valley,
        [(-2.0, 3.0), (-1.5, 2.0)],
        [2.5, 0.5],
        f"(u^2 + {condition:g} v^2) / 2, turned by {math.degrees(angle):g} degrees",
        [(0.0, 0.0)],
        arguments={"condition": float(condition), "angle": float(angle)},
        slopes=_oblique_valley_slopes,
    )


@in_numpy
def _oblique_valley(x, y, condition, angle):
    along, across = _turned(x, y, angle)
    return (along**2 + condition * across**2) / 2


def _oblique_valley_slopes(x, y, condition, angle):
    along, across = _turned(x, y, angle)
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * along - sin * condition * across, sin * along + cos * condition * across


def _turned(x, y, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def power(p: float = 0.5) -> Function:
    """A power of one weight's absolute value, `|w|^p`: a bowl, a corner, or a cusp.

    A bowl for p > 1, a corner for p = 1, and a cusp for p < 1, whose slope is infinite at its tip.
    At 0 this function has the gradient 0, on all backends, and for p < 2 no curvature there;
    numbers too small for the dtype's full precision count as 0.

    Gradient descent at the learning rate r jumps to and fro between `w` and `-w` where
    `w = (r p / 2)^(1 / (2 - p))`, at equal losses: for 1 < p < 2 it comes to that, and for p < 1 it
    is thrown away from it, however small r is.

    Args:
        p: A number > 0.

    Returns:
        A `Function` of one weight.

    Raises:
        ValueError: `p` is no finite number > 0.

    Example:

    >>> keras_valleys.functions.power(0.5)([[4.0], [-9.0]]).tolist()
    [2.0, 3.0]
    """
    check_number("power", "a finite number > 0", "Use p=0.5 for a cusp.", above=0, p=p)
    return Function(
        "power",
        _power,
        [(-1.0, 1.5)],
        [1.2],
        f"|w|^{p:g}",
        [(0.0,)],
        arguments={"p": float(p)},
        slopes=_power_slopes,
    )


@in_numpy
def _power(w, p):
    if p == 2:  # the one whose curvature at 0 is neither 0 nor infinite
        return w * w
    # Both branches of a `where` are differentiated: the inner one keeps the infinite slope of the
    # power at zero, times 0, from becoming NaN.
    m, size, zero = _sizes(w)
    return m.where(zero, m.zeros_like(size), m.power(m.where(zero, m.ones_like(size), size), p))


def _power_slopes(w, p):
    m, size, zero = _sizes(w)
    slope = p * m.power(m.where(zero, m.ones_like(size), size), p - 1)
    return (m.where(zero, m.zeros_like(size), m.sign(w) * slope),)


def _sizes(w):
    """The module that computes with w, |w|, and where that counts as zero: is subnormal."""
    m = _module_of(w)
    size = m.abs(w)
    return m, size, size < float(np.finfo(keras.backend.standardize_dtype(w.dtype)).tiny)


def _module_of(w):
    """NumPy for its arrays, Keras for tensors: the names are the same."""
    return np if isinstance(w, np.ndarray | np.generic) else ops
