"""The flood of a grid: where each cell drains to, and where the pools meet as the water rises.

Cells are neighbors of all eight around them: with four, each cell of a narrow diagonal valley
would be a valley of its own. Only between two diverged cells no way leads through a corner.

Each cell drains to its steepest lower neighbor, so that from every cell a way leads down to a
floor that is nowhere higher than the cell. The lowest way between two floors then need only be
sought among the basins: one edge per pair of neighboring basins, the lowest of their border.
"""

import dataclasses

import numpy as np

from keras_valleys.valleys.between_samples import Patches
from keras_valleys.valleys.floor_errors import DOUBT, along_curve, on_plane, rises
from keras_valleys.valleys.ravines import across, bottoms, downhill
from keras_valleys.valleys.roughness import is_smooth, least_depths, noise_range, rounding
from keras_valleys.valleys.separatrices import flow_basins

OFFSETS: dict[int, list[tuple[int, ...]]] = {1: [(1,)], 2: [(1, 0), (0, 1), (1, 1), (1, -1)]}


@dataclasses.dataclass(frozen=True, eq=False)
class Flood:
    """What a flood found; valleys are numbered 0, 1, ... in no particular order.

    Attributes:
        labels: Integers of the grid's shape: the valley of each cell, -1 where not finite.
        floors: One array of cells (flat indices) per valley: its lowest plateau.
        passes: Arrays `(a, b, cell, height)`: for each pair of neighboring valleys a < b the
            highest cell of the lowest way over their border, the lowest first.
        rests: Array `(M, K)`: the numbers of samples along each axis, with fractions, of the
            minimum that is near each floor; on a curve or a rough plane those of the floor.
        noise: Array `(M,)`, how much of the loss near each floor may be noise; 0 where the user
            said how deep a valley must be.
        least: How deep a valley had to be to be counted, the largest such depth.
        dropped: How many were less deep, those not counted that are mere rounding.
        errors: Array `(M,)`, how far the loss of each floor may lie from that of the function's.
    """

    labels: np.ndarray
    floors: list
    passes: tuple
    rests: np.ndarray
    noise: np.ndarray
    least: float
    dropped: int
    errors: np.ndarray


def flood(losses, axes, dtype, persistence=None):
    """Flood a grid.

    Args:
        losses: float64 array of the nodes of the axes.
        axes: One `Axis` per axis.
        dtype: In which the losses were computed, for their rounding.
        persistence: Valleys less deep than this belong to their neighbor; `None` is what stands
            out of the noise.
    """
    heights = losses.ravel()
    finite = np.isfinite(heights)
    edges = list(_edges(losses.shape, axes, finite))
    roots = _drain(heights, edges)
    found = np.unique(roots[finite])
    rests = np.stack(np.unravel_index(found, losses.shape), axis=-1) * 1.0
    smooth, lows = losses.ndim == 2 and is_smooth(losses, axes), None
    if smooth:
        patches = Patches(losses, axes)
        owners, rests = downhill(patches, heights, roots, found)
        roots, found, rests = _kept(roots, found, owners, rests)
        owners, lows = _level(patches, heights, roots, found, rests, edges, dtype)
        lows = lows[owners == found]
        roots, found, rests = _kept(roots, found, owners, rests)
    labels = np.full(losses.size, -1)
    labels[finite] = np.searchsorted(found, roots[finite])
    passes = _passes(heights, labels, edges)
    flowing, over, depths = _depths(heights[found], passes)
    noise = noise_range(losses, axes)
    least = np.full(len(found), persistence)
    if persistence is None:
        least = least_depths(losses, axes, found, dtype, noise)
    shallow = depths < least
    owners = _merge(flowing, over, shallow)
    errors = _errors(losses, axes, roots, found, lows, dtype, noise)
    dropped = int(np.sum(shallow & (depths > rounding(heights[found], dtype))))
    kept, valleys = np.unique(owners, return_inverse=True)
    # A cell as low as the floor that it drains to is part of that floor.
    on_floor = np.flatnonzero(finite & (heights == heights[roots]))
    on_floor = on_floor[np.isin(labels[on_floor], kept)]
    on_floor = on_floor[np.argsort(labels[on_floor], kind="stable")]
    cuts = np.searchsorted(labels[on_floor], kept[1:])
    floors = np.split(on_floor, cuts) if len(kept) else []
    labels[finite] = valleys[labels[finite]]
    labels = labels.reshape(losses.shape)
    if smooth and len(kept) > 1:
        flows = flow_basins(losses, axes, labels, floors)
        # No basin has a sample below its floor, or a pass could be lower than it.
        lowest = np.append(heights[[cells[0] for cells in floors]], np.nan)
        labels = np.where(losses < lowest[flows], labels, flows)
        passes = _passes(heights, labels.ravel(), edges)
    else:
        passes = _lowest(valleys[passes[0]], valleys[passes[1]], *passes[2:])
    doubt = least[kept] if persistence is None else np.zeros(len(kept))
    most = float(least.max(initial=0.0))
    errors = _of_lowest(heights[found], errors, owners)[kept]
    return Flood(labels, floors, passes, rests[kept], doubt, most, dropped, errors)


