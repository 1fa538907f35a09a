"""The flood of a grid, against slow twins that follow each cell and fill pool by pool."""

import itertools
import math

import numpy as np
import pytest

from keras_valleys.surfaces import Surface
from keras_valleys.valleys import barrier, find_valleys, label_basins


def plane(losses, coordinates=None, labels=()):
    losses = np.asarray(losses)
    axes = [np.arange(n) for n in losses.shape] if coordinates is None else coordinates
    size = losses.ndim
    return Surface(losses, axes, np.eye(size), np.zeros(size), labels)


class Grid:
    """The cells of a grid and their neighbors, the obvious way."""

    def __init__(self, surface, rings=()):
        self.axes = surface.coordinates
        self.lengths = [len(x) - (k in rings) for k, x in enumerate(self.axes)]
        self.rings, self.losses = rings, surface.losses
        self.cells = [
            cell
            for cell in itertools.product(*map(range, self.lengths))
            if np.isfinite(self.losses[cell])
        ]

    def move(self, cell, step):
        """The cell one step away and how far it is, or `None`."""
        other, squares = [], 0.0
        for k, (i, d) in enumerate(zip(cell, step, strict=True)):
            x, j = self.axes[k], i + d
            if k in self.rings:
                j %= self.lengths[k]
                first = min(i, i + d) % self.lengths[k]
                squares += (x[first + 1] - x[first]) ** 2 if d else 0.0
            elif not 0 <= j < self.lengths[k]:
                return None
            else:
                squares += (x[j] - x[i]) ** 2
            other.append(j)
        return tuple(other), math.sqrt(squares)

    def at_an_end(self, cell):
        ends = (k not in self.rings and i in (0, n - 1) for k, (i, n) in self.sides(cell))
        return any(ends)

    def sides(self, cell):
        return enumerate(zip(cell, self.lengths, strict=True))

    def neighbors(self, cell):
        for step in itertools.product(*[(-1, 0, 1)] * len(cell)):
            moved = self.move(cell, step)
            if moved is None or moved[0] == cell or not np.isfinite(self.losses[moved[0]]):
                continue
            if len(step) == 2 and all(step):
                sides = [self.move(cell, (step[0], 0))[0], self.move(cell, (0, step[1]))[0]]
                if not any(np.isfinite(self.losses[side]) for side in sides):
                    continue
            yield moved

    def pool(self, start, level):
        """All cells that water of a level covers from a start on."""
        covered, front = {start}, [start]
        while front:
            for other, _ in self.neighbors(front.pop()):
                if other not in covered and self.losses[other] <= level:
                    covered.add(other)
                    front.append(other)
        return covered

    def floors(self):
        """The plateaus that have no way down, each a set of cells."""
        found = []
        for cell in self.cells:
            if any(cell in floor for floor in found):
                continue
            pool = self.pool(cell, self.losses[cell])
            if all(self.losses[other] == self.losses[cell] for other in pool):
                found.append(pool)
        return found

    def meeting(self, a, b):
        """The lowest level at which one pool covers two cells."""
        for level in np.unique([self.losses[cell] for cell in self.cells]):
            if b in self.pool(a, level) and a in self.pool(b, level):
                return level
        return np.inf

    def ends(self, cell, known):
        """Cells where steepest descent from a cell may end; several where slopes are equal."""
        if cell in known:
            return known[cell]
        slopes = {}
        for other, distance in self.neighbors(cell):
            slopes[other] = (self.losses[cell] - self.losses[other]) / distance
        best = max(slopes.values(), default=0.0)
        if best > 0:
            ways = [other for other, slope in slopes.items() if slope >= best * (1 - 1e-9)]
        else:
            ways = self.exits(cell)
        known[cell] = set().union(*(self.ends(way, known) for way in ways)) if ways else {cell}
        return known[cell]

    def exits(self, cell):
        """The nearest cells of the same plateau that have a lower neighbor."""
        seen, front = {cell}, {cell}
        while front:
            front = {
                other
                for one in front
                for other, _ in self.neighbors(one)
                if self.losses[other] == self.losses[cell]
            } - seen
            seen |= front
            found = [
                one
                for one in front
                if any(self.losses[o] < self.losses[one] for o, _ in self.neighbors(one))
            ]
            if found:
                return found
        return []


