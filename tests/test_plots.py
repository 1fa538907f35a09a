import ast
import io
import pathlib

import matplotlib
import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from keras_valleys import plots
from keras_valleys.plots import curves, paths
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory, on_surface
from keras_valleys.valleys import find_valleys


def rosette_surface(root=4, num=2001, start=-np.pi / 2, stop=np.pi / 2):
    """The loss of the published data over phi, without Keras."""
    r = np.random.RandomState(314).uniform(0, 1, 100)
    angles = np.linspace(0, 2 * np.pi, 6)[:-1]
    x, y = np.cos(angles)[:, None] * r, np.sin(angles)[:, None] * r
    phi = np.linspace(start, stop, num)
    errors = np.abs(np.tan(phi)[:, None, None] * x - y)
    losses = (errors ** (2 / root)).mean(axis=(1, 2))
    angle = {"periods": np.pi, "units": "rad"}
    return Surface(losses, [phi], [[1.0]], [0.0], ["phi"], f"root {root}", **angle)


def line_surface(losses=None, labels=("width",), **options):
    x = np.linspace(-2, 3, 301)
    losses = np.cos(3 * x) + 0.1 * x if losses is None else losses
    return Surface(losses, [x], [[1.0]], [0.0], labels, **options)


def plane_surface(start=-1.0):
    """A slanted bowl with its minimum at (2, -0.5), on a grid that is not square."""
    x, y = np.linspace(start, 4, 51), np.linspace(-2, 1.5, 36)
    u, v = x[:, None] - 2, y + 0.5
    return Surface(u**2 + 3 * v**2 + u * v + 1, (x, y), np.eye(2), np.zeros(2), ["slope", "bias"])


def path(weights, losses=None, label="", steps=None):
    weights = np.asarray(weights, "float64")
    weights = weights[:, None] if weights.ndim == 1 else weights
    steps = np.arange(len(weights)) if steps is None else steps
    losses = np.full(len(weights), np.nan) if losses is None else losses
    return Trajectory(steps, weights, losses, label)


PHI = path(np.linspace(0.8, -0.2, 30), label="sgd")
PLANE_PATH = path(np.linspace([0.0, 1.0], [2.0, -0.5], 20), np.linspace(9, 1, 20), "adam")
ROWS = (np.linspace(-1, 2, 9)[:, None], np.linspace(0, 5, 9)[:, None])

PICTURES = {
    "data": lambda theme: plots.data(*ROWS, theme=theme),
    "split": lambda theme: plots.split(ROWS, ROWS, theme=theme),
    "fit": lambda theme: plots.fit(ROWS, ROWS[1], theme=theme),
    "loss_by_step": lambda theme: plots.loss_by_step([PHI, PLANE_PATH], theme=theme),
    "weight_by_step": lambda theme: plots.weight_by_step(PHI, unit="rad", theme=theme),
    "circle": lambda theme: plots.circle(rosette_surface(), PHI, theme=theme),
    "curve": lambda theme: plots.curve(rosette_surface(), PHI, theme=theme),
    "curves": lambda theme: plots.curves([rosette_surface(1), rosette_surface()], theme=theme),
    "curve_of_two": lambda theme: plots.curve(rosette_surface(), [PHI, PHI], theme=theme),
    "contour": lambda theme: plots.contour(plane_surface(), PLANE_PATH, theme=theme),
    "surface_3d": lambda theme: plots.surface_3d(plane_surface(), PLANE_PATH, theme=theme),
    "honesty": lambda theme: plots.honesty(on_surface(PLANE_PATH, plane_surface()), theme=theme),
}


def draw(figure):
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3].astype(int)


