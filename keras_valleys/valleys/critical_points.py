"""Minima and saddles of a plane, located and measured on the objective.

Around each a window is sampled, first of one step of the grid to each side, then of a half of that,
and so on. A polynomial of degree 6 goes through the losses of a window; where it is level is the
place sought. How far it errs is estimated as what the polynomial leaves of the losses over how they
bend: the truncated terms of a wide window, the rounding of a narrow one. The window in which that
is smallest counts, so that the rounding is measured and not assumed.
"""

import numpy as np

DEGREE = 6
NUM_NODES = 9  # along each axis of a window
WINDOWS = 10
ROUNDS = 12  # of Newton's method
CLEAR = 0.1  # of the bend of a window, what its polynomial may leave
AT_MOST = 4.0  # steps of the grid away from the sample
SPREAD = 6.0  # standard deviations that a rounded loss may be off
SURE = 3  # windows in a row that hold the lowest point of a kink

_T = np.cos(np.pi * np.arange(NUM_NODES) / (NUM_NODES - 1))
NODES = np.stack(np.meshgrid(_T, _T, indexing="ij"), axis=-1).reshape(-1, 2)
POWERS = np.array([(a, n - a) for n in range(DEGREE + 1) for a in range(n + 1)])


def locate(ask, places, steps, limits, are_minima):
    """Locate minima and saddles near places.

    Args:
        ask: Function of coordinates `(n, 2)` -> losses `(n,)`.
        places: Array `(K, 2)`, coordinates to begin at.
        steps: Array `(K, 2)`, the steps of the grid there.
        limits: Array `(2, 2)`: lowest and highest coordinate of each axis, infinite on a ring.
        are_minima: `(K,)`, whether a minimum is sought, or else a saddle.

    Returns:
        Places `(K, 2)`, those given where nothing was found; their losses; and by how much these
        may err, NaN where that is not known.
    """
    given, centers = places, places.copy()
    basis = _powers(NODES, 0, 0)
    fit = np.linalg.pinv(basis).T
    best, error = places.copy(), np.full(len(places), np.inf)
    off, inside = np.full(len(places), np.nan), np.zeros(len(places), int)
    for n in range(WINDOWS):
        room = np.minimum(centers - limits[:, 0], limits[:, 1] - centers)
        halves = np.minimum(steps * 2.0**-n, np.maximum(room, 0))
        points = centers[:, None] + halves[:, None] * NODES
        values = ask(points.reshape(-1, 2)).reshape(points.shape[:2])
        known = np.all(np.isfinite(values), axis=1) & np.all(halves > 0, axis=1)
        values = np.where(known[:, None], values, 0.0)
        lowest = np.argmin(values, axis=1)
        start = np.where(are_minima[:, None], NODES[lowest], 0.0)
        share, residual, bend = _level_place(values, basis, fit, start, are_minima)
        found = centers + halves * share
        errs = residual / bend * 2.0**-n
        near = np.all(np.abs(found - given) <= AT_MOST * steps, axis=1)
        good = known & near & (residual < CLEAR * bend)
        closer = good & (errs < error)
        best[closer], error[closer] = found[closer], errs[closer]
        off[closer] = (SPREAD * residual + residual**2 / bend)[closer]
        inside = np.where(known & np.all(np.abs(NODES[lowest]) < 1, axis=1), inside + 1, 0)
        # A bottom that is a kink is followed by its lowest point.
        follow = known & ~good & are_minima
        centers = np.where(good[:, None], found, centers)
        centers[follow] = (centers + halves * NODES[lowest])[follow]
        still = follow & ~np.isfinite(error)
        best[still] = centers[still]
    kink = np.isinf(error) & (inside >= SURE)
    off[kink] = np.ptp(values, axis=1)[kink]
    return best, ask(best), off


def _level_place(values, basis, fit, start, are_minima):
    """Where the polynomial through values `(K, nodes)` is level, in shares of the window.

    `basis` are the monomials at the nodes, and `values @ fit` their coefficients.

    Returns:
        The shares `(K, 2)`; the root mean square of what it leaves; its least bend. NaN where there
        is no such place of the right kind in the window.
    """
    base = values[:, :1]
    coefficients = (values - base) @ fit
    residual = np.sqrt(np.mean((coefficients @ basis.T - (values - base)) ** 2, axis=1))
    residual = np.maximum(residual, np.finfo(float).eps * np.abs(values).max(axis=1))
    share = start.astype(float)
    for _ in range(ROUNDS):
        slope, second = _derivatives(coefficients, share)
        with np.errstate(all="ignore"):
            step = -np.einsum("nij,nj->ni", _inverse(second), slope)
            step *= np.minimum(1.0, 0.5 / np.abs(step).max(axis=1, keepdims=True))
        share = np.clip(share + np.nan_to_num(step), -1.5, 1.5)
    slope, second = _derivatives(coefficients, share)
    bends = np.linalg.eigvalsh(second)
    kind = np.where(are_minima, bends[:, 0] > 0, (bends[:, 0] < 0) & (bends[:, 1] > 0))
    level = np.abs(step).max(axis=1) < 1e-6
    right = kind & level & np.all(np.abs(share) <= 1, axis=1)
    with np.errstate(all="ignore"):
        bend = np.where(right, np.abs(bends).min(axis=1), np.nan)
    return np.where(right[:, None], share, np.nan), residual, bend


def _powers(points, a, b):
    """The monomials at points `(n, 2)`, differentiated a and b times."""
    columns = np.ones((len(points), len(POWERS)))
    for k, times in enumerate((a, b)):
        powers, factors = POWERS[:, k].astype(float), np.ones(len(POWERS))
        for _ in range(times):
            factors, powers = factors * powers, np.maximum(powers - 1, 0)
        columns *= factors * points[:, k : k + 1] ** powers
    return columns


def _derivatives(coefficients, share):
    """Slope `(K, 2)` and second derivatives `(K, 2, 2)` of the polynomials."""
    parts = [
        np.einsum("kp,kp->k", coefficients, _powers(share, a, b))
        for a, b in ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    ]
    slope, (uu, uv, vv) = np.stack(parts[:2], axis=-1), parts[2:]
    return slope, np.stack([uu, uv, uv, vv], axis=-1).reshape(-1, 2, 2)


def _inverse(matrices):
    (a, b), (c, d) = matrices.transpose(1, 2, 0)
    inverse = np.stack([d, -b, -c, a], axis=-1) / (a * d - b * c)[:, None]
    return inverse.reshape(-1, 2, 2)
