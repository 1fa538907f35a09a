"""Contours: a surface of two axes seen from above, with valleys and paths."""

import dataclasses

import numpy as np
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke

from keras_valleys._checks import check_kind, refusal
from keras_valleys.plots.paths import (
    captions,
    check_axes,
    diverged_note,
    path_notes,
    path_of,
    repeats,
)
from keras_valleys.plots.style import (
    add_caption,
    add_colorbar,
    add_legend,
    add_note,
    axis_of,
    get_theme,
    label_levels,
    locator_of,
    new_figure,
    path_styles,
    scales_of,
    style_axes,
)
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectories, as_trajectories
from keras_valleys.valleys import Valleys, closed, like_closed

NUM_LEVELS = 14
MAX_VALLEYS = 60


def contour(
    surface: Surface,
    trajectories: Trajectories = (),
    *,
    valleys: Valleys | None = None,
    theme: str = "light",
) -> Figure:
    """A 2-D surface from above: filled contours, the minimum, and the paths.

    The contours lie closer near the minimum: their distance from it in loss is a geometric
    series. Two orthonormal directions have one scale. Points where the loss is not finite are
    hatched. Radians are drawn in degrees, and paths are wrapped into the range of an axis with a
    period.

    Args:
        surface: A 2-D `keras_valleys.surfaces.Surface`.
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them, each drawn from
            a hollow to a filled mark, in the color of its optimizer.
        valleys: What `keras_valleys.valleys.find_valleys` found on the surface: the floors are
            numbered and the basins outlined, the lowest 60. `None` marks the lowest point.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The surface is not 2-D or has fewer than 2 points on an axis, the weights are
            not of its size, the valleys are another surface's, or the theme is unknown.

    Example:

    >>> x, y = np.linspace(-2, 3, 51), np.linspace(-1, 3, 41)
    >>> bowl = keras_valleys.surfaces.Surface(
    ...     (x[:, None] - 2) ** 2 + y**2, (x, y), np.eye(2), np.zeros(2)
    ... )
    >>> figure = keras_valleys.plots.contour(bowl)
    >>> [round(float(values[0]), 2) for values in figure.axes[0].lines[0].get_data()]
    [2.0, 0.0]
    """
    look = get_theme(theme)
    check_axes("contour", surface, 2, "Use `curve` for one axis.")
    if min(surface.losses.shape) < 2:
        raise refusal(
            "contour",
            "a surface of at least 2 points on each axis",
            f"losses of shape {surface.losses.shape}",
            "Evaluate it on more points.",
        )
    if valleys is not None:
        _check_valleys(valleys, surface)
        surface = dataclasses.replace(surface, periods=valleys.surface.periods)
    surface = closed(surface)
    trajectories = as_trajectories("contour", trajectories)
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    figure = new_figure(look, (7.5, 5.6 + 0.12 * max(0, len(paths) - 5)))
    axes = figure.add_subplot()
    contours, entries = draw_contour(axes, surface, look, mark=valleys is None)
    entries += [] if valleys is None else mark_valleys(axes, valleys, look)
    axes.set_aspect("equal" if is_isometric(surface) else "auto")
    if contours is not None:
        bar = add_colorbar(contours, axes, look, label=surface.loss_name.replace("_", " "))
        label_levels(bar, contours.levels[1::2])
    for path, style in zip(paths, path_styles(trajectories), strict=True):
        entries.append(_draw_path(axes, path, surface, style, look))
    add_legend(figure, look, entries, loc="outside upper center")
    cut = contours is not None and contours.extend == "max"
    clipped = f"one color above loss {contours.levels[-1]:.4g}" if cut else ""
    add_note(axes, look, [clipped, diverged_note(surface), *path_notes(paths)])
    add_caption(figure, look, captions(surface, paths, trajectories, with_losses=False))
    return figure


def _check_valleys(valleys, surface):
    check_kind("contour", "valleys", valleys=valleys)
    shape = valleys.labels.shape
    if shape != surface.losses.shape:
        raise refusal(
            "contour",
            "the `valleys` of its surface",
            f"valleys of one of shape {shape}",
            "Use `keras_valleys.valleys.find_valleys(surface)`.",
        )


def _draw_path(axes, path, surface, style, look):
    x, y = path.broken(path.points * scales_of(surface)).T
    color = style["color"]
    casing = [Stroke(linewidth=3.6, foreground=look.background), Normal()]
    line = dict(color=color, linestyle=style["linestyle"], linewidth=1.8, label=style["label"])
    axes.plot(x, y, **line, path_effects=casing, zorder=4)
    axes.plot(x, y, color=color, marker=".", markersize=6, linestyle="", zorder=4)  # the steps
    mark = dict(marker=style["marker"], linestyle="", markersize=9, markeredgewidth=1.6, zorder=5)
    axes.plot(x[:1], y[:1], markerfacecolor=look.background, markeredgecolor=color, **mark)
    axes.plot(x[-1:], y[-1:], markerfacecolor=color, markeredgecolor=look.background, **mark)
    return Line2D([], [], marker=style["marker"], markersize=7, **line)