def decode(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def line_with(axes, gid):
    return next(line for line in axes.lines if line.get_gid() == gid)


def segments_of(axes):
    return next(c for c in axes.collections if hasattr(c, "get_segments")).get_segments()


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_have_both_themes_and_leave_no_trace(name):
    before = dict(matplotlib.rcParams)
    light, dark = (draw(PICTURES[name](theme)) for theme in ("light", "dark"))
    assert light[0, 0].min() > 250 > 60 > dark[0, 0].max()
    assert light.std() > 5 < dark.std()
    assert dict(matplotlib.rcParams) == before
    assert not Gcf.figs


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_ignore_the_users_style(name):
    expected = draw(PICTURES[name]("light"))
    style = {
        "axes.facecolor": "red",
        "text.color": "red",
        "axes.grid": True,
        "axes.edgecolor": "red",
    }
    with matplotlib.rc_context(style):
        differ = np.any(draw(PICTURES[name]("light")) != expected, axis=-1)
    # A mark whose place is half between two pixels may be drawn on either, also without a style.
    assert np.count_nonzero(differ) <= 20


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_refuse_an_unknown_theme(name):
    with pytest.raises(ValueError, match="expects `theme` to be 'light' or 'dark'. Received"):
        PICTURES[name]("sepia")


@pytest.mark.parametrize("module", sorted(pathlib.Path(plots.__file__).parent.glob("*.py")))
def test_modules_know_nothing_global(module):
    tree = ast.parse(module.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {part for alias in node.names for part in alias.name.split(".")}
            names |= set((getattr(node, "module", None) or "").split("."))
    assert not names & {"pyplot", "pylab", "rcParams", "rc_context", "warnings", "catch_warnings"}


# Data, fit, steps.


def test_data_draws_every_row():
    offsets = plots.data(*ROWS).axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(offsets, np.concatenate(ROWS, axis=1))
    assert len(plots.data(np.zeros(3), np.ones(3)).axes[0].collections[0].get_offsets()) == 3


def test_data_has_one_scale_where_spans_are_alike():
    assert plots.data(ROWS[0], ROWS[0]).axes[0].get_aspect() == 1.0
    assert plots.data(ROWS[0], 9 * ROWS[0]).axes[0].get_aspect() == "auto"


def test_split_tells_the_parts_apart():
    test = (ROWS[0][:4], ROWS[1][:4])
    figure = plots.split(ROWS, test)
    assert [len(part.get_offsets()) for part in figure.axes[0].collections] == [9, 4]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["training (9 rows)", "test (4 rows)"]


def test_fit_joins_predictions_in_the_order_of_x():
    x = np.array([[2.0], [-1.0], [0.5]])
    line = plots.fit((x, x), 2 * x + 1, label="line").axes[0].lines[0]
    np.testing.assert_allclose(line.get_xdata(), [-1, 0.5, 2])
    np.testing.assert_allclose(line.get_ydata(), [-1, 2, 5])


@pytest.mark.parametrize("shape", [(8,), (9, 2), ()])
def test_data_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="`data` expects columns of one length"):
        plots.data(ROWS[0], np.zeros(shape))
    with pytest.raises(ValueError, match="`fit` expects columns of one length"):
        plots.fit(ROWS, np.zeros(shape))


def test_loss_by_step_leaves_out_the_unknown_last_loss():
    steps = [3, 5, 8]
    line = (
        plots.loss_by_step(path([[1.0], [2], [3]], [0.5, 0.4, np.nan], steps=steps))
        .axes[0]
        .lines[0]
    )
    assert line.get_xdata().tolist() == steps
    np.testing.assert_array_equal(line.get_ydata(), [0.5, 0.4, np.nan])


def test_loss_by_step_counts_what_diverged_and_takes_logarithms():
    figure = plots.loss_by_step(path([[1.0], [2], [np.nan]], [0.5, np.inf, np.nan]))
    assert figure.axes[0].get_title("right") == "2 steps diverged"
    assert figure.axes[0].get_yscale() == "linear"
    assert plots.loss_by_step(path([[1.0], [2]], [1e-3, 50])).axes[0].get_yscale() == "log"


def test_weight_by_step_draws_radians_in_degrees_and_others_as_they_are():
    two = path([[0.5, np.pi / 2], [0.7, -np.pi / 6]])
    axes = plots.weight_by_step(two, index=1, name="phi", unit="rad").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [90, -30])
    assert axes.get_ylabel() == "phi (°)"
    axes = plots.weight_by_step(two, name="kernel").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.5, 0.7])
    assert axes.get_ylabel() == "kernel"


