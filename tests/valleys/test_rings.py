"""Axes with a period: what the surface says of them is one rule, wherever the samples begin."""

import numpy as np
import pytest

from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory
from keras_valleys.valleys import closed, derailments, find_valleys, label_basins

DEGREES = np.arange(-89, 91.0)  # half open: -90 is 90


def wave(phi):
    """Of period pi, with one minimum and no symmetry about it."""
    return np.cos(2 * phi) + 0.05 * np.sin(4 * phi)


def rough(phi):
    """Of period pi, with four minima of different depths."""
    return np.cos(2 * phi + 0.3) + 0.6 * np.sin(6 * phi) + 0.4 * np.cos(8 * phi - 1)


def ring(phi, function=wave, period=np.pi, **options):
    options = {"periods": period, "units": "rad", **options}
    return Surface(function(phi), [phi], [[1.0]], [0.0], ["theta"], **options)


def test_a_valley_across_the_end_is_one():
    surface = ring(np.radians(DEGREES))
    (valley,) = find_valleys(surface)
    assert np.degrees(valley.position[0]) == pytest.approx(87, abs=0.5)
    assert find_valleys(surface).periodic == (np.pi,)
    assert set(label_basins(surface)) == {0}
    assert len(find_valleys(ring(np.radians(DEGREES), periods=()))) == 2


def test_what_the_surface_says_can_be_overruled():
    surface = ring(np.radians(DEGREES))
    for periodic in (None, False, (None,)):
        line = find_valleys(surface, periodic=periodic)
        assert len(line) == 2 and line.periodic == line.surface.periods == (None,)
        assert len(find_valleys(line.surface)) == 2  # whoever has the valleys has the same rule
        assert set(label_basins(surface, periodic=periodic)) == {0, 1}
    plain = ring(np.radians(DEGREES), periods=())
    given = find_valleys(plain, periodic=np.pi)
    assert len(given) == len(find_valleys(given.surface)) == 1
    assert plain.periods == (None,)
    with pytest.raises(ValueError, match="'auto', True, False, or one entry per axis"):
        find_valleys(surface, periodic=(None, None))
    with pytest.raises(ValueError, match="Received: 'automatic'"):
        find_valleys(surface, periodic="automatic")


@pytest.mark.parametrize("function", [wave, rough])
@pytest.mark.parametrize("period", [np.pi, 2 * np.pi])
def test_the_window_of_the_samples_does_not_count(function, period):
    """Shifted by any amount, the same valleys modulo the period."""
    random = np.random.default_rng(5)
    num = 720

    def found(start):
        phi = start + np.arange(num) * period / num
        valleys = find_valleys(ring(phi, function, period))
        rows = [(v.position[0] % period, v.loss, v.depth, v.width) for v in valleys]
        return np.array(sorted(rows))

    expected, step = found(0.0), period / num
    assert len(expected) == {wave: 1, rough: 4}[function] * round(period / np.pi)
    for start in random.uniform(-9, 9, 25):
        rows = found(start)
        assert rows.shape == expected.shape, start
        away = np.abs(rows[:, None, 0] - expected[None, :, 0])
        away = np.minimum(away, period - away)
        nearest = np.argmin(away, axis=1)
        assert sorted(nearest) == list(range(len(rows)))
        assert away.min(axis=1).max() <= step
        np.testing.assert_allclose(rows[:, 1], expected[nearest, 1], atol=2e-3)
        for column in (2, 3):
            finite = np.isfinite(expected[nearest, column])
            np.testing.assert_array_equal(finite, np.isfinite(rows[:, column]))
            known, given = rows[finite, column], expected[nearest, column][finite]
            np.testing.assert_allclose(known, given, atol=[2e-3, 2 * step][column - 2])


def test_the_samples_may_start_anywhere_on_one_grid():
    """On the same angles the very same valleys, against a twin: three rounds of a line."""
    num, random = 60, np.random.default_rng(2)
    for _ in range(20):
        losses = random.permutation(num).astype(float)
        shift = int(random.integers(num))
        grid = np.arange(num) * np.pi / num
        start = shift * np.pi / num
        ring_at = Surface(np.roll(losses, -shift), [grid + start], [[1.0]], [0.0], periods=np.pi)
        rounds = np.concatenate([grid - np.pi, grid, grid + np.pi])
        three = Surface(np.tile(losses, 3), [rounds], [[1.0]], [0.0])
        line = find_valleys(three, persistence=0)
        twin = [v for v in line if -1e-9 < v.position[0] < np.pi - 1e-9]
        places = [v.position[0] for v in find_valleys(ring_at, persistence=0)]
        turns = (np.array(places) - [v.position[0] for v in twin]) / np.pi
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
        assert [v.loss for v in find_valleys(ring_at, persistence=0)] == [v.loss for v in twin]
        widths = [v.width for v in twin]
        np.testing.assert_allclose(
            [v.width for v in find_valleys(ring_at, persistence=0)], widths, atol=1e-9
        )