def random_losses(random, shape, kind):
    if kind == "steps":  # many equal ones
        losses = random.randint(0, 5, shape).astype(float)
    else:
        losses = random.normal(size=shape)
    if kind == "holes":
        losses[random.uniform(size=shape) < 0.3] = random.choice([np.nan, np.inf, -np.inf])
    return losses


def random_surface(seed, kind, rings, num_axes=2):
    random = np.random.RandomState(seed)
    shape = (random.randint(4, 9), random.randint(3, 7))[:num_axes]
    losses = random_losses(random, shape, kind)
    for k in rings:
        losses = np.concatenate([losses, np.take(losses, [0], k)], k)
    axes = [np.cumsum(random.uniform(0.3, 2.0, n)) - 3.0 for n in losses.shape]
    return plane(losses, axes)


KINDS = ["smooth", "steps", "holes"]
RINGS = [(), (0,), (1,), (0, 1)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rings", RINGS)
@pytest.mark.parametrize("num_axes", [1, 2])
def test_floors_depths_barriers_and_basins(kind, rings, num_axes):
    if max(rings, default=0) >= num_axes:
        return
    for seed in range(8):
        surface = random_surface(seed, kind, rings, num_axes)
        periodic = tuple(k in rings for k in range(num_axes))
        valleys = find_valleys(surface, persistence=0, periodic=periodic)
        grid = Grid(surface, rings)
        floors = grid.floors()
        levels = sorted(surface.losses[next(iter(floor))] for floor in floors)
        assert [valley.loss for valley in valleys] == levels, seed
        labels = valleys.labels
        own = [{int(labels[cell]) for cell in floor} for floor in floors]
        assert sorted(map(tuple, own)) == [(k,) for k in range(len(floors))]
        starts = {own[k].pop(): next(iter(floor)) for k, floor in enumerate(floors)}
        for a, b in itertools.combinations(range(len(valleys)), 2):
            way = grid.meeting(starts[a], starts[b]) - max(valleys[a].loss, valleys[b].loss)
            assert barrier(valleys, a, b) == barrier(valleys, b, a) == pytest.approx(way)
        for a, valley in enumerate(valleys):
            floor = next(floor for floor in floors if starts[a] in floor)
            assert valley.on_border == any(map(grid.at_an_end, floor))
            others = (grid.meeting(starts[a], starts[b]) for b in starts if b != a)
            depth = min(others, default=np.inf) - valley.loss
            depth = np.nan if valley.on_border else depth
            assert valley.depth == pytest.approx(depth, nan_ok=True)
        known = {}
        for cell in grid.cells:
            ends = {int(labels[end]) for end in grid.ends(cell, known)}
            if num_axes == 1 and kind == "steps" and len(ends) > 1:
                continue  # the top of a plateau: divided in its middle
            assert labels[cell] in ends, (seed, cell)
        assert np.array_equal(labels == -1, ~np.isfinite(surface.losses))
        assert np.array_equal(labels, label_basins(surface, persistence=0, periodic=periodic))


@pytest.mark.parametrize("rings", RINGS)
def test_valleys_that_persist(rings):
    """A valley is kept if its pool must rise so high before it meets a lower one."""
    for seed in range(8):
        surface = random_surface(seed, "smooth", rings)
        grid = Grid(surface, rings)
        floors = [next(iter(floor)) for floor in grid.floors()]
        lives = {}
        for cell in floors:
            lower = [c for c in floors if surface.losses[c] < surface.losses[cell]]
            meetings = [grid.meeting(cell, c) for c in lower]
            lives[surface.losses[cell]] = min(meetings, default=np.inf) - surface.losses[cell]
        periodic = tuple(k in rings for k in (0, 1))
        fine = find_valleys(surface, persistence=0, periodic=periodic).labels
        for persistence in (0.3, 0.8, 2.0):
            valleys = find_valleys(surface, persistence=persistence, periodic=periodic)
            kept = sorted(loss for loss, life in lives.items() if life >= persistence)
            assert [valley.loss for valley in valleys] == kept
            assert all(valley.on_border or valley.depth >= persistence for valley in valleys)
            assert valleys.persistence == persistence
            assert valleys.dropped == len(lives) - len(kept)
            pairs = set(zip(fine.ravel().tolist(), valleys.labels.ravel().tolist(), strict=True))
            assert len(pairs) == len(np.unique(fine))  # basins are joined, never divided


@pytest.mark.parametrize("axis", [0, 1])
def test_a_ring_may_be_cut_anywhere(axis):
    random = np.random.RandomState(5)
    losses = random.normal(size=(11, 8))
    x, y = np.linspace(-2, 9, 12), np.linspace(1, 5, 9)

    def found(losses):
        closed = np.pad(losses, [(0, 1), (0, 1)], mode="wrap")
        return find_valleys(plane(closed, [x, y]), persistence=0.4, periodic=True)

    before = found(losses)
    for shift in (1, 4, 7):
        after = found(np.roll(losses, shift, axis))
        for one, other in zip(before, after, strict=True):
            np.testing.assert_equal((one.loss, one.depth), (other.loss, other.depth))
            assert one.width == pytest.approx(other.width)
            for a, b in zip((one.position, *one.ridges), (other.position, *other.ridges)):  # noqa: B905
                step, start, length = (1.0, -2, 11) if axis == 0 else (0.5, 1, 4)
                moved = np.array(a)
                moved[axis] = start + (moved[axis] + shift * step - start) % length
                assert moved == pytest.approx(b)
        rolled = np.roll(before.labels[:-1, :-1], shift, axis)
        assert np.array_equal(rolled, after.labels[:-1, :-1])


def test_axes_may_be_swapped():
    for seed in range(10):
        surface = random_surface(seed, "holes", ())
        x, y = surface.coordinates
        one = find_valleys(surface, persistence=0.2)
        other = find_valleys(plane(surface.losses.T, [y, x]), persistence=0.2)
        assert np.array_equal(one.labels, other.labels.T)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_equal((a.position, a.depth), (b.position[::-1], b.depth))
            assert a.width == pytest.approx(b.width)
            assert a.ridges == tuple(ridge[::-1] for ridge in b.ridges)


def test_a_curve_may_be_turned_about():
    for seed in range(10):
        surface = random_surface(seed, "holes", (), num_axes=1)
        (x,) = surface.coordinates
        turned = find_valleys(plane(surface.losses[::-1], [-x[::-1]]), persistence=0.2)
        for a, b in zip(find_valleys(surface, persistence=0.2), turned, strict=True):
            np.testing.assert_equal((a.loss, a.depth), (b.loss, b.depth))
            assert a.position[0] == -b.position[0] and a.width == pytest.approx(b.width)
            assert a.ridges == pytest.approx([-ridge for ridge in b.ridges[::-1]])


def test_the_nearest_sample_decides_on_a_plane():
    surface = random_surface(3, "holes", (0,))
    valleys = find_valleys(surface, periodic=(True, None))
    x, y = surface.coordinates
    period = x[-1] - x[0]
    points = np.random.RandomState(1).uniform(-9, 12, (400, 2))
    found = valleys.at(points.reshape(20, 20, 2)).ravel()
    for (u, v), index in zip(points, found, strict=True):
        if not y[0] <= v <= y[-1]:
            assert index == -1
            continue
        gaps = np.abs((x[:, None] - u + period / 2) % period - period / 2)
        i, j = np.argmin(gaps), np.argmin(np.abs(y - v))
        assert index == valleys.labels[i, j]
        assert valleys.at(np.array([u, v])) == index
    assert valleys.at([[np.nan, y[0]], [np.inf, y[0]], [1e12, y[0]]]).tolist() == [-1, -1, -1]
    with pytest.raises(ValueError, match=r"expects coordinates of shape \(..., 2\)"):
        valleys.at([1.0, 2.0, 3.0])


def test_the_samples_of_a_curve_are_in_their_own_basins():
    for seed, rings in itertools.product(range(10), [(), (0,)]):
        surface = random_surface(seed, "holes", rings, num_axes=1)
        valleys = find_valleys(surface, periodic=bool(rings))
        (x,) = surface.coordinates
        assert np.array_equal(
            valleys.at(x)[np.isfinite(surface.losses)], valleys.labels[valleys.labels >= 0]
        )
        for valley in valleys:
            left, right = valley.ridges
            assert left <= valley.position[0] <= right and valley.width == right - left
            inside = np.linspace(left, right, 9)[1:-1]
            assert set(valleys.at(inside).tolist()) <= {valley.index}
            assert [valleys.at(float(c)) for c in inside] == valleys.at(inside).tolist()