def test_weight_by_step_refuses_an_index_outside():
    with pytest.raises(ValueError, match="`weight_by_step` expects `index`.*Received: index=1"):
        plots.weight_by_step(PHI, index=1)


def test_optimizers_keep_their_colors():
    assert plots.optimizer_color("Adam") == plots.optimizer_color("adam") == "#e69f00"
    assert plots.optimizer_color("adamw, rate 0.1") == plots.optimizer_color("AdamW")
    assert plots.optimizer_color("schedule_free_adam_w") == plots.optimizer_color(
        "ScheduleFreeAdamW"
    )
    assert plots.optimizer_color("my own") == plots.optimizer_color("My-Own")
    runs = [path([[1.0], [2]], label=label) for label in ("adam", "sgd", "lion", "adadelta", "sgd")]
    lines = plots.weight_by_step(runs).axes[0].lines
    assert [to_hex(line.get_color()) for line in lines[:2]] == [
        plots.optimizer_color("adam"), plots.optimizer_color("sgd"),
    ]  # fmt: skip
    looks = {(to_hex(line.get_color()), line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(looks) == 5
    assert lines[1].get_linestyle() != lines[3].get_linestyle()  # two of one color


# Curve.


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
        "\N{MINUS SIGN}72°", "\N{MINUS SIGN}36°", "0°", "36°", "72°",
    ]  # fmt: skip
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
    assert len(boxes) == curves.MAX_LABELS
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


def test_long_paths_are_thinned_and_keep_their_points():
    assert paths.thin(0).tolist() == []
    for num in (1, 999, 1000, 1001, 5001, 100_000):
        rows = paths.thin(num)
        assert rows[0] == 0 and rows[-1] == num - 1 and len(rows) <= paths.MAX_ROWS + 1
    assert set(paths.thin(100_000)[:-1]) <= set(paths.thin(30_000)) | set(range(30_000, 100_000))
    for period in (2, 4):  # jumps to and fro are seen
        assert set(paths.thin(100_000) % period) == set(range(period))
    figure = plots.curve(rosette_surface(), path(np.linspace(0, 1, 5001)))
    assert "1 step in 9 drawn" in figure.axes[0].get_title("right")


def test_spread_moves_labels_no_more_than_needed():
    assert curves.spread([1.0, 5.0], 0.1, 0.0, 10.0) == [1.0, 5.0]
    np.testing.assert_allclose(curves.spread([1.0, 1.2, 5.0], 0.1, 0, 10), [1, 2, 5])
    np.testing.assert_allclose(curves.spread([9.9, 10.0], 0.1, 0, 10), [8.5, 9.5])
    assert curves.spread([], 0.1, 0, 1) == []


def test_curve_and_circle_refuse_a_plane():
    with pytest.raises(ValueError, match="`curve` expects a 1-D surface.*Use `contour`"):
        plots.curve(plane_surface())
    with pytest.raises(ValueError, match="`circle` expects a 1-D surface.*Use `contour`"):
        plots.circle(plane_surface())
    with pytest.raises(ValueError, match="`circle` expects a surface with a period"):
        plots.circle(line_surface())


# Circle.


def crest_points(axes):
    """The crest of the ring, on both sides, where it is drawn."""
    lines = [
        np.array(line.get_data_3d()) for line in axes.lines if len(line.get_data_3d()[0]) > 400
    ]
    points = np.concatenate(lines, axis=1)
    return points[:, np.all(np.isfinite(points), axis=0)]


def test_circle_wraps_the_surface_round_the_whole_ring():
    surface = rosette_surface(num=1001)
    axes = plots.circle(surface).axes[0]
    x, y, z = crest_points(axes)
    np.testing.assert_allclose(np.hypot(x, y), 1)
    np.testing.assert_allclose(
        z, np.interp(np.arctan(y / x), surface.coordinates[0], surface.losses), atol=1e-3
    )
    assert x.min() < -0.99 and x.max() > 0.99  # both sides
    assert z.max() <= axes.get_zlim()[1] < 1.5


def test_circle_says_where_it_is_cut_and_marks_the_valleys_twice():
    figure = plots.circle(rosette_surface())
    assert figure.texts[0].get_text().startswith("cut at loss 0.9")
    marks = [line for line in figure.axes[0].lines if line.get_gid() == "valleys"]
    angles = sorted(np.degrees(np.arctan2(*(m.get_data_3d()[k][0] for k in (1, 0)))) for m in marks)
    assert len(angles) == 10
    np.testing.assert_allclose(np.diff(angles), 36, atol=0.3)


def test_circle_draws_one_period_of_a_longer_surface_on_both_sides():
    surface = rosette_surface(start=-1.2, stop=4.0, num=901)
    axes = plots.circle(surface).axes[0]
    marks = [line for line in axes.lines if line.get_gid() == "valleys"]
    assert len(marks) == 2 * len(find_valleys(surface)) == 10
    inside = surface.coordinates[0] < -1.2 + np.pi
    crest = [len(line.get_data_3d()[0]) for line in axes.lines]
    assert crest.count(np.count_nonzero(inside)) == 4  # on each side behind and in front


def test_circle_keeps_a_path_on_its_side_of_the_ring():
    weights = np.array([2.8, 3.0, 3.2])
    figure = plots.circle(rosette_surface(), path(weights, [0.6, 0.55, 0.5]))
    dots = figure.axes[0].collections[-1]
    x, y, z = dots._offsets3d
    np.testing.assert_allclose(np.arctan2(y, x) % (2 * np.pi), weights)
    np.testing.assert_allclose(z, [0.6, 0.55, 0.5])


# Curves.


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


# Contour.


def test_contour_transposes_and_marks_the_minimum():
    figure = plots.contour(plane_surface())
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("slope", "bias")
    np.testing.assert_allclose(
        np.ravel(line_with(axes, "minimum").get_data()), [2, -0.5], atol=1e-9
    )
    assert axes.get_xlim() == (-1, 4) and axes.get_ylim() == (-2, 1.5)
    assert figure.axes[1].get_ylabel() == "loss"
    # The color at a corner is that of the loss there: the bowl is slanted, so all corners differ.
    pixels = draw(figure)
    frame = axes.get_window_extent()
    losses = plane_surface().losses
    gray = {
        (i, j): pixels[int(len(pixels) - frame.y0 - (2 if j == 0 else frame.height - 2)),
                       int(frame.x0 + (3 if i == 0 else frame.width - 3))].sum()
        for i in (0, -1) for j in (0, -1)
    }  # fmt: skip
    order = sorted(gray, key=lambda ij: losses[ij])
    assert [gray[ij] for ij in order] == sorted(gray.values(), reverse=True)


def two_wells():
    x, y = np.linspace(-1.7, 1.9, 61), np.linspace(-1, 2, 43)
    losses = (x[:, None] ** 2 - 1) ** 2 + x[:, None] / 4 + y**2
    names, units = ["phi", "bias"], ["rad", ""]
    return Surface(losses, [x, y], np.eye(2), np.zeros(2), names, units=units)


def test_contour_marks_valleys_and_their_basins():
    surface = two_wells()
    valleys = find_valleys(surface)
    axes = plots.contour(surface, valleys=valleys).axes[0]
    (marks,) = [line for line in axes.lines if line.get_gid() == "valleys"]
    floors = np.array([valley.position for valley in valleys]) * [180 / np.pi, 1]
    np.testing.assert_allclose(marks.get_xydata(), floors)
    assert marks.get_label() == "2 valleys"
    assert not [line for line in axes.lines if line.get_gid() == "minimum"]
    assert [text.get_text() for text in axes.texts] == ["0", "1"]
    border = np.concatenate([p.vertices for p in axes.collections[-1].get_paths()])
    ridge = valleys[0].ridges[0][0] * 180 / np.pi
    assert len(border) and np.all(np.abs(border[:, 0] - ridge) < 180 / np.pi * 3.6 / 60)


def test_contour_says_how_many_valleys_it_leaves_out():
    rough = np.random.RandomState(4).normal(size=(30, 41))
    surface = Surface(rough, [np.arange(30), np.arange(41)], np.eye(2), np.zeros(2))
    valleys = find_valleys(surface)
    axes = plots.contour(surface, valleys=valleys).axes[0]
    labels = [line.get_label() for line in axes.lines]
    assert labels == [f"60 of {len(valleys)} valleys"]
    with pytest.raises(ValueError, match="`contour` expects the `valleys` of its surface"):
        plots.contour(two_wells(), valleys=valleys)
    with pytest.raises(ValueError, match="`contour` expects the `valleys` of its surface"):
        plots.contour(surface, valleys=list(valleys))
    blank = Surface(np.full((3, 4), np.nan), [range(3), range(4)], np.eye(2), np.zeros(2))
    labels = [
        line.get_label() for line in plots.contour(blank, valleys=find_valleys(blank)).axes[0].lines
    ]
    assert labels == ["0 valleys"]


def test_contour_levels_lie_closer_near_the_minimum():
    contours = plots.contour(plane_surface()).axes[0].collections[0]
    losses = plane_surface().losses
    assert contours.levels[0] == losses.min() and np.isclose(contours.levels[-1], losses.max())
    assert np.all(np.diff(contours.levels, 2)[1:] > 0)


def test_contour_draws_paths_from_start_to_end():
    figure = plots.contour(plane_surface(), [PLANE_PATH, PLANE_PATH])
    axes = figure.axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 20]
    np.testing.assert_allclose(lines[0].get_xydata(), PLANE_PATH.weights)
    ends = [line.get_xydata()[0].tolist() for line in axes.lines if len(line.get_xdata()) == 1]
    assert [0.0, 1.0] in ends and [2.0, -0.5] in ends
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["minimum 1", "adam", "adam"]


