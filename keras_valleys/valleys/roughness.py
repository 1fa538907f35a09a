"""How deep a valley must be to stand out of the noise of its surface.

Three kinds of noise are told apart, each measured on the samples:

- The rounding of a loss: `NOISE` units in its last place.
- Noise of each sample by itself. Differences of high order leave it where they take away what is
  smooth: it is noise if the differences of two such orders give the same standard deviation s. Of
  n samples the highest and the lowest then differ by 2 sqrt(2 log n) s.
- Texture: kinks that noisy data make, so many that at more than 45 % of the samples of a curve, or
  60 % of a plane, the fourth difference is more than half of the second. Valleys whose own bottom
  is not smooth in this sense must then have one percent of the relief.

The relief is the range of the middle half of the losses, which a pole does not change; on a plane,
most of which is often wall, not more than that of the lowest quarter.
"""

import math

import numpy as np

from keras_valleys.valleys.axes import SLACK

NOISE = 16  # units in the last place of a loss that are its rounding
TEXTURE = 0.01  # of the relief
KINKS = {1: 0.45, 2: 0.6}  # of the samples; a ravine narrower than the grid is like a kink
ORDERS = (6, 8)  # of the differences that noise is measured by
EQUAL = (0.8, 1.25)  # what noise changes from one to the other, times
MANY, TAIL = 100, 3.5  # differences that tell noise; their ninth tenth over the median
SMOOTH = 0.5  # a fourth difference over a second
STANDS_OUT = 8.0  # times the rounding
BENT = 1e-6  # of the relief
ENOUGH, FEWEST = 10_000, 25  # samples that noise is measured on, at most and at least


def rounding(losses, dtype):
    """The rounding of losses that were computed in a dtype."""
    return NOISE * np.finfo(np.result_type(dtype, "float16")).eps * np.abs(losses)


def is_smooth(losses, axes):
    """Whether the grid is fine enough to tell what lies between its samples."""
    for k, axis in enumerate(axes):
        if len(axis.nodes) < 5:
            return False
        lines = _lines(losses, k, axis, 4)
        second, fourth = (_typical(_differences(lines, order)) for order in (2, 4))
        if not fourth < second:
            return False
    return True


def noise_range(losses, axes):
    """How far the highest and the lowest of the samples differ by what each has by itself."""
    count = int(np.count_nonzero(np.isfinite(losses)))
    return 2 * math.sqrt(2 * math.log(max(count, 1))) * _noise(losses, axes)


def least_depths(losses, axes, cells, dtype, noise):
    """How deep each valley must be to be counted.

    Args:
        losses: float64 array of the nodes of the axes.
        axes: One `Axis` per axis.
        cells: The floors, flat indices.
        dtype: In which the losses were computed.
        noise: What `noise_range` gives.

    Returns:
        Array like `cells`.
    """
    least = rounding(losses.ravel()[cells], dtype)
    if len(cells) < 2:
        return least
    least = np.maximum(least, noise)
    finite = losses[np.isfinite(losses)]
    lowest, low, high = np.percentile(finite, [0, 25, 75])
    if _kinks(losses, axes, dtype, high - low) > KINKS[losses.ndim]:
        rough = ~_smooth_at(losses, axes, cells, dtype)
        relief = high - low if losses.ndim == 1 else min(high - low, low - lowest)
        least = np.maximum(least, np.where(rough, TEXTURE * relief, 0.0))
    return least


