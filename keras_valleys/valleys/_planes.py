"""The valleys of a plane: where they lie, how wide they are, and their saddles."""

import numpy as np


def middle(axes, shape, cells):
    """The coordinates of the middle of a plateau, or of that cell of it which is nearest to it."""
    where = np.unravel_index(cells, shape)
    spans = [_span(axis, axis.nodes[i]) for axis, i in zip(axes, where, strict=True)]
    found = [axis.fold((a + b) / 2) for axis, (a, b) in zip(axes, spans, strict=True)]
    if len(axes) == 1 or len(cells) == 1:
        return tuple(map(float, found))
    away = [np.abs(axis.nodes[i] - c) for axis, i, c in zip(axes, where, found, strict=True)]
    away = [
        np.minimum(gap, axis.period - gap) if axis.joined else gap
        for axis, gap in zip(axes, away, strict=True)
    ]
    reach = [axis.sizes().max() for axis in axes]
    if np.any((away[0] < reach[0]) & (away[1] < reach[1])):
        return tuple(map(float, found))
    nearest = np.argmin(sum((gap / size) ** 2 for gap, size in zip(away, reach, strict=True)))
    return tuple(float(axis.nodes[i[nearest]]) for axis, i in zip(axes, where, strict=True))


def _span(axis, coordinates):
    """First and last of some nodes; on a ring they begin after the longest part without any."""
    c = np.unique(coordinates)
    if not axis.joined:
        return c[0], c[-1]
    k = np.argmax(np.diff(np.append(c, c[0] + axis.period)))
    begin = c[(k + 1) % len(c)]
    return begin, begin + (c[k] - begin) % axis.period


def read_plane(axes, shape, flood, floors):
    """`(depth, width, ridges)` of each valley, and the passes `(a, b, height)`."""
    sizes = [axis.sizes() if len(axis.nodes) > 1 else np.ones(1) for axis in axes]
    areas = np.multiply.outer(*sizes)
    inside = flood.labels >= 0
    areas = np.bincount(flood.labels[inside], areas[inside], minlength=len(floors))
    power = 1 / max(sum(len(axis.nodes) > 1 for axis in axes), 1)
    saddles, depths = [[] for _ in floors], np.full(len(floors), np.inf)
    a, b, cells, heights = (values.tolist() for values in flood.passes)
    for one, other, cell, height in zip(a, b, cells, heights, strict=True):
        where = np.unravel_index(cell, shape)
        position = tuple(float(axis.nodes[i]) for axis, i in zip(axes, where, strict=True))
        for k in (one, other):
            saddles[k].append(position)
            depths[k] = min(depths[k], height - floors[k])
    sides = [
        (float(depth), float(area**power), tuple(ridges))
        for depth, area, ridges in zip(depths, areas, saddles, strict=True)
    ]
    return sides, list(zip(a, b, heights, strict=True))
