"""The borders of the basins of a plane: the ways up from its saddles.

Steepest descent over a grid knows eight directions only, and ends in the wrong valley wherever
the error adds up over a long way: on grids as fine as one likes the borders stay as wrong. But
where the loss is smooth the borders of the basins of gradient flow are known curves: the two ways
up from each saddle, to a maximum or out of the plane, and the ways up from the highest points of
a border along which descent is kept within the plane. Uphill these ways draw near to each other, so
that they are followed without losing accuracy. The slope is interpolated between the samples,
linearly in each direction, on a coarse grid after samples were put in between.

The curves part the samples into pieces. A piece is the basin of the only floor in it. In a piece
with several floors, which a curve that was not found should have parted, steepest descent over the
grid parts them.
"""

import numpy as np

from keras_valleys.valleys.between_samples import doubled, slopes

COARSE = 200  # samples along an axis; between fewer of them the slope is not linear enough
STEP = 3.0  # cells: as many as `_around_tops` covers
START = 0.1  # of a cell, from the saddle
ASIDE = 0.618e-6 + 0.382e-6j  # so that no curve runs through samples, as on an axis of symmetry
DOUBT = 1 / 3  # of a piece that would change hands: then a curve was not found


def flow_basins(losses, axes, labels, floors):
    """The valley to which each sample flows.

    Args:
        losses: float64 array `(n, m)` of the nodes of the axes.
        axes: Two `Axis`.
        labels: Integers `(n, m)`, as found by steepest descent over the grid, -1 where not finite.
        floors: One array of cells per valley.

    Returns:
        Integers like `labels`.
    """
    _, exponent = np.frexp(np.nanmax(np.abs(losses)))
    fine, stride = (np.ldexp(losses, -exponent), axes), 1  # products of slopes stay in range
    if max(losses.shape) <= COARSE:
        fine, stride = doubled(*fine), 2
    uphill = _uphill(*fine)
    saddles, ways, maxima = _critical(uphill, fine[1])
    curves = _curves(uphill, fine[1], saddles, ways, maxima)
    pieces = _pieces(np.isfinite(fine[0]), fine[1], curves)[::stride, ::stride]
    return _owned(labels, pieces, floors, axes)


def _uphill(losses, axes):
    """The gradient flow uphill, in cells: arrays `(2, n, m)`."""
    flows = []
    for k, axis in enumerate(axes):
        lengths = np.where(axis.sizes() > 0, axis.sizes(), 1.0)
        if not axis.joined and len(axis.nodes) > 1:
            lengths[[0, -1]] *= 2
        flows.append(slopes(losses, axis, k) / np.expand_dims(lengths, 1 - k))
    return np.stack(flows)


def _corners(flow, axes):
    """Values at the four corners of each cell: `(2, cells_u, cells_v)` each."""
    closed = np.pad(flow, [(0, 0), *((0, int(axis.joined)) for axis in axes)], mode="wrap")
    return [
        closed[:, a : closed.shape[1] - 1 + a, b : closed.shape[2] - 1 + b]
        for a in (0, 1)
        for b in (0, 1)
    ]


def _critical(flow, axes):
    """Where the flow rests: saddles, the ways up from them, and for each cell the maximum in it."""
    rises, falls = (_corners(part, axes) for part in (flow >= 0, flow <= 0))
    changes = np.logical_or.reduce(rises) & np.logical_or.reduce(falls)
    changes = changes[0] & changes[1]
    cells = np.argwhere(changes)
    maxima = np.full((*changes.shape, 2), np.nan)
    if not len(cells):
        return np.empty((0, 2)), np.empty((0, 2)), maxima
    f00, f10, f01, f11 = (
        flow[:, (cells[:, 0] + a) % flow.shape[1], (cells[:, 1] + b) % flow.shape[2]]
        for a, b in ((0, 0), (1, 0), (0, 1), (1, 1))
    )
    twist = f11 - f10 - f01 + f00
    s = t = np.full(len(cells), 0.5)
    for _ in range(12):
        by_s, by_t = f10 - f00 + twist * t, f01 - f00 + twist * s
        value = f00 + (f10 - f00) * s + (f01 - f00) * t + twist * s * t
        with np.errstate(divide="ignore", invalid="ignore"):
            determinant = by_s[0] * by_t[1] - by_s[1] * by_t[0]
            ds = (value[1] * by_t[0] - value[0] * by_t[1]) / determinant
            dt = (value[0] * by_s[1] - value[1] * by_s[0]) / determinant
        s, t = np.clip(s + ds, -0.5, 1.5), np.clip(t + dt, -0.5, 1.5)
    inside = (
        (np.abs(ds) + np.abs(dt) < 1e-6)
        & (np.abs(s - 0.5) <= 0.5 + 1e-6)
        & (np.abs(t - 0.5) <= 0.5 + 1e-6)
    )
    places = cells + np.stack([s, t], axis=-1)
    trace = by_s[0] + by_t[1]
    tops = inside & (determinant > 0) & (trace < 0)
    maxima[cells[tops, 0], cells[tops, 1]] = places[tops]
    saddle = inside & (determinant < 0)
    matrices = np.stack([by_s, by_t], axis=-1).transpose(1, 0, 2)[saddle]
    values, vectors = np.linalg.eig(matrices)
    rising = np.argmax(values.real, axis=1)
    ways = vectors[np.arange(len(rising)), :, rising].real
    return places[saddle], ways, maxima


