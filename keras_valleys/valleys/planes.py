"""The valleys of a plane: where they lie, how wide they are, and their saddles."""

import dataclasses

import numpy as np

from keras_valleys.valleys.axes import Places
from keras_valleys.valleys.critical_points import locate
from keras_valleys.valleys.ravines import AT_REST
from keras_valleys.valleys.roughness import rounding

AROUND = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]


def middles(axes, shape, floors):
    """The coordinates of each floor, an array of cells: of its middle where it is a plateau."""
    first = np.unravel_index(np.array([cells[0] for cells in floors], int), shape)
    found = np.stack([axis.nodes[i] for axis, i in zip(axes, first, strict=True)], axis=-1)
    for k, cells in enumerate(floors):
        if len(cells) > 1:
            found[k] = _middle(axes, shape, cells)
    return found


def on_border(axes, losses, water):
    """Whether each floor of a `Flood`, or the minimum near it, lies at an end of an axis.

    Or as far as the noise of the losses tells: it is not below all samples of its basin there.
    """
    shape, count = losses.shape, len(water.floors)
    bottoms = losses.ravel()[[cells[0] for cells in water.floors]]
    found, lowest = np.zeros(count, bool), np.full(count, np.inf)
    for k, axis in enumerate(axes):
        last = shape[k] - 1
        if not last or axis.joined:
            continue
        found |= (water.rests[:, k] < AT_REST) | (water.rests[:, k] > last - AT_REST)
        for end in (0, last):
            labels, ends = (np.take(values, end, k).ravel() for values in (water.labels, losses))
            np.minimum.at(lowest, labels[labels >= 0], ends[labels >= 0])
    return found | (lowest <= bottoms + water.noise)


def _middle(axes, shape, cells):
    """The middle of a plateau, or of that cell of it which is nearest to it."""
    where = np.unravel_index(cells, shape)
    spans = [_span(axis, i) for axis, i in zip(axes, where, strict=True)]
    found = [axis.fold((a + b) / 2) for axis, (a, b) in zip(axes, spans, strict=True)]
    if len(axes) == 1:
        return found
    away = [np.abs(axis.nodes[i] - c) for axis, i, c in zip(axes, where, found, strict=True)]
    away = [
        np.minimum(gap, axis.period - gap) if axis.joined else gap
        for axis, gap in zip(axes, away, strict=True)
    ]
    halves = [axis.reach()[i] for axis, i in zip(axes, where, strict=True)]
    if np.any((away[0] <= halves[0]) & (away[1] <= halves[1])):
        return found
    lengths = [axis.stop - axis.start or 1.0 for axis in axes]
    nearest = np.argmin(np.hypot(away[0] / lengths[0], away[1] / lengths[1]))
    return [axis.nodes[i[nearest]] for axis, i in zip(axes, where, strict=True)]