def test_contour_has_one_scale_for_orthonormal_directions_only():
    surface = plane_surface()
    assert plots.contour(surface).axes[0].get_aspect() == 1.0
    skew = Surface(surface.losses, surface.coordinates, [[1.0, 0], [1, 2]], [0.0, 0])
    assert plots.contour(skew).axes[0].get_aspect() == "auto"


def test_contour_hatches_what_diverged():
    surface = plane_surface()
    losses = surface.losses.copy()
    losses[:20, 25:], losses[40, 5] = np.nan, np.inf
    holes = Surface(losses, surface.coordinates, np.eye(2), np.zeros(2))
    figure = plots.contour(holes)
    assert figure.axes[0].get_title("right") == "221 losses diverged"
    assert "diverged" in [text.get_text() for text in figure.legends[0].get_texts()]
    ground = next(patch for patch in figure.axes[0].patches if patch.get_gid() == "diverged")
    assert ground.get_hatch()
    pixels = draw(figure)
    frame = figure.axes[0].get_window_extent()
    corner = pixels[int(len(pixels) - frame.y1) + 5 : int(len(pixels) - frame.y1) + 45]
    corner = corner[:, int(frame.x0) + 5 : int(frame.x0) + 45]  # low slope, high bias: upper left
    assert corner.max() > 250 and corner.min() < 150
    assert not plots.contour(surface).axes[0].patches


