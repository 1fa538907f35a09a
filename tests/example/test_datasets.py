import numpy as np
import pytest

from keras_valleys.datasets import repeat, rosette, straight_line


def published_rows():
    """The published recipe, written out."""
    random = np.random.RandomState(314)
    radii = random.uniform(0, 1, 100)
    rows = []
    for angle in np.linspace(0, 2 * np.pi, 6)[:-1]:
        for r in [*radii, *-radii]:
            rows.append((np.cos(angle) * r, np.sin(angle) * r))
        random.normal(size=200)
    order = np.random.RandomState(42).permutation(1000)
    rows = np.array(rows)
    return rows[order[330:]], rows[order[:330]]


def test_the_defaults_are_the_published_data_row_for_row():
    (x_train, y_train), (x_test, y_test) = rosette()
    train, test = published_rows()
    arrays = (x_train, y_train, x_test, y_test)
    columns = (train[:, :1], train[:, 1:], test[:, :1], test[:, 1:])
    for array, expected in zip(arrays, columns, strict=True):
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("num_lines", range(1, 10))
def test_every_line_appears_once_and_evenly_spaced(num_lines):
    (x, y), _ = rosette(num_lines, num_points=7, test_fraction=0)
    assert x.shape == y.shape == (14 * num_lines, 1)
    far = np.hypot(x, y)[:, 0] > 0.05
    angles = np.arctan2(y, x)[far, 0] % np.pi
    angles = np.sort(angles % (np.pi - 1e-5))
    starts = np.concatenate([[0], np.flatnonzero(np.diff(angles) > 1e-3) + 1])
    counts = np.diff([*starts, len(angles)])
    assert len(counts) == num_lines and len(set(counts)) == 1
    np.testing.assert_allclose(angles[starts], np.arange(num_lines) * np.pi / num_lines, atol=1e-5)


def test_noise_is_on_y_only_and_seeds_matter():
    (x, y), _ = rosette(noise=0.5, test_fraction=0)
    (x0, y0), _ = rosette(test_fraction=0)
    np.testing.assert_array_equal(x, x0)
    assert 0.45 < np.std(y - y0) < 0.55
    assert not np.array_equal(rosette(seed=1)[0][0], rosette(seed=2)[0][0])
    assert not np.array_equal(rosette(split_seed=1)[0][0], rosette(split_seed=2)[0][0])


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    rosette()
    straight_line()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_straight_line_is_its_recipe():
    random = np.random.RandomState(314)
    x = random.normal(size=1000)
    y = 3 * x + 2 + random.normal(size=1000)
    order = np.random.RandomState(42).permutation(1000)
    (x_train, y_train), (x_test, y_test) = straight_line()
    np.testing.assert_array_equal(x_train[:, 0], x[order[330:]].astype("float32"))
    np.testing.assert_array_equal(y_train[:, 0], y[order[330:]].astype("float32"))
    np.testing.assert_array_equal(x_test[:, 0], x[order[:330]].astype("float32"))
    np.testing.assert_array_equal(y_test[:, 0], y[order[:330]].astype("float32"))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_lines": 0}, "`num_lines` to be an integer >= 1"),
        ({"num_lines": 2.5}, "`num_lines` to be an integer >= 1"),
        ({"num_points": 0}, "`num_points` to be an integer >= 1"),
        ({"noise": -0.1}, "`noise` to be a finite standard deviation >= 0"),
        ({"noise": float("nan")}, "`noise` to be a finite standard deviation >= 0"),
        ({"test_fraction": 1.0}, "`test_fraction` to be in"),
        ({"test_fraction": -0.1}, "`test_fraction` to be in"),
    ],
)
def test_impossible_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        rosette(**options)


def test_repeated_full_batches_are_the_rows_in_their_order():
    x, y = np.arange(5)[:, None], -np.arange(5)[:, None]
    a, b = repeat(x, y, 3)
    np.testing.assert_array_equal(a[:, 0], [*range(5)] * 3)
    np.testing.assert_array_equal(b, -a)


def test_repeated_batches_are_drawn_without_replacement():
    x = np.arange(7)
    a, b = repeat(x, -x, 8, batch_size=2, seed=3)
    np.testing.assert_array_equal(b, -a)
    assert a.shape == (16,)
    for start in range(0, 16, 6):  # three batches of two in a pass, one row left out
        assert len(set(a[start : start + 6])) == len(a[start : start + 6])
    assert not np.array_equal(a[:6], a[6:12])
    np.testing.assert_array_equal(a, repeat(x, -x, 8, batch_size=2, seed=3)[0])
    assert not np.array_equal(a, repeat(x, -x, 8, batch_size=2, seed=4)[0])


@pytest.mark.parametrize(
    "options", [{"num_steps": 0}, {"batch_size": 0}, {"batch_size": 8}, {"y": np.arange(6)}]
)
def test_impossible_repetitions_are_refused(options):
    with pytest.raises(ValueError, match="`repeat` expects"):
        repeat(**{"x": np.arange(7), "y": np.arange(7), "num_steps": 2, **options})
