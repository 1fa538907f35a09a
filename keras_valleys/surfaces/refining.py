"""Where to look closer: points added to a sampled curve until it is known to a tolerance."""

import numpy as np

from keras_valleys._checks import check_number, refusal

# A point is a bend where it lies off the curve through its neighbors by more than this share of
# the range of the losses around it. A sine of 30 points per period has no bend; the far field
# of a cusp is one long before its tip is seen.
BEND = 0.005
NOISE = 16  # units in the last place of a loss that are its rounding, as for `find_valleys`
MOST = 50  # points for each one of the start


def check_tolerance(tolerance, num_axes):
    """Refuse what is no tolerance, or not of a curve."""
    if tolerance is None:
        return
    wanted = "a tolerance > 0, in units of the coordinate, or None"
    check_number("evaluate", wanted, "Use refine=1e-4.", above=0, refine=tolerance)
    if num_axes != 1:
        raise refusal(
            "evaluate",
            "one coordinate array where `refine` is given",
            f"{num_axes} of them",
            "Use refine=None and more coordinates for a plane.",
        )


def refine_curve(sample, x, losses, tolerance):
    """Halve the intervals where the curve bends, and those around its extremes.

    Args:
        sample: Function of new coordinates, shape `(n,)`, that returns their losses.
        x: The coordinates to start with, rising.
        losses: The losses there.
        tolerance: Intervals are halved while they are longer than this, and than what the dtype of
            the losses can tell apart.

    Returns:
        Tuple `(x, losses, levels, complete)`: all points in order, the number of calls of `sample`,
        and whether it ended by itself, not at `MOST`.
    """
    levels, most = 0, MOST * len(x)
    while True:
        long = np.diff(x) > np.maximum(tolerance, 4 * _spacing(x, losses.dtype))
        left = np.flatnonzero(_unsettled(x, losses) & long)
        if not len(left) or len(x) + len(left) > most:
            return x, losses, levels, not len(left)
        # Rounded to what the objective computes with: the loss belongs to this very coordinate.
        middles = ((x[left] + x[left + 1]) / 2).astype(losses.dtype).astype("float64")
        x = np.concatenate([x, middles])
        losses = np.concatenate([losses, sample(middles)])
        order = np.argsort(x)
        x, losses = x[order], losses[order]
        levels += 1


def _spacing(x, dtype):
    size = np.abs(x).astype(dtype)
    return np.spacing(np.maximum(size[:-1], size[1:])).astype("float64")


def _unsettled(x, losses):
    """Which intervals may hide something."""
    finite = np.isfinite(losses)
    noise = NOISE * np.finfo(losses.dtype).eps
    marked = finite[1:] != finite[:-1]
    ends = np.flatnonzero(np.diff(np.concatenate([[0], finite, [0]])))
    for a, b in ends.reshape(-1, 2):  # each run of finite losses by itself
        y = losses[a:b].astype("float64")
        rounding = noise * np.abs(y)
        points = a + np.concatenate([_extremes(y, rounding), _bends(x[a:b], y, rounding)])
        points = points.astype(int)
        marked[points[points < len(marked)]] = True
        marked[points[points > 0] - 1] = True
    return marked


def _extremes(y, rounding):
    """Minima and maxima that stand out of the rounding and are not yet known as well as it allows.

    A minimum counts once the curve has risen from it by more than the rounding, a maximum once the
    curve has fallen: what swings within the rounding is no extreme.
    """
    seen, low, high, rising = [], 0, 0, None
    for i, (loss, least) in enumerate(zip(y.tolist(), rounding.tolist(), strict=True)):
        low, high = (i if loss < y[low] else low), (i if loss > y[high] else high)
        if rising is not False and y[high] - loss > rounding[high]:
            seen.append(high)
            rising, low = False, i
        elif rising is not True and loss - y[low] > least:
            seen.append(low)
            rising, high = True, i
    found = np.array(seen, int)
    steps = np.abs(np.diff(y, prepend=y[0], append=y[-1]))  # steps[i] leads to point i
    largest = np.maximum(steps[found], steps[found + 1])
    inside = (found > 0) & (found < len(y) - 1)
    return found[inside & (largest > rounding[found])]


def _bends(x, y, rounding):
    """Points off the curve through their neighbors, two on each side where there are two."""
    width = min(5, len(x))
    if width < 3:
        return np.empty(0, int)
    points = np.arange(1, len(x) - 1)
    starts = np.clip(points - 2, 0, len(x) - width)
    window = starts[:, None] + np.arange(width)
    spread = np.ptp(y[window], axis=1)
    others = window[window != points[:, None]].reshape(len(points), width - 1)
    curve = np.zeros(len(points))
    for j in range(width - 1):
        rest = np.delete(others, j, axis=1)
        factors = (x[points, None] - x[rest]) / (x[others[:, j], None] - x[rest])
        curve += y[others[:, j]] * np.prod(factors, axis=1)
    share = (x[points] - x[points - 1]) / (x[points + 1] - x[points - 1])
    line = y[points - 1] + share * (y[points + 1] - y[points - 1])
    # Between uneven neighbors the curve may swing: then the straight line tells.
    off = np.minimum(np.abs(curve - y[points]), np.abs(line - y[points]))
    return points[(off > BEND * spread) & (off > rounding[points])]
