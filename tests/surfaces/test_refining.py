"""Points added to a curve: on known functions, and on the valleys of the rosette."""

import numpy as np
import pytest

import keras_valleys as kv
from helpers.lines import rosette_model
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import evaluate
from keras_valleys.surfaces.refining import MOST
from keras_valleys.valleys import find_valleys

START = np.linspace(-1.9, 2.7, 40)
KINK = 0.3137


class Curve:
    """A function of one coordinate; remembers where it was asked."""

    weight_names, loss_name, size = ["x"], "curve", 1

    def __init__(self, function, dtype="float64"):
        self.function, self.dtype = function, np.dtype(dtype)
        self.asked = []

    def point(self):
        return np.zeros(1)

    def along(self, coefficients, directions, origin):
        x = (origin + coefficients @ directions)[:, 0].astype(self.dtype)
        self.asked.append(x)
        with np.errstate(all="ignore"):
            return np.asarray(self.function(x), self.dtype)


def refined(function, tolerance=1e-6, dtype="float64", x=START):
    curve = Curve(function, dtype)
    surface = evaluate(curve, coordinates=x, refine=tolerance)
    # JAX gets the last point of a call several times, up to a number that is compiled.
    asked = np.concatenate([np.unique(x) for x in curve.asked])
    assert len(np.unique(asked)) == len(asked) == surface.losses.size  # no point twice
    assert np.all(np.isin(x, surface.coordinates[0]))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(
            surface.losses, function(surface.coordinates[0].astype(dtype)).astype(dtype)
        )
    assert 0 <= surface.details["refine"]["levels"] <= len(curve.asked) - 1
    return surface


# The number of lines, and of valleys: a vertical line has none.
LINES = [(3, 3), (4, 3), (5, 5), (6, 5), (7, 7), (8, 7), (9, 9)]


def rosette_lines(num_lines):
    turn = 2 * np.pi if num_lines % 2 else np.pi
    slopes = np.tan(np.arange(num_lines) * turn / num_lines)
    return np.sort(np.arctan(slopes[np.abs(slopes) < 1e9]))


@pytest.mark.parametrize("num_start, tolerance", [(60, 1e-4), (200, 1e-6)])
@pytest.mark.parametrize("num_lines, num_valleys", LINES)
def test_every_valley_of_the_rosette_is_found(num_lines, num_valleys, num_start, tolerance):
    (x, y), _ = kv.datasets.rosette(num_lines=num_lines)
    phi = np.linspace(-1.567, 1.566, num_start)
    surface = evaluate(Objective(rosette_model(), x, y), coordinates=phi, refine=tolerance)
    found = sorted(valley.position[0] for valley in find_valleys(surface))
    assert len(found) == num_valleys
    np.testing.assert_allclose(found, rosette_lines(num_lines), rtol=0, atol=tolerance)
    assert surface.losses.size < 6 * num_start + 800
    assert surface.details["refine"]["complete"]


def test_a_grid_alone_misses_them():
    (x, y), _ = kv.datasets.rosette(num_lines=9)
    phi = np.linspace(-1.567, 1.566, 2001)
    surface = evaluate(Objective(rosette_model(), x, y), coordinates=phi)
    assert len(find_valleys(surface)) < 9


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "function, valleys, most",
    [
        (lambda x: np.sqrt(np.abs(x - KINK)), [KINK], 160),
        (lambda x: np.abs(x - KINK), [KINK], 120),
        (lambda x: x + 0.3 * np.sqrt(np.abs(x - KINK)), [START[0], KINK], 180),
        (lambda x: (x * x - 1) ** 2 + 0.3 * x, [-1.0355784, 0.9601495], 160),
        (lambda x: np.sin(3 * x), [START[0], -np.pi / 6, np.pi / 2, START[-1]], 220),
        (lambda x: 1 / np.abs(x - KINK), [START[0], START[-1]], 280),
        (lambda x: np.where(x < KINK, np.nan, np.log(np.abs(x))), [KINK], 80),
        (lambda x: np.where(x < KINK, np.inf, x), [KINK], 80),
    ],
    ids=["cusp", "kink", "slope", "wells", "sine", "pole", "nan", "inf"],
)
def test_valleys_of_known_functions(function, valleys, most, dtype):
    surface = refined(function, dtype=dtype)
    found = sorted(valley.position[0] for valley in find_valleys(surface))
    # A smooth minimum in float32 is flat for a thousandth.
    smooth = dtype == "float32" and most in (160, 220)
    np.testing.assert_allclose(found, valleys, rtol=0, atol=1e-3 if smooth else 1.1e-6)
    assert len(START) < surface.losses.size < most


