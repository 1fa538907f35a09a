"""The valleys of a plane: where they lie, how wide they are, and their saddles."""

import numpy as np

AROUND = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]


def middles(axes, shape, floors):
    """The coordinates of each floor, an array of cells: of its middle where it is a plateau."""
    first = np.unravel_index(np.array([cells[0] for cells in floors], int), shape)
    found = np.stack([axis.nodes[i] for axis, i in zip(axes, first, strict=True)], axis=-1)
    for k, cells in enumerate(floors):
        if len(cells) > 1:
            found[k] = _middle(axes, shape, cells)
    return found


def on_border(axes, shape, water):
    """Whether each floor of a `Flood`, or the minimum near it, lies at an end of an axis."""
    cells = np.concatenate([np.empty(0, int), *water.floors])
    whose = np.repeat(np.arange(len(water.floors)), list(map(len, water.floors)))
    found = np.zeros(len(water.floors), bool)
    for k, (axis, i) in enumerate(zip(axes, np.unravel_index(cells, shape), strict=True)):
        last = len(axis.nodes) - 1
        if last and not axis.joined:
            found[whose[(i == 0) | (i == last)]] = True
            found |= (water.rests[:, k] <= 0) | (water.rests[:, k] >= last)
    return found


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


def read_plane(axes, losses, flood, floors):
    """`(depth, width, ridges)` of each valley; `floors` are the losses of their floors."""
    sizes = [axis.sizes() if len(axis.nodes) > 1 else np.ones(1) for axis in axes]
    inside = flood.labels >= 0
    areas = np.multiply.outer(*sizes)[inside]
    areas = np.bincount(flood.labels[inside], areas, minlength=len(floors))
    power = 1 / max(sum(len(axis.nodes) > 1 for axis in axes), 1)
    saddles: list[list[tuple]] = [[] for _ in floors]
    depths = [np.inf] * len(floors)
    a, b, cells, heights = flood.passes
    where = np.unravel_index(cells, losses.shape)
    positions = np.stack([axis.nodes[i] for axis, i in zip(axes, where, strict=True)], axis=-1)
    between = ~_only_touching(axes, losses, flood, where)
    rows = (values[between].tolist() for values in (a, b, heights, positions))
    for one, other, height, position in zip(*rows, strict=True):
        for k in (one, other):
            saddles[k].append(tuple(position))
            depths[k] = min(depths[k], height - floors[k])
    widths = (areas**power).tolist()
    return list(zip(map(float, depths), widths, map(tuple, saddles), strict=True))


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
