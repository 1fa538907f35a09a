"""Levels and scales that show the floor of a plane."""

import numpy as np
import pytest

from helpers.pictures import draw, legend
from keras_valleys import plots
from keras_valleys.plots import scales
from keras_valleys.surfaces import Surface

PICTURES = {"contour": plots.contour, "surface_3d": plots.surface_3d}


def plane(function, x, y):
    return Surface(function(x[:, None], y[None, :]), [x, y], np.eye(2), np.zeros(2))


X, Y = np.linspace(-2, 2, 61), np.linspace(-1, 3, 51)
ROSENBROCK = plane(lambda x, y: (1 - x) ** 2 + 100 * (y - x * x) ** 2, X, Y)
WIDE = plane(lambda x, y: 10 ** (10 * np.hypot(x - 0.2, y - 1) / 3 - 3), X, Y)
BOWL = plane(lambda x, y: (x - 0.3) ** 2 + 3 * (y - 1) ** 2, X, Y)


def contours(figure):
    return figure.axes[0].collections[0]


def areas(surface, levels):
    """The share of the plane in each color."""
    return np.histogram(surface.losses, [-np.inf, *levels[1:-1], np.inf])[0] / surface.losses.size


def test_an_ordinary_bowl_has_the_levels_that_it_had():
    levels, extend = scales.contour_levels(BOWL.losses.ravel())
    low, high = BOWL.losses.min(), BOWL.losses.max()
    expected = low + (high - low) * np.append(0, np.geomspace(0.01, 1, 14))
    np.testing.assert_array_equal(levels, expected)
    assert extend == "neither"


@pytest.mark.parametrize("shift", [0, -7.5, 1e3])
@pytest.mark.parametrize("surface", [ROSENBROCK, WIDE])
def test_the_floor_is_not_one_blank_area(surface, shift):
    losses = surface.losses + shift
    levels, _ = scales.contour_levels(losses.ravel())
    shares = areas(Surface(losses, [X, Y], np.eye(2), np.zeros(2)), levels)
    assert len(levels) == 15 and np.all(np.diff(levels) > 0)
    assert shares[0] < 0.02 and shares.max() < 0.35
    assert np.count_nonzero(shares) == 14
    linear, _ = scales.contour_levels(losses.ravel(), scale="linear")
    assert areas(Surface(losses, [X, Y], np.eye(2), np.zeros(2)), linear)[0] > 0.3
    np.testing.assert_allclose(np.diff(linear), np.diff(linear)[0])


def test_the_banana_is_seen_in_the_picture():
    """Along the floor of Rosenbrock's function it is light, beside it dark."""
    figure = plots.contour(ROSENBROCK)
    pixels = draw(figure)
    axes = figure.axes[0]

    def gray(x, y):
        column, row = axes.transData.transform((x, y))
        return pixels[int(len(pixels) - row), int(column)].mean()

    floor = [gray(x, x * x) for x in (-1.1, -0.3, 0.2, 0.8, 1.3)]
    beside = [gray(x, x * x + 0.9) for x in (-1.1, -0.3, 0.2, 0.8, 1.3)]
    assert min(floor) > max(beside) + 10
    # Losses of 0.25, 2.2, 9.3 and 19, of up to 2509, are told apart.
    assert len({gray(0.5, y) for y in (0.25, 0.39, 0.55, 0.685)}) == 4