def test_less_than_a_period_is_no_ring_but_its_paths_still_turn():
    phi = np.linspace(-1, 1, 201)
    surface = ring(phi, lambda x: np.cos(2 * x))
    valleys = find_valleys(surface)
    assert len(valleys) == 2 and valleys.periodic == (np.pi,)
    assert closed(surface) is surface
    places = [0.9, 0.9 + np.pi, 0.9 - 5 * np.pi, 1.2]
    assert valleys.at(places).tolist() == [valleys.at(0.9)] * 3 + [-1]


def test_a_missing_step_is_a_seam_and_two_are_a_gap():
    for missing, count in ((1, 1), (2, 2), (30, 2)):
        phi = np.radians(np.arange(-90, 91 - missing, 1.0))
        assert len(find_valleys(ring(phi, lambda x: np.cos(2 * x)))) == count


def test_of_more_than_one_period_the_first_is_read():
    phi = np.linspace(0, 2 * np.pi, 721)
    twice = ring(phi)
    (valley,) = find_valleys(twice)
    assert np.degrees(valley.position[0]) == pytest.approx(87, abs=0.5)
    assert len(find_valleys(twice, periodic=2 * np.pi)) == 2
    valleys = find_valleys(ring(phi, rough))
    assert np.array_equal(valleys.labels[:361], valleys.labels[360:]) and len(valleys) == 4
    assert closed(twice) is twice


def test_an_axis_that_steps_over_its_period_is_a_line():
    for phi in (np.arange(4) * 4.0, np.array([0.3]), np.array([0.0, np.pi, 4.0])):
        valleys = find_valleys(ring(phi, lambda x: np.sin(x)))
        assert valleys.periodic == (None,)
        with pytest.raises(ValueError, match="expects a period longer than a step"):
            find_valleys(ring(phi), periodic=np.pi)


def test_a_closed_surface_shows_the_seam():
    surface = ring(np.radians(DEGREES), rough)
    whole = closed(surface)
    assert whole.losses[-1] == whole.losses[0] and len(whole.losses) == 181
    assert whole.coordinates[0][-1] == whole.coordinates[0][0] + np.pi
    before, after = find_valleys(surface), find_valleys(whole)
    assert [v.position for v in before] == [v.position for v in after]
    assert np.array_equal(after.labels[:-1], before.labels)
    assert closed(whole) is whole


def test_two_axes_of_which_one_is_a_ring():
    x, phi = np.linspace(-2, 3, 51), np.radians(np.arange(-90, 90, 3.0))
    losses = (x[:, None] - 1) ** 2 + np.cos(2 * phi + 0.2)
    options = {"periods": (None, np.pi), "units": ("m", "rad")}
    surface = Surface(losses, [x, phi], np.eye(2), np.zeros(2), ["x", "angle"], **options)
    (valley,) = find_valleys(surface)
    assert len(find_valleys(surface, periodic=None)) == 2
    assert find_valleys(surface).at([[1, 1.5], [1, 1.5 + 3 * np.pi], [9, 0]]).tolist() == [0, 0, -1]
    row = str(find_valleys(surface)).splitlines()[1].split()
    assert row[1:4] == [f"{valley.position[0]:g}", "m", f"{np.degrees(valley.position[1]):.3f}°"]
    whole = closed(surface)
    assert whole.losses.shape == (51, 61)
    assert np.array_equal(whole.losses[:, 0], whole.losses[:, -1])


def test_a_step_round_the_end_derails_nothing():
    surface = ring(np.radians(DEGREES))
    path = Trajectory([0, 1, 2], np.radians([[80.0], [95.0], [-88.0]]), [0.1, 0.0, 0.1])
    assert derailments(path, surface) == []
    (found,) = derailments(path, surface, periodic=None)  # 95 degrees are outside of a line
    assert found.step == 0
    valleys = find_valleys(surface)
    assert derailments(path, valleys) == []
    with pytest.raises(ValueError, match="with a surface only"):
        derailments(path, valleys, periodic=None)


def test_the_table_has_degrees_for_radians_and_the_unit_for_others():
    phi = np.radians(DEGREES)
    assert "87.000°" in str(find_valleys(ring(phi)))
    assert "°" not in str(find_valleys(ring(phi, units=())))
    assert "1.5184 turns" in str(find_valleys(ring(phi, units="turns")))