def test_a_dip_far_narrower_than_the_cells_is_found_by_its_slopes():
    """A cell is 0.118 long; the dip is the lowest place within 0.0025, as far as its ridge."""

    def dip(x):
        return 20 * x + np.sqrt(np.abs(x - KINK))

    (position,) = find_valleys(refined(dip, 1e-7))[-1].position
    assert position == pytest.approx(KINK, abs=2e-7)


def test_where_nothing_bends_nothing_is_added():
    for function in (lambda x: 0 * x + 2, lambda x: 3 * x - 1, np.exp):
        for dtype in ("float32", "float64"):
            assert refined(function, dtype=dtype).losses.size == len(START)
    only_sine = refined(lambda x: np.sin(3 * x), 1e-3)
    assert only_sine.losses.size < 3 * len(START)


def test_a_jump_is_located_and_costs_few_points():
    surface = refined(lambda x: np.where(x > KINK, 1.0, 0.0))
    (x,) = surface.coordinates
    at = np.flatnonzero(np.diff(surface.losses))[0]
    assert x[at] <= KINK < x[at + 1] < x[at] + 1.1e-6
    assert surface.losses.size < 120


def test_rounding_is_not_followed():
    """A flat bowl in float32, whose bottom is rounding for a wide stretch."""
    surface = refined(lambda x: np.float32(1) + (x - np.float32(KINK)) ** 2, 1e-7, "float32")
    assert surface.losses.size < 80 and surface.details["refine"]["complete"]


@pytest.mark.parametrize("height", [1.0, 1e-3])
def test_noise_ends_with_a_warning(height):
    def noise(x):
        return x * x + height * np.modf(np.abs(np.sin(x * 12.9898) * 43758.5453))[0]

    with pytest.warns(RuntimeWarning, match="stopped refining at .* points, before the tolerance"):
        surface = refined(noise, 1e-9)
    assert surface.losses.size <= MOST * len(START)
    assert not surface.details["refine"]["complete"]


@pytest.mark.parametrize("num", [1, 2, 3, 4, 5])
def test_few_points_to_start_with(num):
    surface = refined(lambda x: np.abs(x - KINK), 1e-3, x=np.linspace(-1.1, 2.3, num))
    if num > 2:
        assert find_valleys(surface)[0].position[0] == pytest.approx(KINK, abs=1e-3)


def test_coordinates_finer_than_the_dtype_are_not_halved():
    x = 1000 + np.linspace(0, 4, 17)
    surface = refined(lambda x: np.abs(x - np.float32(1001.3)), 1e-12, "float32", x)
    assert np.diff(surface.coordinates[0]).min() >= np.spacing(np.float32(1000))
    assert surface.details["refine"]["complete"]


def test_the_coordinates_are_those_that_the_losses_belong_to():
    (x, y), _ = kv.datasets.rosette()
    objective = Objective(rosette_model(), x, y)
    surface = evaluate(objective, coordinates=np.linspace(-1.3, 1.4, 60), refine=1e-5)
    (phi,) = surface.coordinates
    again = evaluate(objective, coordinates=phi)
    np.testing.assert_allclose(again.losses, surface.losses, rtol=1e-6)
    added = phi[~np.isin(phi, np.linspace(-1.3, 1.4, 60))]
    np.testing.assert_array_equal(added, added.astype("float32"))


class Interrupted(Curve):
    left = np.inf

    def along(self, coefficients, directions, origin):
        if self.left < 1:
            raise KeyboardInterrupt
        self.left -= 1
        return super().along(coefficients, directions, origin)


@pytest.mark.parametrize("calls", [0, 1, 3, 9])
def test_after_an_interrupt_it_goes_on(tmp_path, calls):
    path = tmp_path / "curve.partial.npz"

    def cusp(x):
        return np.sqrt(np.abs(x - KINK))

    whole = refined(cusp)
    first = Interrupted(cusp)
    first.left = calls
    options = dict(coordinates=START, refine=1e-6, checkpoint=path)
    with pytest.raises(KeyboardInterrupt):
        evaluate(first, **options)
    second = Curve(cusp)
    surface = evaluate(second, **options)
    np.testing.assert_array_equal(surface.losses, whole.losses)
    np.testing.assert_array_equal(surface.coordinates[0], whole.coordinates[0])
    computed = [np.unique(x).size for x in first.asked + second.asked]
    assert sum(computed) == whole.losses.size and len(first.asked) == calls
    third = Curve(cusp)
    assert evaluate(third, **options).losses.size == whole.losses.size and third.asked == []
    with pytest.raises(ValueError, match="origin and refine.*which is of others"):
        evaluate(third, **{**options, "refine": 1e-5})
