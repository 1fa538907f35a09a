"""Floors and ridges of a curve, located between its samples by asking the objective again.

Each extreme is first shut in: of a fine row of points in its bracket those stay that no rounding
sets apart from the best one. At a cusp or a kink this ends at the resolution of the coordinate.
Where the curve is smooth it ends where rounding hides the curve, at the root of the rounding; there
a polynomial through many points of a wider window tells the place, the widest window in which
nothing but rounding is left beside the polynomial.
"""

import dataclasses

import numpy as np
from numpy.polynomial import chebyshev

from keras_valleys.valleys._lines import place, plateau

CLOSE = 2e-7  # a bracket that needs no further look, in units of the coordinate
NUM_POINTS = 65  # of a bracket: always as many, so that the objective is compiled once
LOOKS = 8  # for the last polynomial
DEGREE = 8
ROUNDS = 24


def polish(line, losses, surface, objective, noise):
    """The `Line` with its floors and ridges located and measured on the objective.

    Args:
        line: A `Line`.
        losses: float64 array of the nodes of its axis.
        surface: The `Surface`, for its directions.
        objective: Function of points `(n, P)`, or an object with `along`.
        noise: Rounding of the losses, relative.
    """
    signs = np.repeat([1.0, -1.0], [len(line.floors), len(line.ridges)])
    if not len(signs):
        return line
    known = np.concatenate([line.floors, line.ridges])
    sides = line.sides()[:, :2]
    limits = np.concatenate([sides, _between_floors(line)])
    brackets = [_bracket(line.axis, losses, x, noise) for x in known[:, 0]]
    brackets = np.clip(brackets, *limits.T[:, :, None])

    def ask(low, high):
        points = low[:, None] + np.linspace(0, 1, NUM_POINTS) * (high - low)[:, None]
        points, values = _evaluate(line.axis, surface, objective, points)
        values = values * signs[:, None]
        return points, np.where(np.isnan(values) | (values == -np.inf), np.inf, values)

    low, high, found = _shut_in(ask, brackets, known[:, 0], noise)
    found = _fit(ask, np.stack([low, high]), limits.T, found, noise)
    _, values = ask(found, found)
    values = values[:, 0]
    given = known[:, 1] * signs
    better = values <= given + noise * np.abs(given)
    known[better] = np.stack([found, values * signs], axis=1)[better]
    if line.axis.joined:
        known[:, 0] = line.axis.wrap(known[:, 0])
    floors, ridges = np.split(known, [len(line.floors)])
    return dataclasses.replace(line, floors=floors, ridges=ridges)


def _between_floors(line):
    """The floors on the left and on the right of each ridge, unwrapped around it."""
    floors = line.floors[:, 0][line.between]
    if line.axis.joined:
        ridges, period = line.ridges[:, :1], line.axis.period
        floors = ridges + (floors - ridges) % period - [[period, 0]]
    return floors.reshape(-1, 2)


def _bracket(axis, losses, x, noise):
    """The nodes around an extreme at `x` that are the first to stand out of the rounding."""
    count = len(losses)
    k = int(np.argmin(np.abs(axis.nodes - x)))
    if axis.joined and abs(axis.nodes[0] + axis.period - x) < abs(axis.nodes[k] - x):
        k = count
    low, high = plateau(axis, losses, k, noise * abs(losses[k % count]))
    ends = []
    for last, step in ((low, -1), (high, 1)):
        inside = axis.joined or 0 <= last + step < count
        known = inside and np.isfinite(losses[(last + step) % count])
        ends.append(place(axis, last + step if known else last))
    return ends


def _evaluate(axis, surface, objective, points):
    """Points, rounded to what the objective computes with, and their losses."""
    turns = 0.0
    if axis.joined:
        turns = np.floor((points - axis.start) / axis.period) * axis.period
    rounded = (points - turns).astype(getattr(objective, "dtype", "float64")).astype("float64")
    flat = rounded.reshape(-1, 1)
    if hasattr(objective, "along"):
        values = objective.along(flat, surface.directions, surface.origin)
    else:
        values = objective(surface.origin + flat * surface.directions[0])
    return rounded + turns, np.asarray(values, "float64").reshape(points.shape)


