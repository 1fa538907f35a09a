"""Surfaces and paths in space."""

import numpy as np
import pytest

from helpers.pictures import draw, legend, mesh, path_line
from helpers.planes import LOSSES, X, Y, bowl, line, plane, run
from keras_valleys import plots
from keras_valleys.plots import paths, surfaces_3d
from keras_valleys.surfaces import Surface


def test_what_a_ridge_hides_is_hidden():
    x, y = np.linspace(0.5, 4, 41), np.linspace(1, 7, 31)
    ridge = np.where(np.abs(y - 4) < 0.3, 2.0, 0.0) + 0 * x[:, None]
    surface = Surface(ridge, (x, y), np.eye(2), np.zeros(2))
    points = np.array([[2, 6, 0.1], [2, 2, 0.1], [2, 6, 3], [2, 4, 2.01], [2, 2, -1], [2, 6, 0.9]])
    to_viewer = np.array([0.0, -8, 4])  # low in front of the ridge
    found = surfaces_3d.is_hidden(points, surface, to_viewer, top=9)
    assert found.tolist() == [True, False, False, False, True, True]
    assert not surfaces_3d.is_hidden(points[-1:], surface, to_viewer, top=1.6)[0]


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


def test_surface_3d_draws_paths_at_their_losses_with_lines_to_the_surface():
    path = run(losses=run().losses + 3)
    figure = plots.surface_3d(plane(), path)
    x, y, z = path_line(figure)
    np.testing.assert_allclose(np.stack([x, y], axis=1), path.weights[:, :2])
    np.testing.assert_allclose(z[~np.isnan(z)], path.losses[~np.isnan(z)])
    drops = next(c for c in figure.axes[0].collections if c.get_gid() == "drops")
    segments = np.array(drops._segments3d)
    assert len(segments) > 3
    np.testing.assert_allclose(segments[:, 0, :2], segments[:, 1, :2])
    ground = paths.height_on(segments[:, 1, :2], plane())
    np.testing.assert_allclose(segments[:, 1, 2], ground)
    assert set(segments[:, 0, 2]) <= set(path.losses)
    assert legend(figure) == ["minimum 1", "adam"]
    assert figure.axes[1].get_ylabel() == "loss (path: recorded)"


def test_surface_3d_lays_a_path_without_losses_on_the_surface():
    path = run(losses=np.full(20, np.nan))
    figure = plots.surface_3d(plane(), path)
    lines = [row for row in figure.axes[0].lines if len(row.get_data_3d()[0]) == 20]
    z = np.array(lines[0].get_data_3d())[2]
    np.testing.assert_allclose(z, paths.height_on(path.weights[:, :2], plane()))
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
    assert figure.axes[1].get_ylabel() == "loss (path: recorded), log scale"
    draw(figure)
    for axis in (figure.axes[0].zaxis, figure.axes[1].yaxis):
        assert axis.get_major_formatter()(-2.0, None) == "0.01"
    assert legend(figure)[0] == "minimum 0.01"
    with pytest.raises(ValueError, match="`scale` to be 'auto', 'linear' or 'log'. Received: sc"):
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
    assert len(corners) == surfaces_3d.MAX_CELLS**2
    assert [corners[..., 0].min(), corners[..., 0].max()] == [-1, 4]
    assert [corners[..., 1].min(), corners[..., 1].max()] == [-2, 1.5]


def test_surface_3d_refuses_a_line_and_a_thin_grid():
    with pytest.raises(ValueError, match="`surface_3d` expects a 2-D surface.*Use `curve`"):
        plots.surface_3d(line())
    thin = Surface(np.zeros((1, 3)), ([0.0], [0.0, 1, 2]), np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"`surface_3d` expects a surface of at least 2 points"):
        plots.surface_3d(thin)
