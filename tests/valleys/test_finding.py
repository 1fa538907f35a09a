"""Valleys of known functions and of the rosette."""

import itertools

import numpy as np
import pytest

import keras_valleys as kv
from helpers import references
from helpers.lines import rosette_model
from helpers.surfaces import X, Y, curve, himmelblau, plane, rosette_surface
from keras_valleys.surfaces import Surface
from keras_valleys.valleys import barrier, derailments, find_valleys


def test_floors_ridges_and_depths():
    valleys = find_valleys(curve([9, 2, 5, 1, 1, 1, 4, 7, 3, 8]))
    assert [v.position[0] for v in valleys] == [4.0, 1.0, 8.0]
    assert [v.loss for v in valleys] == [1, 2, 3]
    assert [v.depth for v in valleys] == [4, 3, 4]
    assert [tuple(np.round(v.ridges)) for v in valleys] == [(2, 7), (0, 2), (7, 9)]
    assert [v.index for v in valleys] == [0, 1, 2]


def test_ends_gaps_and_plains():
    assert [v.position[0] for v in find_valleys(curve([1, 2, 3, 0]))] == [3.0, 0.0]
    assert [v.position[0] for v in find_valleys(curve([5, 1, np.nan, 2, 6]))] == [1.0, 3.0]
    (plain,) = find_valleys(curve([3, 3, 3]))
    assert plain.position == (1.0,) and plain.on_border and np.isnan(plain.depth)
    assert len(find_valleys(curve([np.nan, np.nan]))) == 0


def test_shallow_valleys_belong_to_their_neighbor():
    losses = [9, 2, 5, 4.5, 6, 1, 8, 7.9, 9, 3]
    deep = {0: [5, 1, 9, 3, 7], 0.2: [5, 1, 9, 3], 0.6: [5, 1, 9], 100: [5]}
    for persistence, positions in deep.items():
        valleys = find_valleys(curve(losses), persistence=persistence)
        assert [v.position[0] for v in valleys] == positions
    assert np.round(find_valleys(curve(losses), persistence=0.6)[0].ridges).tolist() == [4, 8]
    noisy = np.float32([2, 1, 1 + 1e-7, 1, 1 + 2e-7, 1.1])
    assert len(find_valleys(curve(noisy))) == 2  # stored as float64: no noise
    surface = Surface(noisy, [np.arange(6)], [[1.0]], [0.0])
    assert len(find_valleys(surface)) == 1


def test_it_is_the_neighbor_over_the_lowest_ridge():
    """Not the lowest valley of the pool that it is flooded from."""
    steep = curve([0.0, 3.5, 3.0, 4.2, 4.0, 9.0])
    assert find_valleys(steep, persistence=0.4).labels.tolist() == [0, 0, 1, 1, 1, 1]
    wide = Surface(np.outer(steep.losses, [1.0, 1, 1]), [range(6), range(3)], np.eye(2), [0.0, 0])
    labels = find_valleys(wide, persistence=0.4).labels
    assert labels.tolist() == [[k] * 3 for k in (0, 0, 1, 1, 1, 1)]


def test_against_a_slow_twin():
    for seed in range(50):
        losses = np.random.RandomState(seed).randint(0, 6, 23).astype(float)
        found = sorted(v.position[0] for v in find_valleys(curve(losses)))
        twin, i = [], 0
        while i < 23:
            j = i
            while j < 22 and losses[j + 1] == losses[i]:
                j += 1
            if (i == 0 or losses[i - 1] > losses[i]) and (j == 22 or losses[j + 1] > losses[i]):
                twin.append((i + j) / 2)
            i = j + 1
        assert found == twin, seed


