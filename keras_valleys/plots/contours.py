"""Contours: a surface of two axes seen from above, with valleys and paths."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import BoundaryNorm, Colormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke

from keras_valleys._checks import refusal
from keras_valleys._results import counted
from keras_valleys.plots.paths import (
    captions,
    check_axes,
    diverged_note,
    path_notes,
    path_of,
    repeats,
    valleys_of,
)
from keras_valleys.plots.scales import check_scale, contour_levels
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
    with_colors,
)
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectories, as_trajectories
from keras_valleys.valleys import BORDER, Valleys, axes_of, closed, closed_valleys, find_valleys

MAX_VALLEYS = 60


def contour(
    surface: Surface,
    trajectories: Trajectories = (),
    *,
    valleys: Valleys | None = None,
    persistence: float | None = None,
    levels: int | Sequence[float] | None = None,
    scale: str = "auto",
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    cmap: str | Colormap | None = None,
    theme: str = "light",
) -> Figure:
    """A 2-D surface from above: filled contours, the minimum, and the paths.

    The contours lie closer near the minimum: their distance from it in loss is a geometric
    series. A lowest point on the border is no minimum, and has another mark and name. Two
    orthonormal directions have one scale. Points where the loss is not finite are hatched. Radians
    are drawn in degrees, and paths are wrapped into the range of an axis with a period.

    Args:
        surface: A 2-D `keras_valleys.surfaces.Surface`.
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them, each drawn from
            a hollow to a filled mark, in the color of its optimizer.
        valleys: What `keras_valleys.valleys.find_valleys` found on the surface: the floors are
            numbered and the basins outlined, the lowest 60. `None` marks the lowest point.
        persistence: As for `find_valleys`, where `valleys` is `None`: they are then found and
            drawn.
        levels: How many colors, from 2 to 200, or the losses at which one ends and another begins.
            `None` is 14.
        scale: How that many levels are spread over the losses: "linear", or "log" for the
            logarithm of the height above the lowest loss, which may be negative or 0. "auto" has
            two decades of heights, and as many as it takes where more than 15 % of the surface
            would be beneath the first level.
        limits: The lowest and the highest loss to tell apart; `None` shows all but poles.
        title: Heading of the picture; `None` is none.
        cmap: A colormap of Matplotlib, or its name; `None` is gray, in which paths stand out.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The surface is not 2-D or has fewer than 2 points on an axis, the weights are
            not of its size, the valleys are another surface's, `persistence` is negative or given
            with `valleys`, `levels` do not rise, `limits` are none or given with levels that are
            losses, or the scale, the colormap or the theme is unknown.

    Example:

    >>> x, y = np.linspace(-2, 3, 51), np.linspace(-1, 3, 41)
    >>> bowl = keras_valleys.surfaces.Surface(
    ...     (x[:, None] - 2) ** 2 + y**2, (x, y), np.eye(2), np.zeros(2)
    ... )
    >>> figure = keras_valleys.plots.contour(bowl)
    >>> [round(float(values[0]), 2) for values in figure.axes[0].lines[0].get_data()]
    [2.0, 0.0]
    """
    look = with_colors(get_theme(theme), cmap)
    levels, limits = check_scale("contour", scale, levels, limits)
    check_axes("contour", surface, 2, "Use `curve` for one axis.")
    if min(surface.losses.shape) < 2:
        raise refusal(
            "contour",
            "a surface of at least 2 points on each axis",
            f"losses of shape {surface.losses.shape}",
            "Evaluate it on more points.",
        )
    if valleys is not None or persistence is not None:
        valleys = valleys_of("contour", surface, valleys, persistence)
    surface = closed(surface) if valleys is None else valleys.surface
    trajectories = as_trajectories("contour", trajectories)
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    figure = new_figure(look, (7.5, 5.6 + 0.12 * max(0, len(paths) - 5)))
    axes = figure.add_subplot()
    spread = {"levels": levels, "scale": scale, "limits": limits}
    contours, entries = draw_contour(axes, surface, look, mark=valleys is None, **spread)
    entries += [] if valleys is None else mark_valleys(axes, valleys, look)
    axes.set_aspect("equal" if is_isometric(surface) else "auto")
    if contours is not None:
        bar = add_colorbar(contours, axes, look, label=surface.loss_name.replace("_", " "))
        label_levels(bar, labelled(contours.levels))
    for path, style in zip(paths, path_styles(trajectories), strict=True):
        entries.append(draw_path(axes, path, surface, style, look))
    add_legend(figure, look, entries, loc="outside upper center", title=title)
    clipped = [] if contours is None else _beyond(contours)
    add_note(axes, look, [*clipped, diverged_note(surface), *path_notes(paths)])
    words = captions(surface, paths, trajectories, valleys=valleys, with_losses=False)
    add_caption(figure, look, words)
    return figure


def _beyond(contours):
    """What of the losses is not told apart, in words."""
    extend, levels = contours.extend, contours.levels
    above = f"one color above loss {levels[-1]:.4g}" if extend in ("max", "both") else ""
    below = f"one color below loss {levels[0]:.4g}" if extend in ("min", "both") else ""
    return [above, below]


def labelled(levels):
    """The levels that are labelled on a color bar."""
    return levels if len(levels) <= 8 else levels[1 :: max(2, len(levels) // 7)]


def draw_path(axes, path, surface, style, look):
    """Draw a `Path` from above, from a hollow to a filled mark, and return its legend entry."""
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


def draw_contour(axes, surface, look, *, mark=True, known=None, **spread):
    """Draw a 2-D surface, its minimum, and the cells where the loss is not finite.

    Args:
        axes: Matplotlib axes.
        surface: A closed 2-D surface.
        look: The `Theme`.
        mark: Whether to mark the lowest point.
        known: The levels and what `contourf` calls `extend`, where several surfaces share them.
        **spread: As for `contour_levels`.

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
    levels, extend = known or contour_levels(losses.compressed(), **spread)
    norm = BoundaryNorm(levels, look.heights.N, extend=extend)
    contours = axes.contourf(
        x, y, losses.T, levels, cmap=look.heights, norm=norm, extend=extend, zorder=1
    )
    if np.any((levels > losses.min()) & (levels < losses.max())):
        axes.contour(x, y, losses.T, levels, colors=look.background, linewidths=0.4, zorder=1)
    if not mark:
        return contours, entries
    (i, j), name, style = lowest_of(surface, look)
    label = f"{name} {losses[i, j]:.3g}"
    (lowest,) = axes.plot(x[i], y[j], **style, zorder=6, clip_on=False, label=label)
    return contours, [lowest, *entries]


