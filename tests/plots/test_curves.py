"""Surfaces over one axis, their valleys, and paths on them."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from helpers.drawn import PHI, line_surface, path, plane_surface, rosette_surface
from helpers.pictures import draw, line_with, segments_of
from helpers.planes import line, run
from keras_valleys import plots
from keras_valleys.plots.curves import MAX_LABELS, spread
from keras_valleys.surfaces import Surface
from keras_valleys.valleys import find_valleys

# One curve.


def test_curve_draws_the_surface_in_degrees():
    surface = rosette_surface(num=501)
    line = plots.curve(surface).axes[0].lines[0]
    np.testing.assert_allclose(line.get_xdata(), np.degrees(surface.coordinates[0]))
    np.testing.assert_allclose(line.get_ydata(), surface.losses)


def test_curve_shows_five_valleys_and_enlarges_the_narrow_ones():
    figure = plots.curve(rosette_surface())
    marks = line_with(figure.axes[0], "valleys")
    x, y = (np.asarray(values) for values in marks.get_data())
    np.testing.assert_allclose(sorted(x), [-72, -36, 0, 36, 72], atol=0.1)
    low, high = figure.axes[0].get_ylim()
    assert low < min(y) and max(y) < high < 1.5  # the pole does not set the scale
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "\N{MINUS SIGN}72°",
        "\N{MINUS SIGN}36°",
        "0°",
        "36°",
        "72°",
    ]
    assert figure.axes[0].get_title("right").startswith("cut at loss 0.9")
    titles = [axes.get_title() for axes in figure.axes[1:]]
    assert titles == ["enlarged: \N{MINUS SIGN}72°", "enlarged: 72°"]
    # There the whole valley and both sides of it are in view.
    axes = figure.axes[2]
    valley = next(v for v in find_valleys(rosette_surface()) if v.position[0] > 1)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left < 72 < right and right - left < 5
    assert bottom < valley.loss and valley.loss + valley.depth < top < valley.loss + 0.05


def test_curve_labels_do_not_overlap():
    x = np.linspace(-2, 3, 2001)
    losses = np.minimum(1, np.abs(np.sin(40 * x))) + np.where(x > -1.4, 3, 0)  # many on the left
    figure = plots.curve(Surface(losses, [x], [[1.0]], [0.0]))
    figure.canvas.draw()
    boxes = sorted((t.get_window_extent() for t in figure.axes[0].texts), key=lambda box: box.x0)
    assert len(boxes) == MAX_LABELS
    assert all(a.x1 < b.x0 for a, b in zip(boxes[:-1], boxes[1:], strict=True))
    frame = figure.axes[0].get_window_extent()
    assert frame.x0 <= boxes[0].x0 and boxes[-1].x1 <= frame.x1


def test_curve_places_a_path_in_degrees_and_an_unknown_loss_on_the_surface():
    surface = rosette_surface()
    weights = [0.8, 0.6, 0.5]
    figure = plots.curve(surface, path(weights, [0.7, 0.6, np.nan]))
    points = figure.axes[0].collections[-1].get_offsets()
    np.testing.assert_allclose(points[:, 0], np.degrees(weights))
    np.testing.assert_allclose(points[:2, 1], [0.7, 0.6])
    np.testing.assert_allclose(points[2, 1], np.interp(0.5, surface.coordinates[0], surface.losses))
    assert len(segments_of(figure.axes[0])) == 2


@pytest.mark.parametrize("turn", [-3, 0, 2])
def test_curve_does_not_change_when_phi_turns_by_pi(turn):
    weights = np.linspace(0.3, 1.2, 7)
    figure = plots.curve(rosette_surface(), path(weights + turn * np.pi))
    points = figure.axes[0].collections[-1].get_offsets()
    np.testing.assert_allclose(points[:, 0], np.degrees(weights))
    assert len(segments_of(figure.axes[0])) == 6


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("num_paths", [1, 2])
def test_curve_breaks_the_line_at_the_pole(wrapped, num_paths):
    weights = np.linspace(1.0, 4.0, 13)
    if wrapped:  # as the constraint WrapAngle leaves them
        weights = (weights + np.pi / 2) % np.pi - np.pi / 2
    figure = plots.curve(rosette_surface(), [path(weights)] * num_paths)
    if num_paths == 1:
        x = np.array(segments_of(figure.axes[0]))[:, :, 0].T
        assert x.shape == (2, 11)  # 12 steps, one through the pole
    else:
        line = next(line for line in figure.axes[0].lines if line.get_label() == "path 1")
        x = np.stack([line.get_xdata()[:-1], line.get_xdata()[1:]])
        assert np.sum(np.isnan(line.get_xdata())) == 1
    assert np.nanmax(np.abs(x[1] - x[0])) < 90
    assert np.nanmin(x) < -79 and np.nanmax(x) > 79


def test_curve_breaks_a_step_through_the_pole_that_is_short_in_the_picture():
    weights = np.radians([45.0, 140.0, 150.0])  # drawn at 45, -40 and -30 degrees
    segments = segments_of(plots.curve(rosette_surface(), path(weights)).axes[0])
    np.testing.assert_allclose(np.array(segments)[:, :, 0], [[-40, -30]])


def test_curve_enlarges_a_deep_valley_that_is_narrow():
    x = np.linspace(-2, 3, 2001)
    losses = np.minimum(np.abs(x), 0.2 + 50 * np.abs(x - 1))
    figure = plots.curve(Surface(losses, [x], [[1.0]], [0.0]))
    assert [axes.get_title() for axes in figure.axes[1:]] == ["enlarged: 1"]


def test_curve_does_not_wrap_other_coordinates_and_counts_what_is_outside():
    figure = plots.curve(line_surface(), path([-2.5, 0.0, 1.0, 3.5, 4.0]))
    points = figure.axes[0].collections[-1].get_offsets()
    np.testing.assert_allclose(points[:, 0], [0, 1])
    assert figure.axes[0].get_title("right") == "3 steps outside"


def test_curve_leaves_gaps_where_the_loss_diverged():
    losses = np.cos(3 * np.linspace(-2, 3, 301))
    losses[100:110], losses[200] = np.nan, np.inf
    figure = plots.curve(line_surface(losses))
    assert np.isnan(figure.axes[0].lines[0].get_ydata()).sum() == 11
    assert figure.axes[0].get_title("right") == "11 losses diverged"


@pytest.mark.parametrize("draw_picture", [plots.curve, plots.circle])
def test_nothing_finite_is_still_a_picture(draw_picture):
    angle = {"labels": ("phi",), "periods": 2 * np.pi, "units": "rad"}
    surface = line_surface(np.full(301, np.nan), **angle)
    lost = path([np.nan, np.inf, 0.5], [np.nan, np.nan, np.inf])
    for given in ((), lost, [lost, lost], path(np.zeros((0, 1)))):
        assert draw(draw_picture(surface, given)).shape[2] == 3
        draw(draw_picture(rosette_surface(), given))
    draw(draw_picture(rosette_surface(), path([0.3])))
    draw(draw_picture(line_surface(np.full(301, 2.0), **angle), PHI))


def test_curve_compares_several_paths_in_the_colors_of_their_optimizers():
    runs = [path([0.1, 0.3], label=label) for label in ("adam", "lion")]
    figure = plots.curve(rosette_surface(), runs)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["adam", "lion"]
    colors = [to_hex(handle.get_color()) for handle in figure.legends[0].get_lines()]
    assert colors == [plots.optimizer_color("adam"), plots.optimizer_color("lion")]


def test_spread_moves_labels_no_more_than_needed():
    assert spread([1.0, 5.0], 0.1, 0.0, 10.0) == [1.0, 5.0]
    np.testing.assert_allclose(spread([1.0, 1.2, 5.0], 0.1, 0, 10), [1, 2, 5])
    np.testing.assert_allclose(spread([9.9, 10.0], 0.1, 0, 10), [8.5, 9.5])
    assert spread([], 0.1, 0, 1) == []


def test_curve_and_circle_refuse_a_plane():
    with pytest.raises(ValueError, match="`curve` expects a 1-D surface.*Use `contour`"):
        plots.curve(plane_surface())
    with pytest.raises(ValueError, match="`circle` expects a 1-D surface.*Use `contour`"):
        plots.circle(plane_surface())
    with pytest.raises(ValueError, match="`circle` expects a surface with a period"):
        plots.circle(line_surface())


# Several curves.


def test_curves_shows_one_valley_become_five():
    figure = plots.curves(
        [rosette_surface(root) for root in (1, 2, 4)], labels=["squared", "absolute", "fourth root"]
    )
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["squared: 1 valley", "absolute: 1 valley", "fourth root: 5 valleys"]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    for axes, number in zip(figure.axes, (1, 1, 5), strict=True):
        x, y = line_with(axes, "valleys").get_data()
        low, high = axes.get_ylim()
        assert len(x) == number and low < min(y) and max(y) < high


def test_curves_takes_the_loss_names_and_refuses_what_does_not_match():
    assert plots.curves([rosette_surface(3)]).axes[0].get_title("left") == "root 3: 5 valleys"
    with pytest.raises(ValueError, match="`curves` expects one surface or more"):
        plots.curves([])
    with pytest.raises(ValueError, match="one label for each. Received: 1 surfaces, 2 labels"):
        plots.curves([rosette_surface()], labels=["a", "b"])
    with pytest.raises(ValueError, match="`curves` expects surfaces over one coordinate"):
        plots.curves([rosette_surface(), line_surface()])
    with pytest.raises(ValueError, match="`curves` expects a 1-D surface"):
        plots.curves([plane_surface()])


# Several paths on a curve.


def test_curve_tells_several_paths_apart_step_by_step():
    runs = [run(1, "adam"), run(2, "lion", num=13)]
    figure = plots.curve(line(), runs)
    below = figure.axes[1]
    assert below.get_ylabel() == "step" and below.get_xlabel() == "slope"
    assert below.get_xlim() == figure.axes[0].get_xlim()
    first, last = below.get_ylim()
    assert first > 19 > 0 > last  # time runs down
    for walk, name in zip(runs, ("adam", "lion"), strict=True):
        drawn = next(row for row in below.lines if row.get_label() == name)
        np.testing.assert_allclose(drawn.get_xdata(), walk.weights[:, 0])
        np.testing.assert_array_equal(drawn.get_ydata(), walk.steps)
        assert to_hex(drawn.get_color()) == plots.optimizer_color(name)
