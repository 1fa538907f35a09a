"""Paths on a curve: one colored by step, several by optimizer with a panel of their steps."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from keras_valleys.plots._style import add_colorbar, axis_of, style_axes

MARKS = 12  # on each path, so that paths of one color are told apart


def draw_paths(panels, below, paths, styles, drawn):
    """Several paths on the curve, and below it the coordinate of each at each step.

    Args:
        panels: The axes that show the curve, the whole one first.
        below: The axes for the steps.
        paths: List of `Path`.
        styles: What `path_styles` returns for them.
        drawn: The surface and the `Theme`.

    Returns:
        One handle for the legend per path.
    """
    surface, look = drawn
    scale, text = axis_of(surface.labels[0])
    style_axes(below, look, xlabel=text, ylabel="step")
    panels[0].set_xlabel("")
    panels[0].tick_params(labelbottom=False)
    handles = []
    for path, style in zip(paths, styles, strict=True):
        x, y, steps = path.points[:, 0] * scale, path.heights, path.steps
        line = dict(color=style["color"], linestyle=style["linestyle"], label=style["label"])
        for axes in panels:
            columns = path.broken(np.stack([x, y], axis=1)).T
            axes.plot(*columns, **line, linewidth=1.3, alpha=0.75, zorder=4)
            _mark_ends(axes, x, y, style, look)
        columns = path.broken(np.stack([x, steps], axis=1)).T
        every = max(1, len(x) // MARKS)
        mark = dict(marker=style["marker"], markersize=4.5, linewidth=1.6)
        below.plot(*columns, **line, **mark, markevery=every, zorder=4)
        _mark_ends(below, x, steps, style, look)
        handles.append(Line2D([], [], **line, **{**mark, "markersize": 6}))
    below.set_ylim(*_steps_down(paths))
    below.yaxis.get_major_locator().set_params(integer=True)
    return handles


def _steps_down(paths):
    steps = np.concatenate([path.steps for path in paths])
    first, last = (steps.min(), steps.max()) if steps.size else (0, 1)
    room = 0.06 * max(last - first, 1)
    return last + room, first - room


def _mark_ends(axes, x, y, style, look):
    """A hollow mark where a path begins, a filled one where it ends."""
    mark = dict(marker=style["marker"], linestyle="", markersize=8, markeredgewidth=1.4, zorder=5)
    color = style["color"]
    axes.plot(x[:1], y[:1], markerfacecolor=look.background, markeredgecolor=color, **mark)
    axes.plot(x[-1:], y[-1:], markerfacecolor=color, markeredgecolor=look.background, **mark)


def draw_one_path(panels, path, surface, look):
    """One path, colored by step."""
    scale, _ = axis_of(surface.labels[0])
    x, y = path.points[:, 0] * scale, path.heights
    points = [_color_by_step(axes, x, y, path, look) for axes in panels]
    add_colorbar(points[0], panels[0], look, label="step")


def _color_by_step(axes, x, y, path, look):
    corners = np.stack([x, y], axis=1)
    segments = np.stack([corners[:-1], corners[1:]], axis=1)
    drawn = ~path.jumps & np.all(np.isfinite(segments), axis=(1, 2))
    span = path.steps[[0, -1]] if len(path.steps) else (0, 1)
    options = dict(cmap=look.steps, clim=span)
    line = LineCollection(
        segments[drawn], array=path.steps[:-1][drawn], linewidths=1, alpha=0.45, zorder=4, **options
    )
    axes.add_collection(line, autolim=False)
    seen = np.all(np.isfinite(corners), axis=1)
    return axes.scatter(
        x[seen], y[seen], c=path.steps[seen], s=24, linewidths=0, zorder=5,
        cmap=look.steps, vmin=span[0], vmax=span[1],
    )  # fmt: skip