@pytest.mark.parametrize("root", [1, 2])
def test_squared_and_absolute_error_have_one_valley(root):
    (valley,) = find_valleys(rosette_surface(root))
    assert valley.position[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("root", [4, 8])
def test_sublinear_errors_have_one_for_each_line(root):
    degrees = sorted(np.rad2deg(v.position[0]) for v in find_valleys(rosette_surface(root)))
    np.testing.assert_allclose(degrees, [-72, -36, 0, 36, 72], atol=1e-6)


def test_the_published_surface_in_figures():
    valleys = find_valleys(rosette_surface(4))
    by_degrees = {round(np.rad2deg(v.position[0])): v for v in valleys}
    for degrees, loss in {0: 0.46705, 36: 0.51926, -36: 0.51926, 72: 0.84019, -72: 0.84019}.items():
        assert by_degrees[degrees].loss == pytest.approx(
            loss, abs=1e-4
        )  # float32 phi misses the line
    assert np.rad2deg(by_degrees[0].ridges) == pytest.approx([-28.49, 28.49], abs=0.09)
    assert np.rad2deg(by_degrees[36].ridges) == pytest.approx([28.49, 71.51], abs=0.09)
    assert by_degrees[72].depth == pytest.approx(0.8514 - 0.84019, abs=2e-4)
    assert by_degrees[36].depth == pytest.approx(0.5468 - 0.51926, abs=2e-4)


@pytest.mark.parametrize(
    "num_lines, expected", [(3, 3), (4, 3), (5, 5), (6, 5), (7, 7), (8, 7), (9, 9)]
)
def test_valleys_by_number_of_lines_where_a_vertical_line_has_none(num_lines, expected):
    (x, y), _ = kv.datasets.rosette(num_lines, test_fraction=0)
    phi = np.linspace(-np.pi / 2, np.pi / 2, 18001)
    losses = [
        references.root_error(y, np.tan(angle) * x.astype("float64"), 4).mean() for angle in phi
    ]
    valleys = find_valleys(curve(losses, phi))
    assert len(valleys) == expected
    lines = np.sort((np.arange(num_lines) * 180 / num_lines + 90) % 180 - 90)
    lines = lines[np.abs(lines) < 89]
    found = sorted(np.rad2deg(v.position[0]) for v in valleys)
    np.testing.assert_allclose(found, lines, atol=0.011)


def test_a_double_well():
    """`(x^2 - 1)^2 + x / 4`: minima, ridge and depths by the roots of the derivative."""
    x = np.linspace(-1.7, 1.9, 1201)
    surface = curve((x**2 - 1) ** 2 + x / 4, x)
    left, ridge, right = np.sort(np.roots([4, 0, -4, 0.25]).real)

    def height(x):
        return (x**2 - 1) ** 2 + x / 4

    low, high = find_valleys(surface)
    assert (low.position[0], high.position[0]) == pytest.approx((left, right), abs=0.0015)
    assert (low.ridges, high.ridges) == ((-1.7, low.ridges[1]), (low.ridges[1], 1.9))
    assert low.ridges[1] == pytest.approx(ridge, abs=1e-5)  # between the samples
    assert low.depth == pytest.approx(height(ridge) - height(left), abs=1e-5)
    assert high.depth == pytest.approx(height(ridge) - height(right), abs=1e-5)
    assert (
        barrier(find_valleys(surface), 0, 1) == barrier(find_valleys(surface), 1, 0) == high.depth
    )
    assert low.width == low.ridges[1] + 1.7 and high.width == 1.9 - low.ridges[1]
    around = find_valleys(surface).at([ridge - 2e-5, ridge + 2e-5, -1.7, 1.9, -1.71, 1.91])
    assert around.tolist() == [0, 1, 0, 1, -1, -1]


def test_himmelblau():
    valleys = find_valleys(plane(himmelblau, X, Y))
    step = max(X[1] - X[0], Y[1] - Y[0])
    minima = [(3.0, 2.0), (3.584428, -1.848127), (-2.805118, 3.131313), (-3.779310, -3.283186)]
    saddles = {
        (0, 1): (3.385154, 0.073852),
        (0, 2): (0.086678, 2.884255),
        (2, 3): (-3.073026, -0.081353),
        (1, 3): (-0.127961, -1.953715),
    }
    number = {  # all four floors are 0
        k: int(np.argmin([np.hypot(*np.subtract(v.position, m)) for v in valleys]))
        for k, m in enumerate(minima)
    }
    assert sorted(number.values()) == [0, 1, 2, 3] == list(range(len(valleys)))
    for k, minimum in enumerate(minima):
        valley = valleys[number[k]]
        assert valley.position == pytest.approx(minimum, abs=step)
        own = {pair: place for pair, place in saddles.items() if k in pair}
        heights = {pair: himmelblau(*place) for pair, place in own.items()}
        assert valley.depth == pytest.approx(min(heights.values()), abs=0.05)
        for ridge, pair in zip(valley.ridges, sorted(own, key=heights.get), strict=True):
            assert ridge == pytest.approx(own[pair], abs=2 * step)
    # From (3, 2) to (-3.8, -3.3) the lowest way leads over two saddles.
    over = max(himmelblau(*saddles[pair]) for pair in ((0, 2), (2, 3)))
    assert barrier(valleys, number[0], number[3]) == pytest.approx(over, abs=0.05)
    assert sum(v.width**2 for v in valleys) == pytest.approx(10.4 * 11.2)


def test_rastrigin():
    def rastrigin(x, y):
        return 20 + x**2 + y**2 - 10 * (np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y))

    x, y = np.linspace(-2.4, 3.3, 286), np.linspace(-1.35, 2.4, 376)
    valleys = find_valleys(plane(rastrigin, x, y))
    whole = sorted(
        itertools.product(range(-2, 4), range(-1, 3)), key=lambda p: p[0] ** 2 + p[1] ** 2
    )
    assert len(valleys) == len(whole)
    found = {tuple(map(round, v.position)): v for v in valleys}
    assert found.keys() == set(whole) and valleys[0].position == pytest.approx((0, 0), abs=0.01)
    for place, valley in found.items():
        assert valley.position == pytest.approx(0.995 * np.array(place), abs=0.025)
    # Between 0 and 1 the curve through the minima has its ridge near 0.5.
    assert found[0, 0].width == pytest.approx(1.01, abs=0.02)
    ridge = rastrigin(np.linspace(0.4, 0.6, 2001), 0.0).max()
    assert found[0, 0].depth == pytest.approx(ridge, abs=0.02)
    assert all(0.4 < max(map(abs, ridge)) < 0.6 for ridge in found[0, 0].ridges[:4])
    assert len(find_valleys(plane(rastrigin, x, y), persistence=25)) == 1


