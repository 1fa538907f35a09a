"""The data of the worked examples, row for row as published."""

import math

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import (
    check_number,
    check_whole,
    is_finite,
    is_whole,
    refusal,
)

__all__ = ["repeat", "rosette", "straight_line"]


def __dir__():
    return __all__


Columns = tuple[np.ndarray, np.ndarray]  # x and y


def rosette(
    num_lines: int = 5,
    num_points: int = 100,
    noise: float = 0.0,
    test_fraction: float = 0.33,
    seed: int = 314,
    split_seed: int = 42,
) -> tuple[Columns, Columns]:
    """Straight lines through the origin, at evenly spaced angles.

    Line `k` has the angle `k * 2*pi / num_lines` where `num_lines` is odd (the published data).
    For an even number that formula draws every line twice, because an angle and the angle plus
    `pi` are the same line; there the angle is `k * pi / num_lines`. Either way the lines are
    `pi / num_lines` apart and each appears once.

    The defaults are the published data: 5 lines of 200 points at 100 radii on both sides of the
    origin, the radii shared by all lines, 670 training and 330 test rows. The generator is NumPy's
    `RandomState`, whose streams are frozen, so the rows stay the same for ever.

    Args:
        num_lines: Number of lines, at least 1.
        num_points: Number of radii, at least 1; each line has two points per radius.
        noise: Standard deviation of the normal noise on y, at least 0.
        test_fraction: Share of the rows that goes to the test set, in [0, 1); rounded up to rows.
        seed: Seed of the radii and the noise.
        split_seed: Seed of the split.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: float32 arrays of shape `(rows, 1)`.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> (x_train, y_train), (x_test, y_test) = keras_valleys.datasets.rosette()
    >>> x_train.shape, x_test.shape
    ((670, 1), (330, 1))
    >>> round(float(x_train[0, 0]), 4)
    0.6336

    Source: H. F. Wittmann, "Loss surface with multiple valleys", 2019.
    """
    _check_count("rosette", "num_lines", num_lines)
    _check_count("rosette", "num_points", num_points)
    _check_noise("rosette", noise)
    _check_seed("rosette", seed=seed)
    _check_seed("rosette", split_seed=split_seed)
    random = np.random.RandomState(seed)
    radii = random.uniform(0, 1, num_points)
    radii = np.concatenate([radii, -radii])
    turn = 2 * np.pi if num_lines % 2 else np.pi
    x, y = [], []
    for angle in np.linspace(0, turn, num_lines + 1)[:-1]:
        x.append(np.cos(angle) * radii)
        y.append(np.sin(angle) * radii + noise * random.normal(size=len(radii)))
    return _split("rosette", np.concatenate(x), np.concatenate(y), test_fraction, split_seed)


def straight_line(
    num_points: int = 1000,
    slope: float = 3.0,
    intercept: float = 2.0,
    noise: float = 1.0,
    test_fraction: float = 0.33,
    seed: int = 314,
) -> tuple[Columns, Columns]:
    """One noisy straight line, whose squared error has one simple valley.

    `y = slope * x + intercept + noise * normal`, with x standard normal. The defaults are the data
    of the example's predecessor: `Dense(1)` with slope 5 and intercept 0, the mean squared error
    and SGD with learning rate 0.1 fall straight into the valley. The split has the seed 42.

    Args:
        num_points: Number of rows, at least 2.
        slope: Slope of the line.
        intercept: Intercept of the line.
        noise: Standard deviation of the normal noise on y, at least 0.
        test_fraction: Share of the rows that goes to the test set, in [0, 1); rounded up to rows.
        seed: Seed of x and the noise.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: float32 arrays of shape `(rows, 1)`.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> (x_train, y_train), _ = keras_valleys.datasets.straight_line()
    >>> x_train.shape
    (670, 1)

    Source: H. F. Wittmann, "Loss surface with multiple valleys", 2019 (the predecessor).
    """
    _check_count("straight_line", "num_points", num_points)
    _check_noise("straight_line", noise)
    _check_seed("straight_line", seed=seed)
    for name, number in (("slope", slope), ("intercept", intercept)):
        check_number("straight_line", "a finite number", f"Use {name}=1.0.", **{name: number})
    random = np.random.RandomState(seed)
    x = random.normal(size=num_points)
    y = slope * x + intercept + noise * random.normal(size=num_points)
    return _split("straight_line", x, y, test_fraction, split_seed=42)