def lowest_of(surface, look):
    """The lowest sample of a 2-D surface: its indices, what it is called, and its mark.

    On the border it is no minimum, and has another mark.
    """
    losses = np.where(np.isfinite(surface.losses), surface.losses, np.inf)
    place = np.unravel_index(np.argmin(losses), losses.shape)
    sides = zip(place, losses.shape, axes_of(surface), strict=True)
    on_border = any(i in (0, size - 1) and not axis.joined for i, size, axis in sides)
    if not on_border and np.sum(losses == losses[place]) > 1:  # a plateau that may reach it
        on_border = find_valleys(surface)[0].on_border
    style = {"gid": "minimum", "marker": "+", "markersize": 12, "markeredgewidth": 2}
    if on_border:
        style = {"gid": "border", "marker": "s", "markersize": 9, "markeredgewidth": 1.6}
        style["markerfacecolor"] = "none"
    style.update(linestyle="", color=look.ink)
    return place, BORDER if on_border else "minimum", style


def mark_valleys(axes, valleys, look):
    """Draw the floors of valleys with their numbers, and thin lines where their basins meet.

    Returns:
        The legend entries.
    """
    valleys = closed_valleys(valleys)
    surface, labels = valleys.surface, valleys.labels
    scales = scales_of(surface)
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
    entries = []
    for on_border, marker, gid in ((False, "o", "valleys"), (True, "s", "border")):
        own = [place for v, place in zip(owners, places, strict=True) if v.on_border == on_border]
        number = sum(valley.on_border == on_border for valley in valleys)
        if not number and (on_border or len(valleys)):
            continue
        (floors,) = axes.plot(
            *np.reshape(own, (-1, 2)).T,
            gid=gid,
            linestyle="",
            marker=marker,
            markersize=5,
            zorder=6,
            clip_on=False,
            markerfacecolor=look.background,
            markeredgecolor=look.ink,
            markeredgewidth=1.3,
            label=_number_text(number, sum(v.on_border == on_border for v in shown), on_border),
        )
        entries.append(floors)
    basins = Line2D([], [], color=look.ink, linewidth=0.8, label="basins")
    return [*entries, basins] if len(valleys) > 1 else entries


def _number_text(number, shown, on_border):
    """How many floors, or lowest points of the border, are marked."""
    few = f"{shown} of " * (shown < number)
    if on_border:
        return f"{few}{number:,} {BORDER}" if number > 1 else BORDER
    return f"{few}{counted(number, 'valley')}"


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
