"""The valleys of a curve: read from the flood, and polished by the objective."""

import dataclasses
import math

import numpy as np
from numpy.polynomial import chebyshev

from keras_valleys.valleys.axes import Axis, Places
from keras_valleys.valleys.floor_errors import STEEP

CLOSE = 2e-7  # a bracket that needs no further look, in units of the coordinate
NUM_POINTS = 65  # of a bracket: always as many, so that the objective is compiled once
LOOKS = 8  # for the last polynomial
DEGREE = 8
ROUNDS = 24
SPREAD = 6.0  # standard deviations between the highest and the lowest of a bracket's points


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A curve, taken apart. Valleys are numbered as in the `Flood`.

    Attributes:
        axis: Its `Axis`.
        floors: Array `(M, 2)`: coordinate and loss of each floor.
        ridges: Array `(R, 2)`: coordinate and loss; the loss is the highest of the samples.
        between: Integers `(R, 2)`: the valleys on the left and on the right of each ridge.
        gaps: Array `(G,)`: where samples that are finite and such that are not meet.
        beyond: Integers `(G,)`: what is on the right of each gap, a valley or -1.
        ends: Array `(M, 2)`: first and last coordinate of each valley's samples.
        first: What the leftmost place belongs to, a valley or -1.
        errors: Array `(M,)`, how far the losses of the floors may be from those of the function.
    """

    axis: Axis
    floors: np.ndarray
    ridges: np.ndarray
    between: np.ndarray
    gaps: np.ndarray
    beyond: np.ndarray
    ends: np.ndarray
    first: int
    errors: np.ndarray

    def sides(self):
        """Left and right coordinate of each valley and its depth, `(M, 3)`.

        On a ring they are left and right of the floor, also where that is beyond the ends.
        """
        found = np.column_stack([self.ends, np.full(len(self.ends), np.inf)])
        for (left, right), (place, height) in zip(self.between, self.ridges, strict=True):
            found[left, 1] = found[right, 0] = place
            for k in (left, right):
                found[k, 2] = min(found[k, 2], height - self.floors[k, 1])
        period, floor = self.axis.period, self.floors[:, 0]
        if self.axis.joined and period is not None:
            alone = found[:, 0] == found[:, 1]
            alone &= (len(self.gaps) == 0) & (len(self.floors) == 1)
            found[:, 0] -= np.where(found[:, 0] > floor, period, 0.0)
            found[:, 1] += np.where(found[:, 1] < floor, period, 0.0)
            found[alone, 1] = found[alone, 0] + period
        return found

    def places(self, ranks):
        """The `Places` of the line, its valleys named by their ranks."""
        cuts = np.concatenate([self.ridges[:, 0], self.gaps])
        owners = np.concatenate([self.between[:, 1], self.beyond]).astype(int)
        if self.axis.joined:
            cuts = self.axis.wrap(cuts)
        order = np.argsort(cuts, kind="stable")
        cuts, owners = cuts[order], owners[order]
        first = owners[-1] if self.axis.joined and len(owners) else self.first
        owners = np.append(ranks, -1)[np.concatenate([[first], owners])]
        return Places((self.axis,), (tuple(cuts.tolist()),), owners)


def read_line(axis, losses, flood, floors):
    """The `Line` of a flooded curve; `floors` are the coordinates of its floors."""
    labels, count = flood.labels, len(axis.nodes)
    following = np.roll(labels, -1)
    changes = np.flatnonzero(labels != following)
    changes = changes if axis.joined else changes[changes < count - 1]
    ridges, between, gaps, beyond = [], [], [], []
    ends = np.full((len(floors), 2), np.nan)
    inside = np.flatnonzero(labels >= 0)
    ends[labels[inside[::-1]], 0] = axis.nodes[inside[::-1]]
    ends[labels[inside], 1] = axis.nodes[inside]
    for k in changes.tolist():
        left, right = labels[k], following[k]
        if left >= 0 and right >= 0:
            ridges.append((_ridge(axis, losses, k), max(losses[k], losses[(k + 1) % count])))
            between.append((left, right))
        else:
            gaps.append((place(axis, k) + place(axis, k + 1)) / 2)
            beyond.append(right)
            ends[left if left >= 0 else right, int(left >= 0)] = axis.nodes[
                k if left >= 0 else (k + 1) % count
            ]
    if axis.joined and not len(changes) and len(floors):
        ends[0] = axis.nodes[np.argmax(losses)]
    heights = losses[[cells[0] for cells in flood.floors]] if len(floors) else []
    return Line(
        axis,
        np.column_stack([floors, heights]).reshape(-1, 2),
        np.reshape(ridges, (-1, 2)),
        np.reshape(between, (-1, 2)).astype(int),
        np.array(gaps),
        np.array(beyond, int),
        ends,
        int(labels[0]),
        flood.errors,
    )


def place(axis, k):
    """The coordinate of node `k`, which may lie beyond the ends of a ring."""
    turns, k = divmod(k, len(axis.nodes))
    return axis.nodes[k] + (turns * axis.period if turns else 0.0)


def _ridge(axis, losses, k):
    """Where the ridge is between the basins of node `k` and the next.

    The top of the parabola through the highest sample and its neighbors, or the middle of a
    plateau, but on that side of the samples on which they drain to their valleys.
    """
    count = len(losses)
    top = k if losses[k] >= losses[(k + 1) % count] else k + 1
    low, high = plateau(axis, losses, top)
    found = (place(axis, low) + place(axis, high)) / 2
    around = [top - 1, top, top + 1]
    if low == high and (axis.joined or 0 <= top - 1 < top + 1 < count):
        x = np.array([place(axis, i) for i in around]) - place(axis, top)
        y = np.array([losses[i % count] for i in around]) - losses[top % count]
        if np.all(np.isfinite(y)) and count > 2:
            (a, b), (left, right) = (x[0], x[2]), (y[0] / x[0], y[2] / x[2])
            bend = (right - left) / (b - a)
            slope = left - a * bend
            found += -slope / (2 * bend) if bend < 0 else 0.0
    return min(max(found, place(axis, k)), np.nextafter(place(axis, k + 1), -np.inf))


def plateau(axis, losses, k, noise=0.0):
    """First and last node of the run around `k` that is level with it, within the noise."""
    count = len(losses)

    def level(i):
        inside = axis.joined or 0 <= i < count
        return inside and abs(losses[i % count] - losses[k % count]) <= noise

    low = high = k
    while level(low - 1) and high - low < count - 1:
        low -= 1
    while level(high + 1) and high - low < count - 1:
        high += 1
    return low, high


def polish(line, losses, surface, objective, noise):
    """The `Line` with its floors and ridges located and measured on the objective.

    Args:
        line: A `Line`.
        losses: float64 array of the nodes of its axis.
        surface: The `Surface`, for its directions.
        objective: Function of points `(n, P)`, or an object with `along`.
        noise: Rounding of the losses, relative; where more is measured, that counts.
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

    jitter = _jitter(ask(*brackets.T)[1])
    noise = np.maximum(noise * np.abs(known[:, 1]), SPREAD * jitter)
    low, high, found, rises = _shut_in(ask, brackets, known[:, 0], noise)
    found = _fit(ask, np.stack([low, high]), limits.T, found, noise, jitter)
    _, values = ask(found, found)
    values = values[:, 0]
    given = known[:, 1] * signs
    better = values <= given + noise
    values = np.minimum(values, given)
    known[better] = np.stack([found, values * signs], axis=1)[better]
    if line.axis.joined:
        known[:, 0] = line.axis.wrap(known[:, 0])
    floors, ridges = np.split(known, [len(line.floors)])
    errors = np.where(better & np.isfinite(rises), noise + STEEP * rises, np.nan)[: len(floors)]
    errors = np.where(np.isnan(errors), line.errors, errors)
    return dataclasses.replace(line, floors=floors, ridges=ridges, errors=errors)


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


