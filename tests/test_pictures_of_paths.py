"""Paths beside a surface: in space, over steps, and what a picture says of how true it is."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from keras_valleys import plots
from keras_valleys.plots import _honesty, _meshes, _paths
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Projection, Trajectory, on_surface

SIZE = 5
X, Y = np.linspace(-1, 4, 51), np.linspace(-2, 1.5, 36)


def bowl(u, v):
    return (u - 2) ** 2 + 3 * (v + 0.5) ** 2 + (u - 2) * (v + 0.5) + 1


LOSSES = bowl(X[:, None], Y)


def plane(losses=LOSSES, size=SIZE, labels=("slope", "bias"), name="loss"):
    return Surface(losses, (X, Y), np.eye(2, size), np.zeros(size), labels, name)


def line(size=SIZE):
    return Surface(LOSSES[:, 20], [X], np.eye(1, size), np.zeros(size), ["slope"])


def run(seed=0, label="adam", num=20, size=SIZE, losses=None):
    random = np.random.RandomState(seed)
    weights = 0.1 * random.normal(size=(num, size))
    weights[:, :2] += np.linspace([0.2, 1.0], [2.0, -0.5], num)
    losses = bowl(*weights[:, :2].T) + weights[:, 2] if losses is None else losses
    return Trajectory(range(num), weights, losses, label)


def draw(figure):
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3].astype(int)


def caption(figure):
    return " ".join(figure._supxlabel.get_text().split()) if figure._supxlabel else ""


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def mesh(figure):
    return next(c for c in figure.axes[0].collections if c.get_gid() == "mesh")


def path_line(figure, label="adam"):
    lines = [row for row in figure.axes[0].lines if row.get_label() == label]
    return np.array(lines[0].get_data_3d())


# Heights.


def test_heights_between_samples_are_bilinear():
    random = np.random.RandomState(3)
    x, y = np.cumsum(random.uniform(0.1, 2, 7)), np.cumsum(random.uniform(0.1, 2, 5))
    surface = Surface(2 * x[:, None] - 3 * y + x[:, None] * y, (x, y), np.eye(2), np.zeros(2))
    u, v = random.uniform(x[0], x[-1], 50), random.uniform(y[0], y[-1], 50)
    found = _paths.height_on(np.stack([u, v], axis=1), surface)
    np.testing.assert_allclose(found, 2 * u - 3 * v + u * v)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(_paths.height_on(grid, surface), surface.losses.ravel())
    outside = [[x[0] - 1, y[1]], [x[1], y[-1] + 1], [np.nan, y[1]]]
    assert np.isnan(_paths.height_on(np.array(outside), surface)).all()


def test_what_a_ridge_hides_is_hidden():
    x, y = np.linspace(0.5, 4, 41), np.linspace(1, 7, 31)
    ridge = np.where(np.abs(y - 4) < 0.3, 2.0, 0.0) + 0 * x[:, None]
    surface = Surface(ridge, (x, y), np.eye(2), np.zeros(2))
    points = np.array([[2, 6, 0.1], [2, 2, 0.1], [2, 6, 3], [2, 4, 2.01], [2, 2, -1], [2, 6, 0.9]])
    to_viewer = np.array([0.0, -8, 4])  # low in front of the ridge
    found = _meshes.is_hidden(points, surface, to_viewer, top=9)
    assert found.tolist() == [True, False, False, False, True, True]
    assert not _meshes.is_hidden(points[-1:], surface, to_viewer, top=1.6)[0]


# In space.


def test_surface_3d_puts_every_cell_in_its_place():
    x, y = np.linspace(0.5, 2, 4), np.linspace(-1, 3, 3)
    surface = Surface(x[:, None] ** 2 + 5 * y, (x, y), [[1.0, 0], [0, 3.0]], np.zeros(2))
    corners = np.concatenate([np.array(c) for c in cells(plots.surface_3d(surface))])
    assert len(corners) == 4 * 3 * 2
    np.testing.assert_allclose(corners[:, 2], corners[:, 0] ** 2 + 5 * corners[:, 1])
    assert set(corners[:, 0]) == set(x) and set(corners[:, 1]) == set(y)


def cells(figure):
    collection = mesh(figure)
    draw(figure)
    return np.array(collection._faces)


def test_surface_3d_draws_paths_at_their_true_losses_with_lines_to_the_surface():
    path = run(losses=run().losses + 3)
    figure = plots.surface_3d(plane(), path)
    x, y, z = path_line(figure)
    np.testing.assert_allclose(np.stack([x, y], axis=1), path.weights[:, :2])
    np.testing.assert_allclose(z[~np.isnan(z)], path.losses[~np.isnan(z)])
    drops = next(c for c in figure.axes[0].collections if c.get_gid() == "drops")
    segments = np.array(drops._segments3d)
    assert len(segments) > 3
    np.testing.assert_allclose(segments[:, 0, :2], segments[:, 1, :2])
    ground = _paths.height_on(segments[:, 1, :2], plane())
    np.testing.assert_allclose(segments[:, 1, 2], ground)
    assert set(segments[:, 0, 2]) <= set(path.losses)
    assert legend(figure) == ["minimum 1", "adam"]
    assert figure.axes[1].get_ylabel() == "loss"


def test_surface_3d_lays_a_path_without_losses_on_the_surface():
    path = run(losses=np.full(20, np.nan))
    figure = plots.surface_3d(plane(), path)
    lines = [row for row in figure.axes[0].lines if len(row.get_data_3d()[0]) == 20]
    z = np.array(lines[0].get_data_3d())[2]
    np.testing.assert_allclose(z, _paths.height_on(path.weights[:, :2], plane()))
    drops = next(c for c in figure.axes[0].collections if c.get_gid() == "drops")
    assert len(drops._segments3d) == 0


def test_surface_3d_says_what_is_cut_and_leaves_holes_where_losses_diverged():
    losses = LOSSES.copy()
    losses[:20, 25:], losses[40, 5], losses[30:34, 30] = np.nan, np.inf, 1e7
    figure = plots.surface_3d(plane(losses), run())
    title = figure.axes[0].get_title("right")
    assert title.startswith("cut at loss 15; 221 losses diverged")
    corners = cells(figure)
    assert figure.axes[0].get_zlim()[1] == 15 and corners[..., 2].max() == 15
    lost = ~np.isfinite(losses)
    touched = lost[1:, 1:] | lost[:-1, 1:] | lost[1:, :-1] | lost[:-1, :-1]
    assert len(corners) == touched.size - touched.sum()


def test_surface_3d_on_a_logarithmic_scale():
    figure = plots.surface_3d(plane(LOSSES - 0.99), run(), scale="log")
    z = path_line(figure)[2]
    known = ~np.isnan(z)
    np.testing.assert_allclose(z[known], np.log10(run().losses)[known])
    assert figure.axes[1].get_ylabel() == "loss, log scale"
    draw(figure)
    for axis in (figure.axes[0].zaxis, figure.axes[1].yaxis):
        assert axis.get_major_formatter()(-2.0, None) == "0.01"
    assert legend(figure)[0] == "minimum 0.01"
    with pytest.raises(ValueError, match="expects positive losses.*a loss of -1"):
        plots.surface_3d(plane(LOSSES - 2), scale="log")
    with pytest.raises(ValueError, match="`scale` to be 'linear' or 'log'. Received: scale='sym'"):
        plots.surface_3d(plane(), scale="sym")


def test_surface_3d_has_one_scale_for_orthonormal_directions_only():
    sides = plots.surface_3d(plane()).axes[0].get_box_aspect()
    assert sides[1] / sides[0] == pytest.approx(3.5 / 5)
    skew = Surface(LOSSES, (X, Y), [[1.0, 0], [1, 2]], np.zeros(2))
    sides = plots.surface_3d(skew).axes[0].get_box_aspect()
    assert sides[1] / sides[0] == pytest.approx(0.85)


def test_surface_3d_thins_a_fine_grid_and_keeps_its_ends():
    x, y = np.linspace(-1, 4, 1001), np.linspace(-2, 1.5, 333)
    surface = Surface(bowl(x[:, None], y), (x, y), np.eye(2), np.zeros(2))
    corners = cells(plots.surface_3d(surface))
    assert len(corners) == _meshes.MAX_CELLS**2
    assert [corners[..., 0].min(), corners[..., 0].max()] == [-1, 4]
    assert [corners[..., 1].min(), corners[..., 1].max()] == [-2, 1.5]


def test_surface_3d_refuses_a_line_and_a_thin_grid():
    with pytest.raises(ValueError, match="`surface_3d` expects a 2-D surface.*Use `curve`"):
        plots.surface_3d(line())
    thin = Surface(np.zeros((1, 3)), ([0.0], [0.0, 1, 2]), np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"`surface_3d` expects a surface of at least 2 points"):
        plots.surface_3d(thin)


# Several paths on a curve.


def test_curve_tells_several_paths_apart_step_by_step():
    runs = [run(1, "adam"), run(2, "lion", num=13)]
    figure = plots.curve(line(), runs)
    below = figure.axes[1]
    assert below.get_ylabel() == "step" and below.get_xlabel() == "slope"
    assert below.get_xlim() == figure.axes[0].get_xlim()
    first, last = below.get_ylim()
    assert first > 19 > 0 > last  # time runs down
    for path, name in zip(runs, ("adam", "lion"), strict=True):
        drawn = next(row for row in below.lines if row.get_label() == name)
        np.testing.assert_allclose(drawn.get_xdata(), path.weights[:, 0])
        np.testing.assert_array_equal(drawn.get_ydata(), path.steps)
        assert to_hex(drawn.get_color()) == plots.optimizer_color(name)


# Honesty.


def test_pictures_say_how_far_paths_are_from_where_they_are_drawn():
    path = run()
    found = on_surface(path, plane())
    for figure in (plots.contour(plane(), path), plots.surface_3d(plane(), path)):
        assert caption(figure) == (
            f"adam: {100 * found.explained_variance:.2g} % of its variance lies in this plane; "
            f"at most {found.distances.max():.3g} from the plane, "
            f"{found.travelled.max():.3g} from its start"
        )
    assert "lies in this line; at most" in caption(plots.curve(line(), path))
    losses = np.append(path.losses[:17], [np.inf, np.nan, np.inf])
    figure = plots.contour(plane(), run(losses=losses))
    assert caption(figure).endswith("from its start; 2 diverged points")
    # A model of as many weights as axes has nothing off the picture.
    whole = Trajectory(path.steps, path.weights[:, :2], path.losses)
    for picture in (plots.contour, plots.surface_3d):
        assert caption(picture(plane(size=2), whole)) == caption(picture(plane())) == ""


def test_of_many_paths_the_worst_is_told():
    runs = [run(k, f"run {k}") for k in range(6)]
    shares = [on_surface(path, plane()).explained_variance for path in runs]
    worst = int(np.argmin(shares))
    assert caption(plots.contour(plane(), runs)).startswith(f"Worst of 6 runs: run {worst}: ")
    assert caption(plots.contour(plane(), runs[:3])).count("of its variance") == 3
    lost = Trajectory([0, 1], np.full((2, SIZE), np.nan), [0.1, np.nan], "lost")
    text = caption(plots.contour(plane(), [*runs, lost]))
    assert text == "Worst of 7 runs: lost: 2 diverged points"


@pytest.mark.parametrize(
    "share, text",
    [
        (0.9149, "91 %"),
        (0.996, "99.6 %"),
        (0.99999, "over 99.9 %"),
        (1.0, "100 %"),
        (0.0037, "0.37 %"),
    ],
)
def test_a_share_is_not_rounded_to_the_whole(share, text):
    rows = np.zeros(2)
    found = Projection(rows, rows[:, None], rows, rows, rows, rows, share, 0, 9)
    assert _honesty.sentence(found, "a").startswith(f"a: {text} of its variance lies in this line")


def measured(path, surface):
    """With losses on the plane, as an objective would give them."""
    found = on_surface(path, surface)
    feet = bowl(*found.coordinates.T)
    fields = {**vars(found), "plane_losses": feet}
    return Projection(**fields)


def test_honesty_draws_the_true_loss_beside_that_on_the_plane_and_both_distances():
    runs = [measured(run(k, name), plane()) for k, name in enumerate(("adam", "lion"))]
    figure = plots.honesty(runs)
    upper, lower = figure.axes
    for k, found in enumerate(runs):
        pairs = [(upper, found.losses, found.plane_losses)]
        pairs.append((lower, found.distances, found.travelled))
        for axes, true, other in pairs:
            solid, dashed = axes.lines[2 * k : 2 * k + 2]
            np.testing.assert_allclose(solid.get_ydata(), true)
            np.testing.assert_allclose(dashed.get_ydata(), other)
            assert solid.get_linestyle() == "-" != dashed.get_linestyle()
            assert solid.get_color() == dashed.get_color() == plots.optimizer_color(found.label)
    texts = [[t.get_text() for t in axes.get_legend().get_texts()] for axes in (upper, lower)]
    assert texts == [["true", "on the plane"], ["from the plane", "from the start"]]
    assert legend(figure) == ["adam", "lion"] and caption(figure).count("at most") == 2
    assert lower.get_ylim()[0] == 0 and upper.get_yscale() == "linear"
    other = plots.honesty(on_surface(run(), line())).axes[0].get_legend()
    assert other.get_texts()[1].get_text() == "on the line"
    with pytest.raises(ValueError, match="`honesty` expects one projection or more"):
        plots.honesty([])


def test_honesty_of_a_run_that_blew_up_does_not_flatten_the_others():
    weights = 3.0 ** np.arange(40)[:, None] * np.ones(SIZE)
    bad = Trajectory(range(40), weights, 5.0 ** np.arange(40))
    good = [on_surface(run(k, num=300), plane()) for k in (1, 2)]
    figure = plots.honesty([*good, on_surface(bad, plane())])
    for axes in figure.axes:
        assert axes.get_title("right").startswith("cut at ") and axes.get_ylim()[1] < 50
        assert axes.get_yscale() == "linear"
    alone = plots.honesty(on_surface(bad, plane()))
    assert [axes.get_yscale() for axes in alone.axes] == ["log", "log"]
    draw(alone)
    lost = Trajectory([0, 1], np.full((2, SIZE), np.nan), [np.nan, np.nan])
    draw(plots.honesty(on_surface(lost, plane())))
    draw(plots.honesty(on_surface(Trajectory([], np.zeros((0, SIZE)), []), plane())))


# Whatever comes.

NAMES = [
    "_hidden $x^2$ and $",
    "$\\frac{1}$",
    "adam_w",
    "a very long label that no legend has room for, and then some more of it",
    "two\nlines",
    "",
    "sgd",
    "lion",
    "100 %",
    "Größe",
]
DRAWN = {
    "contour": lambda runs, **options: plots.contour(plane(**options), runs),
    "surface_3d": lambda runs, **options: plots.surface_3d(plane(**options), runs),
    "curve": lambda runs, **options: plots.curve(line(), runs),
    "honesty": lambda runs, **options: plots.honesty([on_surface(r, plane()) for r in runs]),
    "loss_by_step": lambda runs, **options: plots.loss_by_step(runs),
}


@pytest.mark.parametrize("name", DRAWN)
def test_ten_paths_of_any_name(name):
    runs = [run(k, label) for k, label in enumerate(NAMES)]
    odd = dict(labels=("_a $\\frac$", "b_1 $\\frac$"), name="loss $x_1$ $\\f$")
    figure = DRAWN[name](runs, **odd)
    draw(figure)
    names = legend(figure)[-10:]
    assert names[:3] == NAMES[:3] and names[4:6] == ["two lines", "path 6"]
    assert names[3].endswith("\N{HORIZONTAL ELLIPSIS}") and len(names[3]) == 40
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height
    frame = figure.axes[0].get_window_extent()
    assert frame.width > 300 and frame.height > 100


@pytest.mark.parametrize("name", ["contour", "surface_3d"])
@pytest.mark.parametrize("value", [2.0, 0.0, np.nan, np.inf, 1e30, -3.0])
def test_flat_and_lost_surfaces(name, value):
    runs = [run(), Trajectory([0], [[0.5] * SIZE], [3.0]), run(2, losses=np.full(20, np.inf))]
    for paths in (runs, runs[:1], runs[1:2], []):
        draw(DRAWN[name](paths, losses=np.full_like(LOSSES, value)))


@pytest.mark.parametrize("name", DRAWN)
def test_long_paths(name):
    figure = DRAWN[name]([run(1, num=100_000), run(2, num=3)])
    draw(figure)
    if name in ("contour", "surface_3d", "curve"):
        assert "1 step in 243 drawn" in figure.axes[0].get_title("right")


def test_notes_count_all_paths_together():
    outside = Trajectory([0, 1, 2], np.full((3, SIZE), 9.0), [1.0, 2.0, 3.0])
    title = plots.contour(plane(), [outside, outside, run()]).axes[0].get_title("right")
    assert title == "6 steps outside"
    steep = np.exp(40 * LOSSES / LOSSES.max())
    assert "one color above loss" in plots.contour(plane(steep)).axes[0].get_title("right")
