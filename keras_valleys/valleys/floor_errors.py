"""How far the sampled losses at floors may lie from the floors of the function itself.

A sample is above the floor that it is near. Where the bottom is smooth on the grid, polynomials
through the samples around tell how far, and how much those of different degrees differ tells how
well. A bottom with a kink or a cusp, or that is narrower than the grid, goes down between the
samples by no more than the loss rises to the next samples, as a rule, and by three
times that almost always. What is noise in the samples adds to both.
"""

import numpy as np

SIZES = (3, 5, 7)  # samples that a polynomial goes through
SECOND, FOURTH, SIXTH = 2, 6, 20  # differences, of a sample's distance from the others' polynomial
SMOOTH = 0.25  # a fourth difference over a second
MIDDLE = (2, 3, 4)  # of seven samples
DOUBT = 8.0  # the error of a polynomial, in differences to that of another degree
STEEP = 3.2  # how far it may go down, in rises to the next samples: a fourth root midway
NOT_EVEN = 1.1  # between shares the bottom is nearly, but not quite, a parabola
SHARES = np.linspace(0.0, 1.0, 41)  # of the way from the sample before to that after


def along_curve(losses, axis, cells, noise):
    """The errors of the floors of a curve.

    Args:
        losses: float64 array of the nodes of the axis.
        axis: An `Axis`.
        cells: The floors, nodes.
        noise: Array like `cells`: how much of the loss near each floor may be noise.

    Returns:
        Array like `cells`, in units of the loss.
    """
    more = kinks(losses, (axis,), cells, noise)
    smooth = ~np.isnan(more)
    more = more[smooth] + noise[smooth]
    found = noise + STEEP * rises(losses, (axis,), cells)
    smooth_cells = cells[smooth]
    drops = np.stack([_drop(losses, axis, smooth_cells, size) for size in SIZES])
    for lower, higher in ((0, 1), (1, 2)):  # the highest degree that the samples allow counts
        low, high = drops[lower], drops[higher]
        errors = np.maximum(low, high) + DOUBT * np.abs(low - high) + more
        found[smooth] = np.where(np.isnan(errors), found[smooth], errors)
    return found


def on_plane(losses, axes, cells, noise, lows=None):
    """The errors of the floors of a plane.

    Args:
        losses: float64 array `(n, m)` of the nodes of the axes.
        axes: Two `Axis`.
        cells: The floors, flat indices.
        noise: Array like `cells`.
        lows: Array like `cells`: how low the smooth surface through the samples may be near each
            floor; `None` of a plane that has none.

    Returns:
        Array like `cells`, in units of the loss.
    """
    found = noise + STEEP * rises(losses, axes, cells)
    if lows is None:
        return found
    errors = np.maximum(losses.ravel()[cells] - lows, 0.0) + noise
    more = kinks(losses, axes, cells, noise)
    return np.where(np.isnan(more), np.maximum(errors, found), errors + more)


def kinks(losses, axes, cells, noise):
    """How much lower a kink near floors may be than what is smooth; NaN where none is smooth.

    Along each axis, and on a plane along both diagonals, a cubic must tell the loss of a sample
    from the others much better than a line does, and likewise the samples beside the floor: a kink
    two thirds of the way to the next sample is seen there only. A kink is as large in differences
    of the fourth order as in those of the sixth, and goes down by half of that.
    """
    rows = [_around(losses, axes, cells, way, 3) for way in _ways(axes)]
    if not rows:  # of a single sample
        return np.full(len(cells), np.nan)
    x, y = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    lines, cubics = (
        _left_over(*(_windows(values, k) for values in (x, y))).reshape(3, -1) for k in (1, 2)
    )
    fourth = FOURTH * np.fmax.reduce(cubics)
    noises = np.tile(noise, len(rows))
    smooth = fourth <= np.maximum(SMOOTH * SECOND * np.fmax.reduce(lines), noises)
    smooth &= np.isfinite(cubics[1])  # near an end those beside are not known
    kink = np.fmin(fourth, SIXTH * _left_over(x, y)) / 2
    return np.where(smooth, kink, np.nan).reshape(len(rows), -1).max(axis=0)