def _kept(roots, found, owners, rests):
    """The floor of each cell, and the floors and their rests, once those of others are gone."""
    target = np.arange(len(roots))
    target[found] = owners
    minima = owners == found
    return _ends(target)[roots], found[minima], rests[minima]


def _errors(losses, axes, roots, found, lows, dtype, noise):
    """The errors of floors, at the middle of each plateau."""
    heights = losses.ravel()
    level = np.flatnonzero(heights == heights[roots])
    level = level[np.argsort(roots[level], kind="stable")]
    first = np.searchsorted(roots[level], found)
    cells = level[(first + np.append(first[1:], len(level))) // 2] if len(found) else found
    highest = np.abs(heights[cells]) + rises(losses, axes, cells)
    noises = np.maximum(noise, rounding(highest, dtype))
    if losses.ndim == 1:
        return along_curve(losses, axes[0], cells, noises)
    return on_plane(losses, axes, cells, noises, lows)


def _of_lowest(heights, errors, owners):
    """The errors of floors that others belong to, each of which may be the lowest in truth."""
    lows = heights - errors
    found = lows.copy()
    np.fmin.at(found, owners, lows)
    return np.where(np.isnan(errors), np.nan, heights - found)


def _level(patches, heights, roots, found, rests, edges, dtype):
    """The floor that each belongs to where a ravine between them is level, and how low they may be.

    As far as the samples can tell: the floor is deeper below the bottom of the ravine, where it
    leads on to the next, than both are known. The lowest sample is then the floor of all.
    """
    losses, errors = bottoms(patches, rests, dtype)
    labels = np.where(np.isfinite(heights), np.searchsorted(found, roots), -1)
    a, b, cells, passes = _passes(heights, labels, edges)
    if not len(cells):
        return found, losses - DOUBT * errors
    lowered, doubts = bottoms(patches, across(patches, cells), dtype)
    passes = np.fmin(passes, lowered - doubts)
    flowing, over, depths = _depths(losses, _lowest(a, b, cells, passes))
    groups = _merge(flowing, over, depths <= errors)
    order = np.argsort(heights[found], kind="stable")[::-1]
    lowest = np.empty(len(found), int)
    lowest[groups[order]] = found[order]
    lows = np.full(len(found), np.inf)
    np.fmin.at(lows, groups, losses - DOUBT * errors)
    return lowest[groups], lows[groups]


def _edges(shape, axes, finite):
    """Pairs of neighbors that are finite, and their distance, per direction."""
    index = np.arange(len(finite)).reshape(shape)
    for offset in OFFSETS[len(shape)]:
        other, squares = index, np.zeros(())
        for k, (step, axis) in enumerate(zip(offset, axes, strict=True)):
            if step:
                other = np.roll(other, -step, k)
                steps = axis.steps() if step > 0 else np.roll(axis.steps(), 1)
                squares = squares + np.expand_dims(steps**2, 1 - k if len(axes) > 1 else ())
        valid = np.isfinite(squares) & finite[index] & finite[other] & (index != other)
        if all(offset) and len(offset) > 1:
            sides = [np.roll(index, -step, k) for k, step in enumerate(offset)]
            valid &= finite[sides[0]] | finite[sides[1]]
        distances = np.broadcast_to(np.sqrt(squares), shape)
        yield index[valid], other[valid], distances[valid]


def _drain(heights, edges):
    """The floor that each cell drains to, named by one of its cells."""
    target, best = np.arange(len(heights)), np.zeros(len(heights))
    level = [np.empty((2, 0), int)]
    for u, v, distance in edges:
        with np.errstate(over="ignore"):
            slopes = (heights[u] - heights[v]) / distance
        for a, b, slope in ((u, v, slopes), (v, u, -slopes)):
            steeper = slope > best[a]
            best[a[steeper]], target[a[steeper]] = slope[steeper], b[steeper]
        flat = heights[u] == heights[v]
        level += [np.stack([u[flat], v[flat]]), np.stack([v[flat], u[flat]])]
    a, b = np.concatenate(level, axis=1)
    while True:  # a terrace drains by the nearest way down
        waiting = target[a] == a
        a, b = a[waiting], b[waiting]
        ready = target[b] != b
        if not ready.any():
            break
        target[a[ready]] = b[ready]
    while len(a):  # what is left are floors: each becomes one
        low, high = np.minimum(target[a], target[b]), np.maximum(target[a], target[b])
        differ = low != high
        a, b, low, high = (values[differ] for values in (a, b, low, high))
        np.minimum.at(target, high, low)
        target = _ends(target)
    return _ends(target)


def _ends(target):
    """Where following the targets ends."""
    while True:
        further = target[target]
        if np.array_equal(further, target):
            return target
        target = further


def _passes(heights, labels, edges):
    """The lowest pass between each pair of neighboring basins, the lowest first."""
    borders = []
    for u, v, _ in edges:
        border = labels[u] != labels[v]
        borders.append(np.stack([u[border], v[border]]))
    u, v = np.concatenate(borders, axis=1)
    cells = np.where(heights[u] >= heights[v], u, v)
    return _lowest(labels[u], labels[v], cells, heights[cells])


def _lowest(a, b, cells, heights):
    differ = a != b
    a, b, cells, heights = (values[differ] for values in (a, b, cells, heights))
    order = np.argsort(heights, kind="stable")
    a, b, cells, heights = (values[order] for values in (a, b, cells, heights))
    a, b = np.minimum(a, b), np.maximum(a, b)
    _, first = np.unique(a * (b.max(initial=0) + 1) + b, return_index=True)
    first.sort()
    return a[first], b[first], cells[first], heights[first]


def _depths(floors, passes):
    """Where and in what order the pools of basins meet as the water rises.

    Returns:
        Arrays: the basins whose pools flow over, in this order; the basins over which; and for all
        basins the depth of the floor below the pass, infinite for the lowest of all.
    """
    pools, over, order = list(range(len(floors))), [], []
    depths, floors = [np.inf] * len(floors), floors.tolist()
    a, b, _, heights = (values.tolist() for values in passes)
    for one, other, height in zip(a, b, heights, strict=True):
        i, j = find(pools, one), find(pools, other)
        if i == j:
            continue
        if floors[j] < floors[i]:
            i, j, one = j, i, other
        pools[j] = i  # the pool is named by its lowest floor
        depths[j] = height - floors[j]
        order.append(j)
        over.append(one)
    return order, over, np.array(depths)


def _merge(order, over, shallow):
    """The basin that each belongs to once those that are shallow are gone."""
    owners, shallow = list(range(len(shallow))), shallow.tolist()
    for one, other in zip(order, over, strict=True):
        if shallow[one]:
            owners[one] = find(owners, other)
    return np.array([find(owners, k) for k in range(len(owners))], int)


def find(parents, k):
    """The root of `k` in a union-find forest, with the way there halved."""
    while parents[k] != k:
        parents[k] = k = parents[parents[k]]
    return k