@pytest.mark.parametrize("name", PICTURES)
def test_levels_and_limits_are_those_that_are_asked_for(name):
    draw(PICTURES[name](ROSENBROCK, levels=5, scale="log", title="Banana", cmap="viridis"))
    figure = PICTURES[name](ROSENBROCK, levels=[1, 10, 100])
    ticks = [text.get_text() for text in figure.axes[-1].get_yticklabels()]
    assert ticks == ["1", "10", "100"]
    draw(figure)
    figure = PICTURES[name](ROSENBROCK, limits=(0.5, 400), title="Banana")
    assert figure.legends[0].get_title().get_text() == "Banana"
    assert legend(figure) == ["minimum 0"]
    draw(figure)
    if name == "contour":
        assert contours(figure).extend == "both" and contours(figure).levels[0] == 0.5
        words = "one color above loss 400; one color below loss 0.5"
        assert words in figure.axes[0].get_title("right")
        assert list(contours(plots.contour(ROSENBROCK, levels=[1, 10, 100])).levels) == [1, 10, 100]
        assert len(contours(plots.contour(ROSENBROCK, levels=7)).levels) == 8
    else:
        assert figure.axes[0].get_zlim() == (0.5, 400)
        assert figure.axes[0].get_title("right") == "cut at loss 400"


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_no_level_scale_limit_or_colormap_is_refused(name):
    draw_it = PICTURES[name]
    for levels in (1, 0, True, 2.5, [1.0], [2, 1], [1, np.nan], "12", 201):
        with pytest.raises(ValueError, match=f"`{name}` expects `levels` to be a number from 2"):
            draw_it(BOWL, levels=levels)
    for limits in ((1, 1), (2, 1), (0, np.inf), (1,), 3, (0, 1, 2)):
        with pytest.raises(ValueError, match=f"`{name}` expects `limits` to be the lowest and"):
            draw_it(BOWL, limits=limits)
    with pytest.raises(ValueError, match="expects `levels` that are losses, or `limits`"):
        draw_it(BOWL, levels=[1, 2], limits=(0, 1))
    with pytest.raises(ValueError, match="`scale` to be 'auto', 'linear' or 'log'"):
        draw_it(BOWL, scale=["log"])
    for cmap in ("no such map", 3, ["viridis"]):
        with pytest.raises(ValueError, match="`cmap` to be a colormap of Matplotlib, or its name"):
            draw_it(BOWL, cmap=cmap)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("scale", scales.SCALES)
def test_surfaces_with_little_to_show_are_drawn(name, scale):
    x, y = np.linspace(-1, 2, 7), np.linspace(-1, 1, 5)
    bowl = x[:, None] ** 2 + y**2
    one = np.full((7, 5), np.nan)
    one[3, 2] = -2.0
    two = np.where(y > 0.6, -1.0, 3.0) + 0 * bowl
    tiny = 1 + 1e-7 * bowl.astype("float32")
    cases = [(one, {}), (one, {"levels": [50, 60]}), (two, {}), (two, {"limits": (-1, 2.5)})]
    cases += [(tiny, {}), (tiny, {"levels": 6}), (np.full((7, 5), np.inf), {"levels": 6})]
    cases += [(0 * two - 4, {}), (0 * two - 4, {"levels": 6, "limits": (-5, -3)})]
    cases += [(-bowl * 1e30, {"limits": (-1, 2.5)}), (-bowl * 1e30, {"levels": 6})]
    for losses, options in cases:
        draw(PICTURES[name](Surface(losses, [x, y], np.eye(2), [0, 0]), scale=scale, **options))


def test_a_landscape_is_logarithmic_only_where_most_of_it_would_lie_flat():
    label = [plots.surface_3d(surface).axes[1].get_ylabel() for surface in (BOWL, ROSENBROCK, WIDE)]
    assert label == ["loss", "loss", "loss, log scale"]


@pytest.mark.parametrize("shift", [0, -3.0, 250.0])
def test_the_logarithmic_scale_is_rising_and_has_an_inverse(shift):
    losses = (WIDE.losses + shift).ravel()
    log = scales.Logarithm.of(losses)
    order = np.sort(losses)
    assert np.all(np.diff(log(order)) >= 0)
    beyond = np.array([losses.min() - 0.5, losses.min(), losses.max() * 3])
    np.testing.assert_allclose(log.loss(log(beyond)), beyond, rtol=1e-9, atol=1e-9)
    assert np.ptp(log(order)) > 5  # decades
    if not shift:
        np.testing.assert_allclose(log(order), np.log10(order), atol=1e-9)


def test_tick_labels_are_losses():
    figure = plots.surface_3d(Surface(WIDE.losses - 5, [X, Y], np.eye(2), [0, 0]), scale="log")
    draw(figure)
    texts = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    numbers = [float(text) for text in texts if text]
    assert min(numbers) < -4.9 and max(numbers) > 1e5