def test_a_narrow_diagonal_valley_is_one():
    def canyon(x, y):
        return 100 * (y - x) ** 2 + 0.1 * (x - 0.3) ** 2

    (valley,) = find_valleys(plane(canyon, np.linspace(-2, 3, 101), np.linspace(-1.5, 2, 71)))
    assert valley.depth == np.inf and valley.ridges == ()


def test_plateaus_and_diverged_cells_of_a_plane():
    wall = np.full((7, 9), 5.0)
    wall[1:4, 1:4] = 1.0
    wall[2, 5:8] = 2.0
    first, second = find_valleys(Surface(wall, [range(7), range(9)], np.eye(2), np.zeros(2)))
    assert (first.position, second.position) == ((2, 2), (2, 6))
    assert (first.depth, second.depth) == (4, 3)
    ring = np.ones((5, 6))
    ring[1:4, 1:5] = 0.0
    ring[2, 2:4] = 1.0
    (hollow,) = find_valleys(Surface(ring, [range(5), range(6)], np.eye(2), np.zeros(2)))
    assert ring[tuple(map(int, hollow.position))] == 0  # not on the island in the middle
    for bad in (np.nan, np.inf, -np.inf):
        parted = np.arange(20.0).reshape(4, 5)
        parted[[0, 1, 2, 3], [3, 2, 1, 0]] = bad  # no way leads through the corners
        valleys = find_valleys(Surface(parted, [range(4), range(5)], np.eye(2), np.zeros(2)))
        assert [v.position for v in valleys] == [(0, 0), (0, 4)]
        assert barrier(valleys, 0, 1) == np.inf and all(valley.on_border for valley in valleys)
        assert np.array_equal(valleys.labels == -1, ~np.isfinite(parted))
    nothing = Surface(np.full((3, 4), np.nan), [range(3), range(4)], np.eye(2), np.zeros(2))
    assert len(find_valleys(nothing)) == 0 and set(find_valleys(nothing).labels.flat) == {-1}
    assert find_valleys(nothing).at([[1.0, 1.0]]).tolist() == [-1]