def test_contour_of_flat_and_of_lost_surfaces():
    surface = plane_surface()
    for value in (2.0, 0.0, np.nan, np.inf):
        losses = np.full_like(surface.losses, value)
        draw(
            plots.contour(Surface(losses, surface.coordinates, np.eye(2), np.zeros(2)), PLANE_PATH)
        )
    steep = np.exp(40 * surface.losses / surface.losses.max())
    figure = plots.contour(Surface(steep, surface.coordinates, np.eye(2), np.zeros(2)))
    assert figure.axes[0].collections[0].extend == "max"


def test_contour_refuses_a_line_and_a_thin_grid():
    with pytest.raises(ValueError, match="`contour` expects a 2-D surface.*Use `curve`"):
        plots.contour(line_surface())
    thin = Surface(np.zeros((1, 3)), ([0.0], [0.0, 1, 2]), np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"at least 2 points on each axis. Received.*\(1, 3\)"):
        plots.contour(thin)


# Frames.


def full_redraw(frames):
    """The present frame, drawn whole by matplotlib."""
    for artist in frames._artists:
        artist.set_animated(False)
    pixels = draw(frames.figure)
    for artist in frames._artists:
        artist.set_animated(True)
    return pixels


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("num_axes", [1, 2])
def test_frame_equals_the_full_redraw(num_axes, theme):
    surface = rosette_surface() if num_axes == 1 else plane_surface()
    walk = PHI if num_axes == 1 else PLANE_PATH
    frames = plots.SurfaceFrames(surface, theme=theme, num_steps=100)
    empty = frames._pixels[..., :3].astype(int)
    for num in (1, 15):  # the second one must have wiped the first
        fast = decode(frames.png(walk.weights[:num], walk.losses[:num], step=num))
    full = full_redraw(frames)
    assert fast.shape == (480, 640, 3)
    drawn = np.any(full != empty, axis=-1)
    assert drawn.sum() > 500
    assert np.abs(fast - full).max() < 64 and np.abs(fast - full)[drawn].mean() < 8
    assert np.abs(fast - full)[~drawn].max() < 20
    # Where the path is, it is: no drawn pixel still shows the surface.
    strong = np.abs(full - empty).max(axis=-1) > 128
    assert np.all(np.abs(fast - empty).max(axis=-1)[strong] > 64)