def _lines(losses, k, axis, more):
    """The lines along axis `k` as columns, of a large plane some; of a ring some samples twice."""
    lines = losses.reshape(len(losses), -1) if k == 0 else losses.T
    stride = -(-lines.size // ENOUGH) | 1  # odd: no pattern of two by two is missed
    count = len(axis.nodes) + (more if axis.joined else 0)
    return np.take(lines[:, ::stride], range(count), 0, mode="wrap")


def _differences(lines, order):
    with np.errstate(invalid="ignore", over="ignore"):
        return np.abs(np.diff(lines, order, axis=0))


def _even(axis, lines, order):
    """Which differences are between samples at equal steps, and these steps.

    Others would not take away what is smooth.
    """
    if len(lines) <= order:
        return np.empty(0, int), np.empty(0)
    steps = axis.steps() if axis.joined else axis.steps()[:-1]
    steps = np.take(steps, range(len(lines) - 1), mode="wrap")
    windows = np.lib.stride_tricks.sliding_window_view(steps, order)
    even = np.flatnonzero(np.ptp(windows, axis=1) <= SLACK * windows[:, 0])
    return even, windows[even, 0]


def _typical(differences):
    found = differences[np.isfinite(differences)]
    return float(np.median(found)) if found.size >= FEWEST else math.nan


def _noise(losses, axes):
    """Standard deviation of what each sample has by itself, 0 where that is not to be seen.

    Sharp valleys that few samples show leave differences of all orders as noise does, but most of
    them small and some large: of noise, nine tenths are within 2.4 times the median.
    """
    found = []
    for k, axis in enumerate(axes):
        if len(axis.nodes) == 1:
            continue  # has no noise to show
        lines, sizes = _lines(losses, k, axis, max(ORDERS)), []
        for order in ORDERS:
            even, _ = _even(axis, lines, order)
            differences = _differences(lines, order)[even]
            scale = 0.6745 * math.sqrt(math.comb(2 * order, order))  # of the median of noise of 1
            sizes.append(_typical(differences) / scale)
        low, high = sizes
        known = differences[np.isfinite(differences)]
        seen = known.size >= MANY and EQUAL[0] * low < high < EQUAL[1] * low
        if not seen or np.percentile(known, 90) >= TAIL * high * scale:
            return 0.0
        found.append(high)
    return min(found, default=0.0)


def _kinks(losses, axes, dtype, relief):
    """The share of the samples that are not smooth, along the axis that has fewer.

    Of those that are bent at all, in comparison to their rounding and to the relief.
    """
    shares = []
    for k, axis in enumerate(axes):
        lines = _lines(losses, k, axis, 4)
        even, steps = _even(axis, lines, 4)
        second, fourth = _differences(lines, 2)[even + 1], _differences(lines, 4)[even]
        with np.errstate(invalid="ignore"):
            least = np.maximum(STANDS_OUT * rounding(lines[even + 2], dtype), BENT * relief)
            known = np.maximum(second, fourth) > least
            kinked = fourth >= SMOOTH * second
        weights = known * steps[:, None]
        if np.count_nonzero(weights) >= FEWEST:
            shares.append(float(np.sum(weights * kinked) / np.sum(weights)))
    return min(shares, default=0.0)


def _smooth_at(losses, axes, cells, dtype):
    """Whether floors have a smooth bottom, along each axis.

    Seen at the smallest distance of samples at which the second difference stands out of the
    rounding, and at twice that.
    """
    where = np.unravel_index(cells, losses.shape)
    smooth = np.ones(len(cells), bool)
    least = STANDS_OUT * rounding(losses.ravel()[cells], dtype)
    for k, axis in enumerate(axes):
        count, lag = len(axis.nodes), 1
        left, passed = np.full(len(cells), 2), np.ones(len(cells), bool)
        while 4 * lag < count and left.any():
            middle = where[k] if axis.joined else np.clip(where[k], 2 * lag, count - 1 - 2 * lag)
            values = [
                losses[(*where[:k], (middle + n * lag) % count, *where[k + 1 :])]
                for n in range(-2, 3)
            ]
            with np.errstate(invalid="ignore", over="ignore"):
                second = np.abs(np.diff(values, 2, axis=0)[1])
                fourth = np.abs(np.diff(values, 4, axis=0)[0])
                seen = (left > 0) & ~(second < least)
                passed &= ~seen | (fourth < SMOOTH * second)
            left -= seen
            lag *= 2
        smooth &= (passed & (left < 2)) | (count < 5)
    return smooth