def test_a_plateau_across_the_seam_of_an_uneven_ring():
    surface = curve([0, 0, 5, 6, 0, 0], np.array([0.0, 100, 101, 102, 103, 104]))
    (valley,) = find_valleys(surface, periodic=True)
    assert valley.position == (49.5,)  # between 103 - 104 and 100
    wide = Surface(
        np.outer([0, 0, 5, 6, 0, 0], [1.0, 1]),
        [surface.coordinates[0], [0, 1]],
        np.eye(2),
        np.zeros(2),
    )
    (valley,) = find_valleys(wide, periodic=(True, None))
    assert valley.position == (49.5, 0.5)


def test_a_curve_and_a_plane_on_rings():
    """Both ends of half a turn are one line."""
    phi = np.linspace(-np.pi / 2, np.pi / 2, 301)
    surface = curve(-np.cos(2 * phi - 2.9), phi)
    assert len(find_valleys(surface)) == 2
    for periodic in (True, np.pi, (np.pi,), [True]):
        (valley,) = find_valleys(surface, periodic=periodic)
        assert valley.position[0] == pytest.approx(1.45, abs=0.006)
        assert valley.width == pytest.approx(np.pi) and valley.depth == np.inf
        assert valley.ridges == pytest.approx((1.45 - np.pi / 2, 1.45 + np.pi / 2), abs=0.006)
    torus = plane(lambda x, y: np.cos(2 * x) + np.cos(3 * y) + 0.3 * np.cos(y), phi, 2 * phi[::2])
    assert len(find_valleys(torus)) == 8
    assert len(find_valleys(torus, periodic=(np.pi, None))) == 4
    assert len(find_valleys(torus, periodic=(np.pi, 2 * np.pi))) == 3
    assert find_valleys(torus, periodic=True).periodic == pytest.approx((np.pi, 2 * np.pi))


def test_a_period_beside_the_extent():
    phi = np.linspace(-np.pi / 2, np.pi / 2, 360, endpoint=False)
    assert len(find_valleys(curve(np.cos(2 * phi), phi), periodic=np.pi)) == 1  # the seam is a step
    phi = np.linspace(-1.4, 1.4, 281)  # at the pole nothing is known: ends stay ends
    valleys = find_valleys(curve(np.cos(2 * phi), phi), periodic=np.pi)
    assert len(valleys) == 2
    assert valleys.at([1.5, 1.3, 1.3 + 2 * np.pi, -1.3 - np.pi]).tolist() == [
        -1,
        *valleys.at([1.3, 1.3, -1.3]),
    ]
    phi = np.linspace(-np.pi, np.pi, 721)  # a whole turn of a line is it twice
    valleys = find_valleys(curve(np.cos(4 * phi), phi), periodic=np.pi)
    assert len(valleys) == 2 and valleys.labels.shape == (721,)
    assert np.array_equal(valleys.labels[:361], valleys.labels[360:])