def _windows(values, k):
    """The `2 k + 1` around each of the three in the middle of seven, one under the other."""
    return np.concatenate([values[:, n - k : n + k + 1] for n in MIDDLE])


def rises(losses, axes, cells):
    """How far the loss changes to the next samples, at most; NaN where one is not known."""
    found = np.zeros(len(cells))
    for way in _ways(axes):
        _, y = _around(losses, axes, cells, way, 1)
        with np.errstate(over="ignore"):
            found = np.maximum(found, np.abs(y - y[:, 1:2]).max(axis=1))
    return found


def _ways(axes):
    """Steps to half of the neighbors; an axis of one node has none along it."""
    ways = [(1,)] if len(axes) == 1 else [(1, 0), (0, 1), (1, 1), (1, -1)]
    long = [len(axis.nodes) > 1 for axis in axes]
    return [
        way for way in ways if all(far or not step for far, step in zip(long, way, strict=True))
    ]


def _around(losses, axes, cells, way, reach):
    """Distances and losses `(n, 2 reach + 1)` of the samples around cells; NaN beyond an end."""
    where = np.unravel_index(cells, losses.shape)
    squares, index, known = 0.0, [], True
    steps = np.arange(-reach, reach + 1)
    for axis, at, step in zip(axes, where, way, strict=True):
        count = len(axis.nodes)
        turns, nodes = np.divmod(at[:, None] + step * steps, count)
        known = known & ((turns == 0) | axis.joined)
        away = axis.nodes[nodes] - axis.nodes[at][:, None]
        if axis.joined:
            away = away + turns * axis.period
        squares = squares + away**2
        index.append(nodes)
    losses = np.where(known, losses[tuple(index)], np.nan)
    return np.sqrt(squares) * np.sign(steps), losses


def _left_over(x, y):
    """The distance of the middle samples from the polynomials through the others."""
    half = x.shape[1] // 2
    with np.errstate(all="ignore"):  # where a ring has too few samples
        weights = _weights(x)
        return np.abs(np.sum(weights * (y - y[:, half, None]), axis=1) / weights[:, half])


def _weights(x):
    """Those of Lagrange's formula: of each node one over the product of its distances."""
    gaps = x[:, :, None] - x[:, None, :]
    gaps[:, range(x.shape[1]), range(x.shape[1])] = 1.0
    return 1 / gaps.prod(axis=2)


def _drop(losses, axis, cells, size):
    """How far the polynomial through `size` samples goes down below floors; NaN where unknown.

    At an end of a line they are the nearest samples.
    """
    count, half = len(axis.nodes), size // 2
    found = np.full(len(cells), np.nan)
    if count < size or not len(cells):
        return found
    shift = 0 if axis.joined else np.clip(cells, half, count - 1 - half) - cells
    x, y = _around(losses, (axis,), cells + shift, (1,), half)
    near, _ = _around(losses, (axis,), cells, (1,), 1)
    x = x - (x[np.arange(len(cells)), half - shift])[:, None]
    y = y - losses[cells][:, None]
    scale = np.abs(y).max(axis=1)
    with np.errstate(all="ignore"):
        y = y / np.where(scale > 0, scale, 1.0)[:, None]  # squares stay in range
        places = near[:, :1] + SHARES * (near[:, 2:] - near[:, :1])
        gaps = places[:, :, None] - x[:, None, :]
        terms = [
            np.delete(gaps, n, axis=2).prod(axis=2) * (weight * loss)[:, None]
            for n, (weight, loss) in enumerate(zip(_weights(x).T, y.T, strict=True))
        ]
        values = sum(terms)
        rows = np.arange(len(cells))
        at = np.clip(np.argmin(values, axis=1), 1, len(SHARES) - 2)
        before, lowest, after = (values[rows, at + n] for n in (-1, 0, 1))
        deeper = (after - before) ** 2 / (8 * (before + after - 2 * lowest))
        is_bottom = (before > lowest) & (after > lowest)
        return scale * (np.where(is_bottom, NOT_EVEN * deeper, 0.0) - lowest)