def _border_tops(flow, axes):
    """The highest points of the borders where descent would leave the plane, and the way inward."""
    places, ways = [np.empty((0, 2))], [np.empty((0, 2))]
    for k, axis in enumerate(axes):
        if axis.joined or len(axis.nodes) < 2:
            continue
        for end, inward in ((0, 1.0), (len(axis.nodes) - 1, -1.0)):
            across, along = (np.take(flow[n], end, k) for n in (k, 1 - k))
            after, up = np.roll(along, -1), np.roll(across, -1)
            with np.errstate(invalid="ignore"):
                top = (along > 0) & (after <= 0) & (across * inward > 0) & (up * inward > 0)
            if not axes[1 - k].joined:
                top[-1] = False
            where = np.flatnonzero(top)
            place = np.empty((len(where), 2))
            place[:, k], place[:, 1 - k] = end, where + along[where] / (along[where] - after[where])
            way = np.zeros((len(where), 2))
            way[:, k] = inward
            places.append(place)
            ways.append(way)
    return np.concatenate(places), np.concatenate(ways)


def _curves(flow, axes, saddles, ways, maxima):
    """The ways up, as the two ends of many short pieces: `(n, 2)` each.

    Places and slopes are complex numbers here.
    """
    tops, inward = _border_tops(flow, axes)
    begins = np.concatenate([saddles, saddles, tops]) @ [1, 1j]
    heading = np.concatenate([ways, -ways, inward]) @ [1, 1j]
    here = begins + START * heading
    pieces = [((tops - inward) @ [1, 1j], tops @ [1, 1j]), (begins, here)]
    shape, rings = flow.shape[1:], [axis.joined for axis in axes]
    field = np.pad(flow, ((0, 0), *((0, int(ring)) for ring in rings)), mode="wrap")
    stride, field = field.shape[2], (field[0] + 1j * field[1]).ravel()
    maxima = _around_tops(maxima @ [1, 1j], rings)
    maxima = np.pad(maxima, [(0, 1 - ring) for ring in rings], constant_values=np.nan)
    maxima = np.pad(maxima, [(0, int(ring)) for ring in rings], mode="wrap").ravel()
    has_top = ~np.isnan(maxima)
    counts, ring = np.array(shape, float), np.array(rings)
    low = np.where(ring, -np.inf, 0.0)
    high, last = (np.where(ring, np.inf, counts - less) for less in (1.5, 1.0))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(8 * sum(shape)):
            if not len(here):
                break
            middle = _pairs(here + STEP / 2 * heading)
            turns = np.floor(middle / counts) * counts * ring
            middle -= turns
            cell = np.floor(np.minimum(np.maximum(middle, low), high))
            first = (cell[:, 0] * stride + cell[:, 1]).astype(int)
            heading, goes_up = _turn(field, stride, first, middle - cell, heading)
            there = here + STEP * heading
            arrived, places = has_top[first], _pairs(there)
            ends = arrived | ~goes_up | ((places < low) | (places > last)).any(axis=1)
            pieces.append((here, there))
            if ends.any():
                there[arrived] = (maxima[first] + turns @ [1, 1j])[arrived]
                here, heading = there[~ends], heading[~ends]
            else:
                here = there
    return _cut(*(np.concatenate(points) + ASIDE for points in zip(*pieces, strict=True)))


def _around_tops(maxima, rings):
    """The maximum in each cell or, where there is none in it, in one beside it."""
    found = maxima.copy()
    for i, j in np.argwhere(~np.isnan(maxima)).tolist():
        for a in (-1, 0, 1):
            for b in (-1, 0, 1):
                cell, turns = [], 0j
                for x, d, count, ring, unit in zip(
                    (i, j), (a, b), maxima.shape, rings, (1, 1j), strict=True
                ):
                    turn, place = divmod(x + d, count)
                    cell.append(place if ring or not turn else -1)
                    turns += turn * count * unit
                if min(cell) >= 0 and np.isnan(found[tuple(cell)]):
                    found[tuple(cell)] = maxima[i, j] - turns
    return found


def _cut(start, end):
    """Straight pieces, cut in parts none of which is longer than a cell along an axis."""
    way, ends = end - start, end
    counts = np.ceil(np.maximum(np.abs(way.real), np.abs(way.imag)).clip(1e-9)).astype(int)
    start, part = np.repeat(start, counts), np.repeat(way / counts, counts)
    last = np.cumsum(counts)
    number = np.arange(len(start)) - np.repeat(last - counts, counts)
    begin = start + number * part
    end = np.concatenate([begin[1:], end[-1:]])
    end[last - 1] = ends
    return np.stack([begin.real, begin.imag], -1), np.stack([end.real, end.imag], -1)