def test_what_cannot_be_is_refused():
    surface = curve([3.0, 1.0, 2.0])
    flat = Surface(np.zeros((2, 3)), [[0, 1], [0, 1, 2]], np.eye(2), np.zeros(2))
    for periodic in (0, -1.0, np.nan, np.inf, "pi", 0.5, (1, 2), ()):
        with pytest.raises(ValueError, match="expects (a period longer|`periodic` to be)"):
            find_valleys(surface, periodic=periodic)
    with pytest.raises(ValueError, match="one entry per axis"):
        find_valleys(flat, periodic=np.pi)
    with pytest.raises(ValueError, match="expects `persistence` to be >= 0"):
        find_valleys(surface, persistence=-1)
    with pytest.raises(ValueError, match="`surface` to be a `keras_valleys.surfaces"):
        find_valleys(np.zeros(3))
    other = kv.objectives.Objective(rosette_model(), *kv.datasets.rosette()[0])
    with pytest.raises(ValueError, match="expects an objective over the weights of the surface"):
        find_valleys(flat, objective=other)
    valleys = find_valleys(surface)
    for wrong in (1, -1, True, "0", find_valleys(curve([1.0, 2.0]))[0]):
        with pytest.raises(ValueError, match="expects two of the 1 valleys"):
            barrier(valleys, 0, wrong)
    path = kv.trajectories.Trajectory([0], [[0.0]], [0.0])
    with pytest.raises(ValueError, match="with a surface only"):
        derailments(path, valleys, periodic=True)


@pytest.mark.parametrize("noise, expected", [(0.0, 5), (0.01, 3), (0.05, 1), (0.1, 1), (0.2, 1)])
def test_noisy_data_make_no_more_valleys(noise, expected):
    """Each row has a kink of its own: 20 valleys and more at noise 0.2, none of them deep."""
    phi = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    slopes = np.tan(phi)[:, None]
    for seed in range(20):
        (x, y), _ = kv.datasets.rosette(noise=noise, seed=seed, test_fraction=0)
        errors = np.abs(slopes * x[:, 0].astype("float64") - y[:, 0])
        losses = np.sqrt(errors).mean(axis=1).astype("float32")
        surface = Surface(losses, [phi], [[1.0]], [0.0], periods=np.pi)
        valleys = find_valleys(surface)
        assert len(valleys) == expected, seed
        every = find_valleys(surface, persistence=0)
        assert len(every) >= expected
        if len(valleys.surface.losses) and noise >= 0.05:
            assert valleys.dropped > 0 and 0.001 < valleys.persistence < 0.01
        if not noise:
            assert valleys.dropped == 0


@pytest.mark.parametrize("noise", [1e-4, 0.01, 0.2])
def test_noise_of_each_sample_makes_no_valleys(noise):
    for num in (200, 2001):
        x = np.linspace(-2, 3, num)
        for seed in range(20):
            jitter = noise * np.random.default_rng(seed).normal(size=num)
            assert len(find_valleys(curve(np.cos(np.pi * x) + jitter, x))) == 3


def test_shallow_valleys_of_smooth_curves_are_counted():
    """Also where most of the curve is far higher, and where the grid is so fine that it jitters."""
    for num in (51, 101, 1001, 100_001):
        x = np.linspace(-2, 3, num)
        losses = x**4 - 3 * x**3 + x**2 + 5
        for dtype in ("float32", "float64"):
            valleys = find_valleys(Surface(losses.astype(dtype), [x], [[1.0]], [0.0]))
            assert [round(v.position[0], 1) for v in valleys] == [2.0, 0.0]
            assert valleys.dropped == 0
    few = find_valleys(curve([3, 1, 2, 1.99, 5, 4.99, 6]))
    assert len(few) == 3


def test_noise_makes_no_minimum_of_what_is_lowest_at_the_border():
    x = np.linspace(-2, 3, 1000)  # cos(3 x) falls at the left end and rises at the right one
    for seed in range(20):
        jitter = 0.01 * np.random.default_rng(seed).normal(size=len(x))
        valleys = find_valleys(curve(np.cos(3 * x + 0.2) + jitter, x))
        inner = [valley for valley in valleys if not valley.on_border]
        assert len(inner) == 2 and len(valleys) == 3, seed
    exact = find_valleys(curve((x + 1.995) ** 2, x))  # but a minimum that the samples show is one
    assert not exact[0].on_border