@pytest.mark.parametrize("num_axes", [1, 2])
def test_frames_ignore_the_users_lines(num_axes):
    surface, walk = [(rosette_surface(), PHI), (plane_surface(), PLANE_PATH)][num_axes - 1]
    style = {"lines.marker": "s", "lines.linestyle": "--", "lines.markerfacecolor": "red"}
    frames = plots.SurfaceFrames(surface)
    expected = decode(frames.png(walk.weights[:9], walk.losses[:9], step=9))
    with matplotlib.rc_context(style):
        frames = plots.SurfaceFrames(surface)
        found = decode(frames.png(walk.weights[:9], walk.losses[:9], step=9))
    assert np.count_nonzero(np.any(found != expected, axis=-1)) <= 20


@pytest.mark.parametrize("size", [(640, 480), (333, 201)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_caption_looks_like_a_title_of_matplotlib(theme, size):
    frames = plots.SurfaceFrames(rosette_surface(), theme=theme, size=size, num_steps=900)
    empty = frames._pixels[..., :3].astype(int)
    frames.png(np.zeros((0, 1)), [], step=123)
    frames._caption.set_animated(False)
    ours = np.abs(draw(frames.figure) - empty)
    frames._caption.remove()
    (title,) = [t for t in frames.figure.findobj(Text) if t.get_text() == "step 0"]
    title.set(text="step 123 of 900", alpha=1)
    theirs = np.abs(draw(frames.figure) - empty)
    for axis in (0, 1):  # where the text begins and ends
        ends = [np.flatnonzero(ink.max(axis=(1 - axis, 2)) > 64)[[0, -1]] for ink in (ours, theirs)]
        np.testing.assert_allclose(*ends, atol=1)
    assert abs(ours.sum() / theirs.sum() - 1) < 0.1


@pytest.mark.parametrize("size", [(640, 480), (333, 201), (801, 600)])
def test_frame_has_the_size_asked_for(size):
    frames = plots.SurfaceFrames(line_surface(), size=size)
    assert Image.open(io.BytesIO(frames.png([[0.5]], [0.3], step=1))).size == size


def test_frame_says_step_and_loss_and_draws_the_present_position():
    frames = plots.SurfaceFrames(rosette_surface(), num_steps=50)
    frames.png([[0.1], [0.2]], [0.5, 0.625], step=7)
    assert frames._caption.text == "step 7 of 50, loss 0.625"
    np.testing.assert_allclose(np.ravel(frames._head.get_data()), [np.degrees(0.2), 0.625])
    frames.png([[0.1], [0.2 + np.pi]], [0.5, np.nan], step=8)
    assert frames._caption.text == "step 8 of 50"
    np.testing.assert_allclose(frames._head.get_xdata(), [np.degrees(0.2)])
    plots.SurfaceFrames(rosette_surface()).png(np.zeros((0, 1)), [], step=0)


def test_frames_take_long_and_lost_paths():
    frames = plots.SurfaceFrames(rosette_surface())
    frames.png(np.linspace(0, 9, 100_000)[:, None], np.full(100_000, np.nan), step=100_000)
    frames.png([[np.nan], [np.inf]], [np.inf, np.nan], step=2)


def test_animation_shows_the_whole_path_and_rests_at_its_end():
    frames = plots.SurfaceFrames(rosette_surface(), size=(320, 240))
    data = frames.animation(PHI.weights, PHI.losses, PHI.steps, num_frames=12)
    movie = Image.open(io.BytesIO(data))
    assert (movie.format, movie.size, movie.n_frames) == ("GIF", (320, 240), 12)
    assert movie.info["loop"] == 0
    movie.seek(11)
    assert movie.info["duration"] == 2000
    last = np.asarray(movie.convert("RGB")).astype(int)
    assert np.array_equal(last, decode(frames.png(PHI.weights, PHI.losses, PHI.steps[-1])))
    short = frames.animation(PHI.weights[:3], PHI.losses[:3], PHI.steps[:3])
    assert Image.open(io.BytesIO(short)).n_frames == 3


def test_pictures_become_an_animation():
    frames = plots.SurfaceFrames(rosette_surface(), size=(320, 240))
    ends = [3, 1, 7]
    images = [frames.image(PHI.weights[:n], PHI.losses[:n], n) for n in ends]
    movie = Image.open(io.BytesIO(plots.animate(iter(images))))
    assert (movie.format, movie.size, movie.n_frames) == ("GIF", (320, 240), 3)
    for number, image in enumerate(images):
        movie.seek(number)
        assert np.array_equal(np.asarray(movie.convert("RGB")), np.asarray(image.convert("RGB")))
        assert movie.info["duration"] == (2000 if number == 2 else 120)
    with pytest.raises(ValueError, match="`animate` expects at least one image. Received: none."):
        plots.animate([])


def test_frames_refuse_what_does_not_match():
    frames = plots.SurfaceFrames(rosette_surface())
    with pytest.raises(ValueError, match=r"`SurfaceFrames` expects coordinates of shape \(n, K\)"):
        frames.png([[0.1, 0.2]], [0.3], step=1)
    with pytest.raises(ValueError, match=r"Received: \(2, 1\) and \(1,\)"):
        frames.png([[0.1], [0.2]], [0.3], step=1)
    with pytest.raises(ValueError, match="expects at least one row.*num_frames=0"):
        frames.animation([[0.1]], [0.3], [1], num_frames=0)
    with pytest.raises(ValueError, match="expects at least one row.*Received: 0 rows"):
        frames.animation(np.zeros((0, 1)), [], [])
    for size in ((640,), (100, 480), (640.5, 480), 640):
        with pytest.raises(ValueError, match="`SurfaceFrames` expects `size`"):
            plots.SurfaceFrames(rosette_surface(), size=size)
    with pytest.raises(ValueError, match="expects `theme` to be"):
        plots.SurfaceFrames(rosette_surface(), theme="sepia")
    with pytest.raises(ValueError, match="expects `color` to be a color"):
        plots.SurfaceFrames(rosette_surface(), color="nonsense")
    named, hexadecimal = (
        plots.SurfaceFrames(rosette_surface(), color=c).png([[0.1]], [0.3], 1)
        for c in ("tab:red", "#d62728")
    )
    assert named == hexadecimal


def test_encode_keeps_the_size_of_a_figure():
    figure = plots.data(*ROWS)
    assert isinstance(figure, Figure)
    np.testing.assert_array_equal(decode(plots.encode(figure)), draw(figure))
    with matplotlib.rc_context({"savefig.bbox": "tight", "savefig.pad_inches": 1}):
        np.testing.assert_array_equal(decode(plots.encode(figure)), draw(figure))
