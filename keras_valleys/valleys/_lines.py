"""The valleys of a curve, and the ridges between them, located between its samples."""

import dataclasses

import numpy as np

from keras_valleys.valleys._axes import Places


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
    """

    axis: object
    floors: np.ndarray
    ridges: np.ndarray
    between: np.ndarray
    gaps: np.ndarray
    beyond: np.ndarray
    ends: np.ndarray
    first: int

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
        if self.axis.joined:
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
        axis, np.column_stack([floors, heights]).reshape(-1, 2), np.reshape(ridges, (-1, 2)),
        np.reshape(between, (-1, 2)).astype(int), np.array(gaps), np.array(beyond, int), ends,
        int(labels[0]),
    )  # fmt: skip


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
