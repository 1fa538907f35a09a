"""Pictures of which start ends in which valley."""

import dataclasses

import numpy as np
import pytest

import keras_valleys as kv
from helpers.basin_maps import RATES, STARTS
from keras_valleys.descents import BasinMap
from keras_valleys.plots.basins import valley_color


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_start_has_the_color_of_its_valley(rosette, by_start, theme):
    _, valleys = rosette
    figure = kv.plots.basins(by_start, valleys, theme=theme)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
    for k, axes in enumerate(figure.axes[1:]):
        for start, index in zip(STARTS, by_start.indices[k], strict=True):
            x, y = axes.transData.transform([np.degrees(start), 0.5])
            found = pixels[pixels.shape[0] - 1 - int(y), int(x)]
            np.testing.assert_allclose(found, valley_color(index), atol=0.01)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[0] == "valley 0 at 0°"
    assert kv.plots.encode(figure)[:4] == b"\x89PNG"


def test_each_learning_rate_has_its_row(rosette, by_rate):
    _, valleys = rosette
    turned = dataclasses.replace(
        by_rate,
        learning_rates=RATES[::-1],
        **{n: getattr(by_rate, n)[:, ::-1] for n in ("indices", "losses", "ends", "distances")},
    )
    for given in (by_rate, turned):
        figure = kv.plots.basins_by_learning_rate(given, valleys)
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
        for rate, row in zip(RATES, by_rate.indices[0], strict=True):
            for start, index in zip(STARTS, row, strict=True):
                x, y = figure.axes[1].transData.transform([np.degrees(start), rate])
                found = pixels[pixels.shape[0] - 1 - int(y), int(x)]
                np.testing.assert_allclose(found, valley_color(index), atol=0.01)


def test_a_map_over_two_axes_is_not_transposed(waves):
    _, valleys = waves
    axes = [np.linspace(-3, 3.3, 7), np.linspace(-3.5, 4, 6)]
    indices = np.random.default_rng(0).integers(-1, 3, (2, 7, 6))
    blank = np.zeros((2, 7, 6))
    given = BasinMap(
        indices, blank, np.zeros((2, 7, 6, 2)), blank, axes, valleys.surface.labels, "ab", 3
    )
    figure = kv.plots.basins(given, valleys)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
    for k, panel in enumerate(figure.axes):
        right = 0
        for i, j in np.ndindex(7, 6):
            if indices[k, i, j] < 0:
                continue
            x, y = panel.transData.transform([axes[0][i], axes[1][j]])
            patch = pixels[pixels.shape[0] - 1 - int(y) - 3 :, int(x) - 3 :][:7, :7]
            close = np.abs(patch - valley_color(indices[k, i, j])).max(axis=-1) < 0.02
            right += close.mean() > 0.3  # a contour or a floor may lie on it
        assert right >= 0.9 * np.sum(indices[k] >= 0)


def test_colors_and_refusals(rosette, waves, by_start, by_rate):
    colors = [valley_color(k) for k in range(27)]
    assert len(set(colors)) == 27 and colors[0] == valley_color(27)
    _, valleys = rosette
    with pytest.raises(ValueError, match="`basins` expects a map without learning rates"):
        kv.plots.basins(by_rate, valleys)
    with pytest.raises(ValueError, match="expects a map with learning rates, over one axis"):
        kv.plots.basins_by_learning_rate(by_start, valleys)
    with pytest.raises(ValueError, match="the valleys that the map was made with"):
        kv.plots.basins(by_start, waves[1])
    with pytest.raises(ValueError, match="theme"):
        kv.plots.basins(by_start, valleys, theme="blue")