def _span(axis, nodes):
    """First and last coordinate of some nodes; on a ring after the longest run of others."""
    nodes = np.unique(nodes)
    first, last = 0, -1
    if axis.joined:
        last = int(np.argmax(np.diff(np.append(nodes, nodes[0] + len(axis.nodes)))))
        first = (last + 1) % len(nodes)
    begin, end = axis.nodes[nodes[first]], axis.nodes[nodes[last]]
    return begin, end + (axis.period if end < begin else 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Extremes:
    """Places and losses of the floors and passes of a flooded plane, in the order of the `Flood`.

    Attributes:
        floors: Array `(M, 2)`.
        bottoms: Array `(M,)`, the losses of the floors.
        passes: Array `(R, 2)`.
        heights: Array `(R,)`, the losses of the passes.
        saddles: Array `(R,)`, which passes are saddles.
        errors: Array `(M,)`, how far the losses of the floors may be from those of the function.
    """

    floors: np.ndarray
    bottoms: np.ndarray
    passes: np.ndarray
    heights: np.ndarray
    saddles: np.ndarray
    errors: np.ndarray


def extremes(axes, losses, water):
    """The `Extremes` as the samples show them."""
    where = np.unravel_index(water.passes[2], losses.shape)
    return Extremes(
        middles(axes, losses.shape, water.floors),
        losses.ravel()[[cells[0] for cells in water.floors]],
        np.stack([axis.nodes[i] for axis, i in zip(axes, where, strict=True)], axis=-1),
        water.passes[3],
        ~_only_touching(axes, losses, water, where),
        water.errors,
    )


def polish(found, axes, losses, water, surface, objective):
    """The `Extremes` with minima and saddles located and measured on the objective.

    What is on the border stays as it is, and a floor stays where nothing lower is in its basin.
    """
    shape = losses.shape
    floors = np.flatnonzero(~on_border(axes, losses, water))
    inner = np.ones(len(found.passes), bool)
    for k, (axis, i) in enumerate(zip(axes, np.unravel_index(water.passes[2], shape), strict=True)):
        inner &= axis.joined | ((i > 0) & (i < shape[k] - 1))
    saddles = np.flatnonzero(found.saddles & inner)
    if min(shape) < 3 or not len(floors) + len(saddles):
        return found
    begins = np.concatenate([_places_of(axes, water.rests[floors]), found.passes[saddles]])
    whose = np.concatenate(
        [water.rests[floors], np.transpose(np.unravel_index(water.passes[2][saddles], shape))]
    )
    steps, limits = np.empty((len(begins), 2)), np.empty((2, 2))
    for k, axis in enumerate(axes):
        steps[:, k] = 2 * axis.reach()[np.rint(whose[:, k]).astype(int) % shape[k]]
        limits[k] = (-np.inf, np.inf) if axis.joined else (axis.start, axis.stop)

    def ask(points):
        points = np.stack(
            [axis.wrap(x) if axis.joined else x for axis, x in zip(axes, points.T, strict=True)], -1
        )
        if hasattr(objective, "along"):
            return objective.along(points, surface.directions, surface.origin).astype("float64")
        return np.asarray(objective(surface.origin + points @ surface.directions), "float64")

    are_minima = np.arange(len(begins)) < len(floors)
    places, values, errors = locate(ask, begins, steps, limits, are_minima)
    for k, axis in enumerate(axes):
        places[:, k] = axis.wrap(places[:, k]) if axis.joined else places[:, k]
    new = {field.name: getattr(found, field.name).copy() for field in dataclasses.fields(found)}
    sampled, measured = found.bottoms[floors], values[: len(floors)]
    rounded = rounding(sampled, surface.losses.dtype)
    lower = measured <= sampled + rounded
    owners = Places.nearest(axes, water.labels).at(places[: len(floors)])
    lower &= owners == floors  # or else it is the floor of another, or beside what diverged
    new["floors"][floors[lower]] = places[: len(floors)][lower]
    new["bottoms"][floors[lower]] = np.minimum(measured, sampled)[lower]
    errors = errors[: len(floors)] + rounded
    equal = (owners == floors) & (np.abs(measured - sampled) <= errors)
    known = (lower | equal) & np.isfinite(errors)
    new["errors"][floors[known]] = errors[known]
    a, b = (new["bottoms"][water.passes[n][saddles]] for n in (0, 1))
    over = values[len(floors) :] >= np.maximum(a, b)
    new["passes"][saddles[over]] = places[len(floors) :][over]
    new["heights"][saddles[over]] = values[len(floors) :][over]
    return Extremes(**new)


def _places_of(axes, rests):
    """The coordinates of places that are numbers of samples, with fractions."""
    found = np.empty(rests.shape)
    for k, axis in enumerate(axes):
        nodes = axis.nodes
        if axis.joined:
            nodes = np.concatenate([nodes - axis.period, nodes, nodes + axis.period])
        first = len(axis.nodes) if axis.joined else 0
        found[:, k] = np.interp(rests[:, k] + first, np.arange(len(nodes)), nodes)
    return found


def read_plane(axes, losses, water, found):
    """`(depth, width, ridges)` of each valley; `found` are the `Extremes`."""
    sizes = [axis.sizes() if len(axis.nodes) > 1 else np.ones(1) for axis in axes]
    inside = water.labels >= 0
    areas = np.multiply.outer(*sizes)[inside]
    areas = np.bincount(water.labels[inside], areas, minlength=len(found.floors))
    power = 1 / max(sum(len(axis.nodes) > 1 for axis in axes), 1)
    ridges: list[list[tuple]] = [[] for _ in found.floors]
    depths = [np.inf] * len(found.floors)
    order = np.flatnonzero(found.saddles)
    order = order[np.argsort(found.heights[order], kind="stable")]
    pairs = (values[order].tolist() for values in (*water.passes[:2], found.heights, found.passes))
    for one, other, height, position in zip(*pairs, strict=True):
        for k in (one, other):
            ridges[k].append(tuple(position))
            depths[k] = min(depths[k], height - found.bottoms[k])
    widths = (areas**power).tolist()
    return list(zip(map(float, depths), widths, map(tuple, ridges), strict=True))


def _only_touching(axes, losses, flood, where):
    """Which passes are no saddles: around them lies a lower way, through other valleys.

    Near a peak two basins on opposite sides of it may touch.
    """
    a, b, cells, heights = flood.passes
    below, valleys = [], []
    for step in AROUND:
        index, known = [], np.ones(len(cells), bool)
        for i, d, axis in zip(where, step, axes, strict=True):
            count = len(axis.nodes)
            known &= (i + d >= 0) & (i + d < count) | axis.joined
            index.append((i + d) % count)
        below.append(known & (losses[tuple(index)] < heights))
        valleys.append(flood.labels[tuple(index)])
    lower, labels = np.array(below), np.array(valleys)
    lower &= labels >= 0
    reached = lower & (labels == a)
    for _ in AROUND:
        reached |= lower & (np.roll(reached, 1, axis=0) | np.roll(reached, -1, axis=0))
    return np.any(reached & (labels == b), axis=0)