def _pairs(places):
    """Complex numbers `(n,)` as pairs `(n, 2)`."""
    return places.view(float).reshape(-1, 2)


def _turn(field, stride, first, share, heading):
    """The heading that is the way uphill in the middle of the next step, and whether it leads up.

    Newton's step for the angle. The bend of the surface across the way is in its denominator: on a
    ridge, where steps by the slope alone would sway from side to side, it holds them.
    """
    s, t = share.T
    f00, f01, f10, f11 = field[first + np.array([[0], [1], [stride], [stride + 1]])]
    by_s, by_t = f10 - f00, f01 - f00
    twist = f11 - f10 - by_t
    by_t = by_t + twist * s
    back = heading.conj()  # turns the heading to the real axis
    slope = (f00 + by_s * s + by_t * t) * back
    bend = ((heading.real * by_t - heading.imag * (by_s + twist * t)) * back).imag
    angle = slope.imag / (np.abs(slope.real) - STEP / 2 * np.minimum(bend, 0))
    angle = np.minimum(np.maximum(angle, -1.0), 1.0)
    angle[np.isnan(angle)] = 0.0
    turned = heading * (1 + 1j * angle)
    return turned / np.abs(turned), slope.real > 0


def _pieces(finite, axes, curves):
    """The number of the piece of the plane in which each sample lies."""
    shape = finite.shape
    open_u, open_v = (finite & np.roll(finite, -1, k) for k in (0, 1))
    for k, ways in ((0, open_u), (1, open_v)):
        if not axes[k].joined:
            ways[(slice(None),) * k + (-1,)] = False
        start, end = (points[:, [k, 1 - k]] for points in curves)
        line = np.maximum(np.floor(start[:, 1]), np.floor(end[:, 1]))
        crosses = np.floor(start[:, 1]) != np.floor(end[:, 1])
        start, end, line = start[crosses], end[crosses], line[crosses]
        share = (line - start[:, 1]) / (end[:, 1] - start[:, 1])
        edge = np.floor(start[:, 0] + share * (end[:, 0] - start[:, 0]))
        place = np.stack([edge, line] if k == 0 else [line, edge]).astype(int)
        size = np.array(shape)[:, None]
        ring = np.array([axis.joined for axis in axes])[:, None]
        known = np.all(ring | ((place >= 0) & (place < size)), axis=0)
        ways[tuple((place % size)[:, known])] = False
    # Runs along v, then what the ways along u join.
    begins = np.ones(shape, bool)
    begins[:, 1:] = ~open_v[:, :-1]
    runs = np.cumsum(begins).reshape(shape) - 1
    lower = np.roll(runs, -1, 0)
    new = open_u.copy()
    new[:, 1:] &= begins[:, 1:] | np.roll(begins, -1, 0)[:, 1:] | ~open_u[:, :-1]
    pairs = [np.stack([runs[new], lower[new]])]
    if axes[1].joined:
        around = open_v[:, -1]
        pairs.append(np.stack([runs[around, -1], runs[around, 0]]))
    return _joined(np.concatenate(pairs, axis=1), int(runs[-1, -1]) + 1)[runs]


def _joined(pairs, count):
    """Numbers of the groups that pairs of `count` things make."""
    names = np.arange(count)
    a, b = pairs
    while len(a):
        low, high = np.minimum(names[a], names[b]), np.maximum(names[a], names[b])
        differ = low != high
        a, b, low, high = a[differ], b[differ], low[differ], high[differ]
        np.minimum.at(names, high, low)
        while True:
            further = names[names]
            if np.array_equal(further, names):
                break
            names = further
    return np.unique(names, return_inverse=True)[1]


def _owned(labels, pieces, floors, axes):
    """Labels of the samples: each piece to the only floor in it.

    In a piece with several floors the samples of other valleys go to those next to them.
    """
    count = int(labels.max()) + 1
    finite = labels >= 0
    shares = np.zeros((int(pieces.max()) + 1, count), int)
    np.add.at(shares, (pieces[finite], labels[finite]), 1)
    holders = np.zeros_like(shares, bool)
    for k, cells in enumerate(floors):
        holders[pieces.ravel()[cells], k] = True
    alone = holders.sum(axis=1)
    holders[alone == 0, np.argmax(shares, axis=1)[alone == 0]] = True
    stay = np.where(holders, shares, 0).sum(axis=1)
    sure = stay >= (1 - DOUBT) * shares.sum(axis=1)
    owner = np.argmax(holders, axis=1)
    single = sure & (alone <= 1)
    found = np.where(finite & single[pieces], owner[pieces], labels)
    open_ = finite & (sure & (alone > 1))[pieces] & ~holders[pieces, labels]
    while open_.any():
        before = open_.copy()
        for k, axis in enumerate(axes):
            for step in (1, -1):
                near = np.roll(np.where(open_, -1, found), step, k)
                same = np.roll(pieces, step, k) == pieces
                if not axis.joined:
                    same[(slice(None),) * k + (0 if step == 1 else -1,)] = False
                takes = open_ & same & (near >= 0)
                found[takes], open_[takes] = near[takes], False
        if np.array_equal(before, open_):
            break
    return found
