"""Surfaces side by side: one scale for all, the lowest point and the path on each."""

import dataclasses
import io

import numpy as np
import pytest
from matplotlib.contour import QuadContourSet
from PIL import Image

import keras_valleys as kv
from helpers.drawn import line_surface, path, plane_surface
from keras_valleys.surfaces import Surface

X, Y = np.linspace(-1, 4, 51), np.linspace(-2, 1.5, 36)


def bowl(u, v, least=0.0, **options):
    losses = least + (X[:, None] - u) ** 2 + 3 * (Y - v) ** 2
    return Surface(losses, (X, Y), np.eye(2), np.zeros(2), ["slope", "bias"], **options)


def contours_of(axes):
    return next(one for one in axes.collections if isinstance(one, QuadContourSet) and one.filled)


def panels_of(figure):
    return [axes for axes in figure.axes if axes.get_title("left")]


def pixels(figure):
    file = io.BytesIO()
    figure.savefig(file)
    return np.asarray(Image.open(file).convert("RGB"), "float64")


def test_two_planes_share_axes_levels_and_colors():
    low, high = bowl(0.0, 0.5), bowl(2.0, -0.5, 3.0)
    run = path([[3.0, 1.0], [2.0, 0.7], [0.4, 0.4]], label="adam")
    figure = kv.plots.beside({"train": low, ("test", "loss"): high}, run, title="Both")
    panels = panels_of(figure)
    assert [axes.get_title("left") for axes in panels] == ["train", "test, loss"]
    levels = [contours_of(axes).levels for axes in panels]
    np.testing.assert_array_equal(*levels)
    assert levels[0][0] == 0 and levels[0][-1] == pytest.approx(
        max(s.losses.max() for s in (low, high))
    )
    # The same loss has the same color in both, at every level.
    norms = [contours_of(axes).norm for axes in panels]
    middles = (levels[0][1:] + levels[0][:-1]) / 2
    np.testing.assert_array_equal(norms[0](middles), norms[1](middles))
    assert panels[0].get_xlim() == panels[1].get_xlim() == (-1, 4)
    assert panels[0].get_ylim() == panels[1].get_ylim() == (-2, 1.5)
    for axes, place, note in zip(
        panels, [(0, 0.5), (2, -0.5)], ["minimum 0", "minimum 3"], strict=True
    ):
        (mark,) = [line for line in axes.lines if line.get_gid() == "minimum"]
        assert [float(v[0]) for v in mark.get_data()] == pytest.approx(place)
        assert [text.get_text() for text in axes.texts] == [note]
        drawn = axes.lines[1].get_xydata()
        np.testing.assert_allclose(drawn, run.weights)
    assert figure.legends[0].get_title().get_text() == "Both"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["adam"]
    assert len(figure.axes) == 3  # one color bar
    figure.draw_without_rendering()
    for axes in panels:  # nothing is cut off
        box = axes.get_tightbbox()
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1 and box.x0 >= 0


def test_what_lies_beyond_the_levels_has_the_same_color_in_all():
    """A panel alone would have no colors for what lies above; the scale knows of both."""
    figure = kv.plots.beside([bowl(0, 0), bowl(0, 0, 50.0)], limits=(1.0, 20.0))
    one, other = panels_of(figure)
    assert contours_of(one).extend == contours_of(other).extend == "both"
    middles = np.linspace(2, 19, 9)
    np.testing.assert_array_equal(contours_of(one).norm(middles), contours_of(other).norm(middles))
    assert [axes.get_title("left") for axes in (one, other)] == ["loss (1)", "loss (2)"]


@pytest.mark.parametrize("count, shape", [(1, (1, 1)), (3, (1, 3)), (5, (2, 3)), (12, (3, 4))])
def test_many_are_wrapped_into_rows(count, shape):
    figure = kv.plots.beside({f"part {k}": bowl(0.1 * k, 0) for k in range(count)})
    panels = panels_of(figure)
    grid = panels[0].get_subplotspec().get_gridspec()
    assert len(panels) == count and (grid.nrows, grid.ncols) == shape


def test_what_is_lowest_at_the_border_and_what_diverged_is_said():
    losses = bowl(0, 0).losses.copy()
    losses[:2, :3] = np.nan
    broken = dataclasses.replace(bowl(0, 0), losses=losses)
    nothing = dataclasses.replace(bowl(0, 0), losses=np.full(losses.shape, np.inf))
    figure = kv.plots.beside({"a": bowl(9, 0, 1.0), "b": broken, "c": nothing})
    said = ["\n".join(text.get_text() for text in axes.texts) for axes in panels_of(figure)]
    assert said[0].startswith("lowest at the border 26")
    assert "6 losses diverged" in said[1] and said[2] == f"{losses.size} losses diverged"
    assert kv.plots.beside({"c": nothing}).axes


def test_lines_are_curves_on_one_axes():
    one, other = line_surface(), line_surface(np.linspace(2, 5, 301))
    run = path(np.linspace(-1.9, 0.2, 7), label="sgd")
    figure = kv.plots.beside({"train": one, "test": other}, run, limits=(-1, 6))
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), one.losses)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    lowest = f"train: minimum {one.losses.min():.3g}"
    assert names == [lowest, "test: lowest at the border 2", "sgd"]
    dots = [line for line in axes.lines if len(line.get_xdata()) == 7]
    assert len(dots) == 2 and axes.get_ylim() == (-1, 6)
    np.testing.assert_allclose(
        dots[0].get_ydata(), np.interp(dots[0].get_xdata(), one.coordinates[0], one.losses)
    )
    assert kv.plots.beside([one], scale="log").axes[0].get_yscale() == "log"


def test_a_picture_in_each_theme_is_not_the_other():
    pair = {"train": plane_surface(), "test": plane_surface(-2.0)}
    light, dark = (pixels(kv.plots.beside(pair, theme=name)) for name in ("light", "dark"))
    assert light.mean() > 150 > 90 > dark.mean()


@pytest.mark.parametrize(
    "surfaces, options, message",
    [
        ({}, {}, "1 to 12 surfaces"),
        ({str(k): bowl(0, 0) for k in range(13)}, {}, "1 to 12 surfaces. Received: 13"),
        ([line_surface()] * 7, {}, "1 to 6 surfaces"),
        ({"a": bowl(0, 0), "b": line_surface()}, {}, "figures of their own"),
        ({"a": bowl(0, 0), "b": bowl(0, 0, loss_name="accuracy")}, {}, "one loss or metric"),
        ({"a": bowl(0, 0), "b": bowl(0, 0, units=("rad", ""))}, {}, "the same units"),
        ({"a": 3}, {}, "`surfaces?` to be a `keras_valleys.surfaces.Surface`"),
        ({"a": bowl(0, 0)}, {"scale": "root"}, "`scale` to be"),
        ({"a": bowl(0, 0)}, {"theme": "blue"}, "`theme` to be"),
        ({"a": bowl(0, 0)}, {"trajectory": path([[1.0, 2.0, 3.0]])}, "surface's size 2"),
    ],
)
def test_what_is_refused(surfaces, options, message):
    with pytest.raises(ValueError, match=message):
        kv.plots.beside(surfaces, **options)
