"""Which floors of a sampled plane are minima: a downhill way joins the others to a lower one.

In a narrow ravine that runs obliquely over the grid the samples rise and fall, as they lie nearer
to its bottom or farther from it: many have no lower neighbor, on a finer grid more than on a coarse
one, and are no minima. Between the samples their bottom goes on downwards. So from each floor the
way is followed down the smooth surface through the samples, by Newton's steps no longer than a
cell that never rise, until it comes to rest, or is below its floor and among samples that drain to
a lower one.
"""

import numpy as np

from keras_valleys.valleys.between_samples import SIZES
from keras_valleys.valleys.roughness import rounding

ROUNDS = 80
AT_REST = 1e-3  # of a cell
SAME = 0.05
FAR = 0.9
ACROSS, NEAR = 12, 2.0  # steps across a ravine, and cells
NARROW = 10.0  # bends across a ravine to those along it


def downhill(patches, heights, roots, floors):
    """Where the way down from each floor ends.

    Args:
        patches: The `Patches` of the plane.
        heights: Its losses, a flat array.
        roots: The floor, named by one of its cells, that each cell drains to.
        floors: The floors, cells.

    Returns:
        For each floor the one that it belongs to, itself for a minimum; and the places `(n, 2)`
        where the ways ended.
    """
    shape = tuple(len(axis.nodes) for axis in patches.axes)
    owners, places = floors.copy(), np.stack(np.unravel_index(floors, shape), axis=-1) * 1.0
    starts = places.copy()
    joined = [axis.joined for axis in patches.axes]
    limits = np.where(joined, np.inf, np.subtract(shape, 1))
    active, radius = np.arange(len(floors)), np.full(len(floors), 0.5)
    loss, slope, second = patches.at(places)
    for _ in range(ROUNDS):
        here = places[active]
        step = _step(slope[active], second[active], here, limits, radius[active])
        there = np.where(limits < np.inf, np.clip(here + step, 0, limits), here + step)
        new_loss, new_slope, new_second = patches.at(there)
        down = new_loss < loss[active]
        radius[active] = np.where(down, np.minimum(2 * radius[active], 1.0), radius[active] / 4)
        moved = active[down]
        places[moved], loss[moved] = there[down], new_loss[down]
        slope[moved], second[moved] = new_slope[down], new_second[down]
        cells = np.rint(there[down]).astype(int) % shape
        below = roots[np.ravel_multi_index(cells.T, shape)]
        lower = (heights[below] < heights[floors[moved]]) & (loss[moved] < heights[floors[moved]])
        owners[moved[lower]] = below[lower]
        rests = ~(np.abs(there - here).max(axis=1) > AT_REST)
        active = active[~rests & (owners[active] == floors[active])]
        if not len(active):
            break
    return _one_per_place(owners, floors, places, starts, heights), places


def bottoms(patches, places, dtype):
    """Losses of the smooth surface, and how far they may err, `(n,)` each.

    They err by what polynomials of a higher degree make of them, and by the rounding of the samples
    around, of which the highest counts.
    """
    (loss, _, _), (better, _, _) = patches.at(places), patches.at(places, SIZES[0] + 2)
    return loss, np.abs(loss - better) + rounding(patches.highest(places), dtype)


def across(patches, cells):
    """The places at the bottom of the ravines that the samples `cells` are beside.

    The way leads along the first principal axis only: across a ravine, but not along it. A sample
    where the surface bends not much more across than along is beside none, and stays.
    """
    shape = tuple(len(axis.nodes) for axis in patches.axes)
    starts = np.stack(np.unravel_index(cells, shape), axis=-1) * 1.0
    limits = np.where([axis.joined for axis in patches.axes], np.inf, np.subtract(shape, 1))
    loss, slope, second = patches.at(starts)
    beside = _is_narrow(second)
    found, starts = starts.copy(), starts[beside]
    places = starts.copy()
    loss, slope, second = loss[beside], slope[beside], second[beside]
    radius = np.full(len(places), 0.5)
    for _ in range(ACROSS):
        steps = _step(slope, second, places, limits, radius, 1)
        there = np.clip(places + steps, np.where(limits < np.inf, 0.0, -np.inf), limits)
        new_loss, new_slope, new_second = patches.at(there)
        down = (new_loss < loss) & (np.abs(there - starts).max(axis=1) < NEAR)
        down &= _is_narrow(new_second)
        radius = np.where(down, radius, radius / 4)
        places[down], loss[down] = there[down], new_loss[down]
        slope[down], second[down] = new_slope[down], new_second[down]
        if np.abs(steps).max(initial=0.0) < AT_REST:
            break
    found[beside] = places
    return found


def _is_narrow(second):
    """Whether the surface bends up much more across than along."""
    along, most = np.linalg.eigvalsh(np.nan_to_num(second, posinf=0.0, neginf=0.0)).T
    return most > NARROW * np.abs(along)


def _one_per_place(owners, floors, places, starts, heights):
    """Of floors whose ways end at one place the lowest is the minimum."""
    left = np.flatnonzero(owners == floors)
    far = np.abs(places - starts).max(axis=1) > FAR  # two floors are never neighbors
    for k in left[far[left]]:
        same = left[np.abs(places[left] - places[k]).max(axis=1) < SAME]
        lowest = floors[same[np.argmin(heights[floors[same]])]]
        owners[same] = lowest
    return owners


def _step(slope, second, here, limits, radius, num_axes=2):
    """Newton's step downhill, along a border where the way would leave the plane.

    It is along the first `num_axes` principal axes, where the surface bends up most.
    """
    outward = (here <= 0) & (slope > 0) & (limits < np.inf) | (here >= limits) & (slope < 0)
    slope = np.where(outward, 0.0, slope)
    second = np.where(outward[:, :, None] | outward[:, None, :], np.eye(2), second)
    (a, b), (_, d) = second.transpose(1, 2, 0)
    angle = np.arctan2(2 * b, a - d) / 2  # of the first principal axis
    spread = np.hypot((a - d) / 2, b)
    step = np.zeros_like(slope)
    bends = (0.0, (a + d) / 2 + spread), (np.pi / 2, (a + d) / 2 - spread)
    for turn, bend in bends[:num_axes]:
        way = np.stack([np.cos(angle + turn), np.sin(angle + turn)], axis=-1)
        along = np.einsum("nk,nk->n", way, slope)
        size = radius.copy()  # where it bends down, as far as may be
        np.divide(np.abs(along), bend, out=size, where=np.abs(along) < bend * radius)
        side = np.where(along < 0, 1.0, -1.0)  # one of both on the very top
        step += (side * size)[:, None] * way
    return np.nan_to_num(step)
