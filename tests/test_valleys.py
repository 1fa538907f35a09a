import numpy as np
import pytest
import references
from cases import rosette_model

import keras_valleys as kv
from keras_valleys.surfaces import Surface
from keras_valleys.valleys import derailments, find_valleys


def curve(losses, x=None):
    x = np.arange(len(losses)) if x is None else x
    return Surface(np.asarray(losses, float), [x], [[1.0]], [0.0])


def rosette_surface(root):
    """Over all rows, as the source's figures are."""
    (x, y), _ = kv.datasets.rosette(test_fraction=0)
    model = rosette_model(loss=kv.losses.RootError(root))
    phi = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    return kv.surfaces.evaluate(kv.objectives.Objective(model, x, y), coordinates=phi)


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
    assert plain.position == (1.0,) and plain.depth == np.inf
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


def test_basins_and_derailments_with_a_period():
    surface = curve([5, 1, 4, 0, 3, 2, 6])
    valleys = find_valleys(surface)
    assert valleys.at([1.4, 3.9, 7.0, np.nan]).tolist() == [1, 0, -1, -1]
    ring = find_valleys(surface, periodic=6)
    assert ring.at([7.0, 1e30, 1e9, -2.9]).tolist() == [1, -1, -1, 0]
    weights = [[1.0], [1.5], [2.5], [9.5], [20.0], [5.0]]
    path = kv.trajectories.Trajectory([0, 1, 2, 3, 4, 5], weights, np.zeros(6))
    found = derailments(path, surface)
    assert [(d.step, d.before.index, d.after.index) for d in found] == [(1, 1, 0), (2, 0, 2)]
    assert [d.step for d in derailments(path, ring)] == [1, 4]


def test_the_published_run_is_derailed_at_step_6():
    (x, y), _ = kv.datasets.rosette()
    model = rosette_model()
    recorder = kv.callbacks.TrajectoryRecorder()
    model.fit(
        np.tile(x, (90, 1)),
        np.tile(y, (90, 1)),
        batch_size=670,
        shuffle=False,
        verbose=0,
        callbacks=[recorder],
    )
    (derailed,) = derailments(recorder.trajectory, rosette_surface(4), periodic=np.pi)
    assert derailed.step == 6
    assert np.rad2deg([*derailed.before.position, *derailed.after.position]) == pytest.approx(
        [36, 0], abs=0.01
    )