def repeat(
    x: ArrayLike, y: ArrayLike, num_steps: int, batch_size: int | None = None, seed: int = 0
) -> Columns:
    """The rows of a data set again and again: one epoch of them is a whole run.

    `model.fit` spends most of a small model's time between epochs. One epoch of `num_steps` steps
    makes the same updates as many epochs of a few steps, and is up to 24 times faster. Fit the
    result in its order: `model.fit(x, y, batch_size=batch_size, shuffle=False)`.

    Args:
        x: Array of shape `(rows, ...)`.
        y: Array of shape `(rows, ...)`.
        num_steps: Number of steps, at least 1.
        batch_size: Rows of a step, from 1 to all. `None` takes all, in their order; a smaller
            batch is drawn without replacement, in a new order each time the rows are used up; what
            does not fill a batch is left out.
        seed: Seed of the orders.

    Returns:
        `x, y` with `num_steps * batch_size` rows, all in memory.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> (x, y), _ = keras_valleys.datasets.rosette()
    >>> keras_valleys.datasets.repeat(x, y, num_steps=100)[0].shape
    (67000, 1)
    """
    x, y = np.asarray(x), np.asarray(y)
    rows = len(x)
    batch_size = rows if batch_size is None else batch_size
    _check_seed("repeat", seed=seed)
    _check_count("repeat", "num_steps", num_steps)
    _check_count("repeat", "batch_size", batch_size)
    if batch_size > rows or len(y) != rows:
        raise refusal(
            "repeat",
            "`x` and `y` of one length, and a `batch_size` of at most that",
            f"{rows} rows of x, {len(y)} of y, batch_size={batch_size}",
            f"Use batch_size={rows} for steps over all rows.",
        )
    if batch_size == rows:
        return _tile(x, num_steps), _tile(y, num_steps)
    random = np.random.default_rng(seed)
    per_pass = rows // batch_size
    passes = [random.permutation(rows) for _ in range(-(-num_steps // per_pass))]
    order = np.concatenate([one[: per_pass * batch_size] for one in passes])
    order = order[: num_steps * batch_size]
    return x[order], y[order]


def _split(name, x, y, test_fraction, split_seed):
    rows = len(x)
    fits = is_finite(test_fraction) and 0 <= test_fraction < 1
    num_test = math.ceil(test_fraction * rows) if fits else rows
    if num_test >= rows:
        raise refusal(
            name,
            f"`test_fraction` to be in [0, 1) and to leave at least one training row of {rows}",
            {"test_fraction": test_fraction},
            "Use test_fraction=0 to keep all rows for training.",
        )
    order = np.random.RandomState(split_seed).permutation(rows)
    columns = np.stack([x, y]).astype("float32")[:, :, None]
    test, train = order[:num_test], order[num_test:]
    return (columns[0, train], columns[1, train]), (columns[0, test], columns[1, test])


def _tile(rows, times):
    return np.tile(rows, (times, *[1] * (rows.ndim - 1)))


def _check_count(name, argument, value):
    check_whole(name, 1, remedy=f"Use {argument}=1 for the least.", **{argument: value})


def _check_seed(name, **argument):
    ((key, seed),) = argument.items()
    if seed is not None and not (is_whole(seed) and 0 <= seed < 2**32):
        wanted = f"`{key}` to be an integer from 0 to 2**32 - 1, or None for another one each time"
        raise refusal(name, wanted, argument, f"Use {key}=0.")


def _check_noise(name, noise):
    wanted = "a finite standard deviation >= 0"
    remedy = "Use noise=0.0 for points exactly on the lines."
    check_number(name, wanted, remedy, least=0, noise=noise)
