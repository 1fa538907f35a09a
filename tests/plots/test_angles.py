"""Axes with a period or a unit in pictures."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_hex

from keras_valleys import plots
from keras_valleys.descents import BasinMap
from keras_valleys.plots import paths
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory
from keras_valleys.valleys import closed, find_valleys

OPEN = np.radians(np.arange(-89, 91.0))  # half open: -90 is 90
MINUS = "\N{MINUS SIGN}"


def wave(phi):
    """Of period pi, with one minimum and no symmetry about it."""
    return np.cos(2 * phi) + 0.05 * np.sin(4 * phi)


def ring(phi=OPEN, function=wave, period=np.pi, unit="rad", label="theta"):
    return Surface(function(phi), [phi], [[1.0]], [0.0], [label], periods=period, units=unit)


def plane(units=("", "rad"), periods=(None, np.pi)):
    x, phi = np.linspace(-2, 3, 51), np.radians(np.arange(-90, 90, 3.0))
    losses = (x[:, None] - 1) ** 2 + np.cos(2 * phi + 0.4)
    return Surface(losses, [x, phi], np.eye(2), [0, 0], ["x", "a"], periods=periods, units=units)


def path(*weights, label="sgd"):
    weights = np.array(weights, "float64").reshape(len(weights), -1)
    return Trajectory(range(len(weights)), weights, np.full(len(weights), np.nan), label)


def marks(axes):
    """What is marked as valleys."""
    lines = [line for line in axes.lines if line.get_gid() == "valleys"]
    if axes.name == "3d":
        return np.concatenate([np.array(line.get_data_3d()).T for line in lines])
    return np.concatenate([line.get_xydata() for line in lines])


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_the_curve_of_a_ring_is_whole_and_names_each_valley_once():
    axes = plots.curve(ring()).axes[0]
    assert len(marks(axes)) == 1 and texts(axes) == ["87°"]
    assert axes.get_xlabel() == "theta (°)"
    assert axes.get_xlim() == pytest.approx((-89, 91))
    x, y = axes.lines[0].get_data()
    assert len(x) == 181 and y[-1] == y[0]
    titles = [axes.get_title("left") for axes in plots.curves([ring(), ring()]).axes]
    assert titles == ["loss: 1 valley"] * 2


def test_a_floor_at_the_end_is_marked_at_both_ends_and_named_once():
    axes = plots.curve(ring(np.linspace(-np.pi / 2, np.pi / 2, 181), lambda x: np.cos(2 * x))).axes[
        0
    ]
    np.testing.assert_allclose(marks(axes), [[-90, -1], [90, -1]])
    assert texts(axes) == [f"{MINUS}90°"]


def test_two_rounds_show_each_valley_twice():
    surface = ring(np.linspace(0, 2 * np.pi, 721))
    axes = plots.curve(surface).axes[0]
    np.testing.assert_allclose(marks(axes)[:, 0], [87, 267], atol=0.5)
    assert texts(axes) == ["87°"]
    assert len(marks(plots.circle(surface).axes[0])) == 2  # one period, on both sides


def test_a_narrow_valley_across_the_end_is_enlarged_whole():
    x = np.linspace(-np.pi / 2, np.pi / 2, 4001)
    surface = ring(x, lambda x: np.minimum(np.abs(np.cos(x)) * 90, 1 + 0.2 * np.cos(4 * x)))
    figure = plots.curve(surface)
    (zoom,) = (axes for axes in figure.axes if axes.get_title().startswith("enlarged"))
    low, high = zoom.get_xlim()
    line = next(line for line in zoom.lines if len(line.get_xdata()) > 1)
    inside = (line.get_xdata() > low) & (line.get_xdata() < high)
    assert line.get_xdata()[inside].min() < -90.2 and line.get_xdata()[inside].max() > -89.8


def test_a_path_goes_round_the_end_and_is_not_drawn_across():
    surface = ring()
    found = paths.path_of(path(1.5, 1.6, 1.65, -1.5), closed(surface))
    np.testing.assert_allclose(found.points[:, 0], [1.5, 1.6 - np.pi, 1.65 - np.pi, -1.5])
    assert found.turns[:, 0].tolist() == [0, 1, 1, 0]
    assert found.jumps.tolist() == [True, False, True]
    assert found.hidden == (0, 0)  # the last step of the ring was not sampled, and is there
    wrapped = paths.path_of(path(1.5, -1.5), surface)  # as a constraint wraps it
    assert wrapped.jumps.tolist() == [True]
    plain = paths.path_of(path(1.5, 1.6), dataclasses.replace(surface, periods=()))
    assert plain.hidden == (1, 0)


@pytest.mark.parametrize(
    "period, unit, sides, words",
    [
        (np.pi, "rad", 2, "45°"),
        (2 * np.pi, "rad", 1, "45°"),
        (np.pi / 2, "rad", 4, "45°"),
        (4 * np.pi, "rad", 1, "90°"),
        (1.0, "", 1, "0.125"),
        (24.0, "h", 1, "3 h"),
        (2.0, "rad", 1, "14.3°"),
    ],
)
def test_a_circle_shows_every_period(period, unit, sides, words):
    coordinates = np.arange(200) * period / 200 - period / 3
    surface = ring(coordinates, lambda c: np.cos(2 * np.pi * c / period + 0.4), period, unit)
    axes = plots.circle(surface).axes[0]
    (floor,) = (valley.position[0] for valley in find_valleys(surface))
    scale = (
        1.0 if unit == "rad" and sides * period == pytest.approx(2 * np.pi) else 2 * np.pi / period
    )
    angles = scale * (floor + np.arange(sides) * period)
    places = marks(axes)
    assert len(places) == sides
    np.testing.assert_allclose(places[:, 0], np.cos(angles), atol=1e-9)
    np.testing.assert_allclose(places[:, 1], np.sin(angles), atol=1e-9)
    assert words in texts(axes)
    crest = np.concatenate(
        [np.array(line.get_data_3d()) for line in axes.lines if len(line.get_data_3d()[0]) == 201],
        axis=1,
    )
    angles = np.sort(np.arctan2(crest[1], crest[0])[np.isfinite(crest[2])])
    assert np.diff(angles).max() < 2.1 * 2 * np.pi / 200 / sides  # no gap


def test_a_path_is_on_its_side_of_the_circle():
    weights = [0.3, 0.3 + np.pi / 2, 0.3 + np.pi, 0.3 + 2 * np.pi]
    axes = plots.circle(ring(OPEN), path(*weights)).axes[0]
    dots = np.array(axes.collections[-1]._offsets3d)
    np.testing.assert_allclose(dots[0], np.cos(weights), atol=1e-6)


def test_a_circle_needs_a_period():
    for surface in (ring(period=None), ring(np.arange(3) * 4.0)):
        with pytest.raises(
            ValueError, match="`circle` expects a surface with a period.*Use `curve`"
        ):
            plots.circle(surface)


def test_the_name_phi_says_nothing():
    plain = ring(period=None, unit="", label="phi")
    axes = plots.curve(plain).axes[0]
    assert axes.get_xlabel() == "phi" and len(marks(axes)) == 1
    assert texts(axes) == ["lowest at the border", "1.52"]
    figure = plots.weight_by_step(path(1.5, 1.6), name="phi")
    assert figure.axes[0].get_ylabel() == "phi"
    with pytest.raises(ValueError, match="period"):
        plots.circle(plain)


def test_contours_close_a_ring_and_mark_valleys_and_basins_on_it():
    surface = plane()
    (valley,) = find_valleys(surface)
    axes = plots.contour(surface, path([0, 1.5], [0, 1.6]), valleys=find_valleys(surface)).axes[0]
    assert axes.get_ylabel() == "a (°)" and axes.get_ylim() == pytest.approx((-90, 90))
    np.testing.assert_allclose(marks(axes), [[valley.position[0], np.degrees(valley.position[1])]])
    (line,) = [
        line for line in axes.lines if len(line.get_xdata()) == 3 and line.get_linestyle() == "-"
    ]
    np.testing.assert_allclose(line.get_ydata(), [np.degrees(1.5), np.nan, np.degrees(1.6) - 180])
    apart = find_valleys(surface, periodic=None)
    axes = plots.contour(surface, valleys=apart).axes[0]
    assert len(marks(axes)) == 1 and axes.get_ylim() == pytest.approx((-90, 87))
    (border,) = [line.get_xydata() for line in axes.lines if line.get_gid() == "border"]
    np.testing.assert_allclose(border, [[apart[1].position[0], np.degrees(apart[1].position[1])]])


def test_lengths_are_one_scale_in_one_unit_only():
    def aspect(units):
        return plots.contour(plane(units, periods=())).axes[0].get_aspect()

    assert aspect(("", "rad")) == aspect(("m", "s")) == "auto"
    assert aspect(("", "")) == aspect(("rad", "rad")) == aspect(("m", "m")) == 1.0
    axes = plots.surface_3d(plane(("m", "rad"))).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x (m)", "a (°)")
    assert axes.get_ylim() == pytest.approx((-90, 90))


def test_panels_shade_the_lowest_valley_round_the_end():
    two = ring(
        np.linspace(-np.pi / 2, np.pi / 2, 721), lambda x: np.cos(4 * x + 0.5) + 0.2 * np.cos(2 * x)
    )
    lowest = find_valleys(two)[0]
    left, right = np.degrees(lowest.ridges)
    assert left < -90 < right or left < 90 < right  # it lies across the end
    axes = plots.path_panels(two, [path(0.1, 1.6, -1.5)]).axes[1]
    spans = sorted((p.get_x(), p.get_x() + p.get_width()) for p in axes.patches)
    turn = 180 if left < -90 else -180
    np.testing.assert_allclose(spans, sorted([(left, right), (left + turn, right + turn)]))
    assert axes.get_xlim() == pytest.approx((-90, 90))
    walk = next(line for line in axes.lines if len(line.get_xdata()) > 3)
    assert np.isnan(walk.get_xdata()).sum() == 2  # broken at both jumps


def test_basins_have_the_colors_of_the_ground_up_to_the_end():
    surface = ring(
        np.radians(np.arange(-90, 90, 2.0)), lambda x: np.cos(4 * x + 0.5) + 0.2 * np.cos(2 * x)
    )
    valleys = find_valleys(surface)
    starts = np.radians(np.linspace(-85, 85, 30))
    ends = np.zeros((1, 30))
    found = BasinMap(
        valleys.at(starts)[None], ends, ends[..., None], ends, [starts], ["theta"], ["SGD"], 9
    )
    axes = plots.basins(found, valleys).axes[0]
    grounds = [c for c in axes.collections if len(c.get_paths())]
    first, last = grounds[0], grounds[-1]
    assert to_hex(first.get_facecolor()[0]) == to_hex(last.get_facecolor()[0])  # one valley
    assert last.get_paths()[0].vertices[:, 0].max() == pytest.approx(90)
    assert plots.basins(found, valleys).axes[1].get_xlabel() == "start: theta (°)"


def test_frames_follow_a_path_round_the_end():
    frames = plots.SurfaceFrames(ring(), size=(320, 240))
    frames.image([[1.5], [1.6]], [np.nan, np.nan], step=1)
    head = frames._head.get_xdata()
    assert head[0] == pytest.approx(np.degrees(1.6) - 180)


def test_curves_over_other_units_are_refused():
    with pytest.raises(ValueError, match="`curves` expects surfaces over one coordinate"):
        plots.curves([ring(), ring(unit="")])