def draw_contour(axes, surface, look, *, mark=True):
    """Draw a 2-D surface in gray, its minimum, and the cells where the loss is not finite.

    Returns:
        The contours, or `None` where no loss is finite, and the legend entries.
    """
    (x_scale, x_text), (y_scale, y_text) = (axis_of(surface, k) for k in (0, 1))
    x, y = surface.coordinates[0] * x_scale, surface.coordinates[1] * y_scale
    style_axes(axes, look, xlabel=x_text, ylabel=y_text)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    axes.xaxis.set_major_locator(locator_of(surface, 0))
    axes.yaxis.set_major_locator(locator_of(surface, 1))
    losses = np.ma.masked_invalid(surface.losses)
    entries = []
    if losses.mask.any():
        entries.append(_hatch(axes, look))
    if losses.count() == 0:
        return None, entries
    levels, extend = contour_levels(losses.compressed())
    norm = BoundaryNorm(levels, look.heights.N, extend=extend)
    contours = axes.contourf(
        x, y, losses.T, levels, cmap=look.heights, norm=norm, extend=extend, zorder=1
    )
    axes.contour(x, y, losses.T, levels, colors=look.background, linewidths=0.4, zorder=1)
    if not mark:
        return contours, entries
    i, j = np.unravel_index(np.ma.argmin(losses), losses.shape)
    (minimum,) = axes.plot(
        x[i],
        y[j],
        gid="minimum",
        linestyle="",
        marker="+",
        markersize=12,
        markeredgewidth=2,
        color=look.ink,
        zorder=6,
        clip_on=False,
        label=f"minimum {losses[i, j]:.3g}",
    )
    return contours, [minimum, *entries]


def mark_valleys(axes, valleys, look):
    """Draw the floors of valleys with their numbers, and thin lines where their basins meet.

    Returns:
        The legend entries.
    """
    surface = closed(valleys.surface)
    scales, labels = scales_of(surface), like_closed(valleys.labels, surface.losses.shape)
    x, y = (c * s for c, s in zip(surface.coordinates, scales, strict=True))
    shown = valleys[:MAX_VALLEYS]
    line = dict(colors=look.ink, linewidths=0.8, zorder=2)
    for valley in shown if len(valleys) > 1 else ():
        axes.contour(x, y, (labels == valley.index).T.astype(float), [0.5], **line)
    places, owners = repeats(shown, surface)
    places = places * scales
    for valley, (u, v) in zip(owners, places, strict=True):
        axes.annotate(
            str(valley.index),
            (u, v),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            color=look.ink,
            fontsize=9,
            fontweight="bold",
            zorder=6,
            annotation_clip=True,
            path_effects=[Stroke(linewidth=2.5, foreground=look.background), Normal()],
        )
    (floors,) = axes.plot(
        *places.T,
        gid="valleys",
        linestyle="",
        marker="o",
        markersize=5,
        zorder=6,
        clip_on=False,
        markerfacecolor=look.background,
        markeredgecolor=look.ink,
        markeredgewidth=1.3,
        label=f"{len(valleys)} valley{'s' * (len(valleys) != 1)}",
    )
    more = len(valleys) - len(shown)
    if more:
        floors.set_label(f"{len(shown)} of {len(valleys)} valleys")
    basins = Line2D([], [], color=look.ink, linewidth=0.8, label="basins")
    return [floors, basins] if len(valleys) > 1 else [floors]


def contour_levels(losses):
    """Levels in a geometric series above the lowest loss, and whether some lie above them all."""
    low, high = float(losses.min()), float(losses.max())
    if high <= low:
        return np.array([low, low + max(abs(low), 1.0) * 1e-6]), "neither"
    extend = "neither"
    usual = float(np.quantile(losses, 0.9))
    if high - low > 20 * (usual - low) > 0:  # a pole would take all the levels
        high, extend = usual, "max"
    return low + (high - low) * np.append(0, np.geomspace(0.01, 1, NUM_LEVELS)), extend


def _hatch(axes, look):
    """Hatch the ground; it shows where the contours leave a gap."""
    options = dict(facecolor=look.background, edgecolor=look.muted, hatch="////", linewidth=0)
    ground = Rectangle((0, 0), 1, 1, transform=axes.transAxes, zorder=0, gid="diverged", **options)
    axes.add_patch(ground)
    return Patch(label="diverged", **options)


def is_isometric(surface):
    """Whether lengths in the picture can be lengths in weight space.

    So it is along orthonormal directions in one unit.
    """
    gram = np.asarray(surface.directions, "float64")
    gram = gram @ gram.T
    spans = [axis[-1] - axis[0] for axis in surface.coordinates]
    fits = max(spans) <= 4 * min(spans)  # else equal scales would leave a sliver
    same = surface.units[0] == surface.units[1]
    return bool(np.allclose(gram, np.eye(2), atol=1e-4)) and fits and same
