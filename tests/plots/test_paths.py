"""Paths beside a surface, and what a picture says of how true it is."""

import numpy as np
import pytest

from helpers.drawn import path, rosette_surface
from helpers.pictures import caption, draw, legend
from helpers.planes import LOSSES, SIZE, line, plane, run
from keras_valleys import plots
from keras_valleys.plots import paths
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Projection, Trajectory, on_surface


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


# Heights.


def test_heights_between_samples_are_bilinear():
    random = np.random.RandomState(3)
    x, y = np.cumsum(random.uniform(0.1, 2, 7)), np.cumsum(random.uniform(0.1, 2, 5))
    surface = Surface(2 * x[:, None] - 3 * y + x[:, None] * y, (x, y), np.eye(2), np.zeros(2))
    u, v = random.uniform(x[0], x[-1], 50), random.uniform(y[0], y[-1], 50)
    found = paths.height_on(np.stack([u, v], axis=1), surface)
    np.testing.assert_allclose(found, 2 * u - 3 * v + u * v)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(paths.height_on(grid, surface), surface.losses.ravel())
    outside = [[x[0] - 1, y[1]], [x[1], y[-1] + 1], [np.nan, y[1]]]
    assert np.isnan(paths.height_on(np.array(outside), surface)).all()


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
    assert paths.sentence(found, "a").startswith(f"a: {text} of its variance lies in this line")


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
    for given in (runs, runs[:1], runs[1:2], []):
        draw(DRAWN[name](given, losses=np.full_like(LOSSES, value)))


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