def _jitter(values):
    """Standard deviation of the rounding of each row of values, the smallest of three measures.

    High differences leave it where they take away what is smooth; the median leaves out a kink.
    """
    found = []
    for order in (4, 6, 8):
        with np.errstate(invalid="ignore"):
            sizes = np.median(np.abs(np.diff(values, order, axis=1)), axis=1)
        found.append(sizes / (0.6745 * math.sqrt(math.comb(2 * order, order))))
    return np.nan_to_num(np.min(found, axis=0), nan=0.0, posinf=0.0)


def _shut_in(ask, brackets, found, noise):
    """Shrink each bracket `(low, high)` around its lowest place.

    Returns:
        The brackets' ends, that place, and how far it rises from there to the next points.
    """
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
        beside = np.stack([np.maximum(at - 1, 0), np.minimum(last + 1, NUM_POINTS - 1)])
        rises = (values[rows, beside] - lowest).max(axis=0)
        above = values > (best + noise)[:, None]
        left = np.where(above & (index < at[:, None]), index, 0).max(axis=1)
        right = np.where(above & (index > last[:, None]), index, NUM_POINTS - 1).min(axis=1)
        new_low, new_high = points[rows, left], points[rows, right]
        shrinks = (new_high - new_low < 0.8 * (high - low)) & (high - low > CLOSE)
        if not shrinks.any():
            break
        low, high = np.where(shrinks, new_low, low), np.where(shrinks, new_high, high)
    return low, high, found, rises


def _fit(ask, brackets, limits, found, noise, jitter):
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
            if np.isnan(rounding[k]):  # in the first window the curve is hidden by it
                rounding[k] = min(max(residual, jitter[k]), noise[k])
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