def _shut_in(ask, brackets, found, noise):
    """Shrink each bracket `(low, high)` around its lowest place; also gives that place."""
    (low, high), rows = brackets.T, np.arange(len(brackets))
    best, index = np.full(len(found), np.inf), np.arange(NUM_POINTS)
    for _ in range(ROUNDS):
        points, values = ask(low, high)
        at = np.argmin(values, axis=1)
        lowest = values[rows, at]
        equal = values == lowest[:, None]  # on a plateau its middle
        last = NUM_POINTS - 1 - np.argmax(equal[:, ::-1], axis=1)
        middle = (points[rows, at] + points[rows, last]) / 2
        found, best = np.where(lowest <= best, middle, found), np.minimum(lowest, best)
        above = values > (best + noise * np.abs(best))[:, None]
        left = np.where(above & (index < at[:, None]), index, 0).max(axis=1)
        right = np.where(above & (index > last[:, None]), index, NUM_POINTS - 1).min(axis=1)
        new_low, new_high = points[rows, left], points[rows, right]
        shrinks = (new_high - new_low < 0.8 * (high - low)) & (high - low > CLOSE)
        if not shrinks.any():
            break
        low, high = np.where(shrinks, new_low, low), np.where(shrinks, new_high, high)
    return low, high, found


def _fit(ask, brackets, limits, found, noise):
    """The places, better known where a polynomial fits the curve around them."""
    halves = (brackets[1] - brackets[0]) / 2
    centers, rounding = brackets.mean(axis=0), np.full(len(found), np.nan)
    growing, windows = halves > CLOSE, np.zeros((len(found), 2))
    for _ in range(ROUNDS):
        if not growing.any():
            break
        low, high = np.maximum(centers - halves, limits[0]), np.minimum(centers + halves, limits[1])
        points, values = ask(low, high)
        for k in np.flatnonzero(growing):
            lowest, residual = _lowest_of_fit(points[k], values[k])
            size = np.abs(values[k]).max()
            if np.isnan(rounding[k]):  # in the first window the curve is hidden by it
                rounding[k] = min(max(residual, size * 1e-16), size * noise)
            growing[k] = residual <= 2 * rounding[k] and not np.isnan(lowest)
            if growing[k]:
                centers[k], windows[k] = lowest, (low[k], high[k])
                growing[k] = low[k] > limits[0][k] or high[k] < limits[1][k]
        halves = np.where(growing, 2 * halves, halves)
    smooth = windows[:, 1] > windows[:, 0]
    return np.where(smooth, _look_again(ask, windows.T), found) if smooth.any() else found


def _look_again(ask, windows):
    """The minimum in each window by many points, whose rounding averages out."""
    low, step = windows[0], (windows[1] - windows[0]) / NUM_POINTS
    shifts = np.arange(LOOKS) / LOOKS * step[:, None]
    looks = [ask(low + shift, low + shift + (NUM_POINTS - 1) * step) for shift in shifts.T]
    points, values = (np.concatenate(parts, axis=1) for parts in zip(*looks, strict=True))
    order = np.argsort(points, axis=1)
    points, values = (np.take_along_axis(each, order, axis=1) for each in (points, values))
    return np.array([_lowest_of_fit(*row)[0] for row in zip(points, values, strict=True)])


def _lowest_of_fit(points, values):
    """The minimum of a polynomial through many values, NaN without one, and what it leaves."""
    middle, half = (points[0] + points[-1]) / 2, (points[-1] - points[0]) / 2
    # At the resolution of the coordinate the same few points come again and again.
    if len(np.unique(points)) < 3 * DEGREE or not np.all(np.isfinite(values)):
        return np.nan, np.inf
    t, base = (points - middle) / half, values.min()
    fit = chebyshev.chebfit(t, values - base, DEGREE)
    residual = np.sqrt(np.mean((chebyshev.chebval(t, fit) - (values - base)) ** 2))
    roots = chebyshev.chebroots(chebyshev.chebder(fit))
    roots = roots[np.abs(roots.imag) < 1e-9].real
    roots = roots[(np.abs(roots) <= 1) & (chebyshev.chebval(roots, chebyshev.chebder(fit, 2)) > 0)]
    if not len(roots):
        return np.nan, residual
    return middle + half * roots[np.argmin(chebyshev.chebval(roots, fit))], residual
