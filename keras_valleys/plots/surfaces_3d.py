"""A surface of two axes in space, with paths on it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from keras_valleys._checks import as_list, is_finite, refusal
from keras_valleys.plots.contours import is_isometric, labelled, lowest_of
from keras_valleys.plots.paths import (
    captions,
    check_axes,
    height_on,
    limits,
    loss_label,
    path_of,
    repeats,
    valleys_of,
)
from keras_valleys.plots.scales import (
    Logarithm,
    check_scale,
    contour_levels,
    shows_walls_only,
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
    with_colors,
)
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectories, as_trajectories
from keras_valleys.valleys import Valleys, closed, count_text

NUM_DROPS = 60  # lines from a path to the surface
MAX_CELLS = 120  # along each axis: more cannot be told apart, and cost time
RAY_STEPS = 160
MAX_VALLEYS = 60
FINEST = 1e-6  # decades: what limits must be apart to be told apart on a logarithmic scale


def surface_3d(
    surface: Surface,
    trajectories: Trajectories = (),
    *,
    theme: str = "light",
    scale: str = "auto",
    view: tuple[float, float] = (38.0, -60.0),
    valleys: Valleys | None = None,
    persistence: float | None = None,
    levels: int | Sequence[float] | None = None,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    cmap: str | Colormap | None = None,
) -> Figure:
    """A 2-D surface as a landscape in space, with the paths at the losses that they have.

    These are recorded, or true after `keras_valleys.trajectories.measured`; the color bar says
    which. Recorded losses are of single batches in training mode, and may lie far from the surface
    for that reason alone. A path leaves the plane and then has another loss than the surface below
    or above it: thin lines lead from it to the surface. What the surface hides of a path is pale.
    Losses that are not finite leave holes, and a pole is cut; the picture says so. Two orthonormal
    directions have one scale.

    Args:
        surface: A 2-D `keras_valleys.surfaces.Surface`.
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them, each drawn from
            a hollow to a filled mark, in the color of its optimizer. Where its loss is not known
            it lies on the surface.
        theme: "light" or "dark".
        scale: "linear", or "log" for the logarithm of the loss; where losses are not positive, or
            the lowest is far above 0, of the height above the lowest. "auto" is linear, unless most
            of the surface would then lie flat beneath 1 % of its height.
        view: Where to look from, in degrees: height over the plane, and turn around it.
        valleys: What `keras_valleys.valleys.find_valleys` found on the surface: their floors are
            numbered. `None` marks the lowest point.
        persistence: As for `find_valleys`, where `valleys` is `None`: they are then found and
            drawn.
        levels: How many colors, from 2 to 200, or the losses at which one ends and another begins.
            `None` blends them.
        limits: The lowest and the highest loss to show; `None` shows all but poles.
        title: Heading of the picture; `None` is none.
        cmap: A colormap of Matplotlib, or its name; `None` is gray, in which paths stand out.

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
    >>> figure = keras_valleys.plots.surface_3d(bowl)
    >>> figure.axes[0].name
    '3d'
    """
    look = with_colors(get_theme(theme), cmap)
    levels, view_limits = check_scale("surface_3d", scale, levels, limits)
    check_axes("surface_3d", surface, 2, "Use `curve` for one axis.")
    _check_grid(surface)
    if valleys is not None or persistence is not None:
        valleys = valleys_of("surface_3d", surface, valleys, persistence)
    surface = closed(surface) if valleys is None else valleys.surface
    trajectories = as_trajectories("surface_3d", trajectories)
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    measured, log = surface, _logarithm_of(surface, paths, scale, view_limits)
    if log is not None:
        surface, paths = _on_scale(surface, paths, log)
    ends = None if view_limits is None else (log or np.asarray)(view_limits)
    low, top, notes = shown_limits(surface, paths, ends)
    norm = _norm_of(measured, (low, top), look, levels, log)
    axes = _stage(surface, look, view, (low, top), len(paths))
    if ends is not None:
        axes.set_zlim(low, top)
    entries = _draw_surface(axes, surface, look, (low, top), norm, mark=valleys is None)
    lowest = np.ma.masked_invalid(measured.losses).min()
    for entry in entries:
        entry.set_label(f"{entry.get_label()} {lowest:.3g}")
    entries += [] if valleys is None else _mark_valleys(axes, valleys, look, log, (low, top))
    handles = [
        _draw_path(axes, path, style, surface, look)
        for path, style in zip(paths, path_styles(trajectories), strict=True)
    ]
    if np.isfinite(measured.losses).any():
        name = loss_label(surface, trajectories)
        _add_bar(axes, norm, look, label=name, log=log)
    if log is not None:
        notes[0] = notes[0] and f"cut at loss {log.loss(top):.4g}"
        axes.zaxis.set_major_formatter(_loss_at(log))
    places = {"loc": "outside upper center", "title": title}
    add_legend(axes.figure, look, [*entries, *handles], **places)
    for artist in (*axes.lines, *axes.collections):
        artist.set_in_layout(False)  # the layout takes their places in space for pixels
    add_note(axes, look, notes)
    add_caption(axes.figure, look, captions(surface, paths, trajectories, valleys=valleys))
    return axes.figure


def shown_limits(surface, paths, ends):
    """As `limits`, where a user may have said what to show."""
    if ends is None:
        return limits(surface, paths)
    low, top = map(float, ends)
    finite = surface.losses[np.isfinite(surface.losses)]
    notes = limits(surface, paths)[2]
    notes[0] = f"cut at loss {top:.4g}" if np.any(finite > top) else ""
    return low, top, notes


def _loss_at(log):
    return lambda place, _: f"{float(log.loss(place)):.3g}"


def _norm_of(surface, ends, look, levels, log):
    """How heights become colors: blended, or in steps."""
    finite = surface.losses[np.isfinite(surface.losses)]
    if levels is None or not finite.size:
        return Normalize(*ends)
    shown = ends if log is None else tuple(map(float, log.loss(ends)))
    spread = {"levels": levels, "scale": "linear" if log is None else "log", "limits": shown}
    steps, extend = contour_levels(finite, **spread)
    places = np.unique(steps if log is None else log(steps))  # far below what is shown they are one
    if len(places) < 2:
        return Normalize(*ends)
    return BoundaryNorm(places, look.heights.N, extend=extend)


def _add_bar(axes, norm, look, *, label, log):
    bar = add_colorbar(
        ScalarMappable(norm, look.heights),
        axes,
        look,
        label=label if log is None else f"{label}, log scale",
        shrink=0.7,
    )
    if isinstance(norm, BoundaryNorm):
        places = np.array(labelled(norm.boundaries))
        label_levels(bar, places if log is None else log.loss(places), places)
        return
    bar.ax.yaxis.set_major_locator(MaxNLocator(6))
    if log is not None:
        bar.ax.yaxis.set_major_formatter(_loss_at(log))


def _check_grid(surface):
    if min(surface.losses.shape) < 2:
        raise refusal(
            "surface_3d",
            "a surface of at least 2 points on each axis",
            f"losses of shape {surface.losses.shape}",
            "Evaluate it on more points.",
        )


def _logarithm_of(surface, paths, scale, view_limits):
    """The logarithmic scale of a picture, or `None` where it is linear."""
    finite = surface.losses[np.isfinite(surface.losses)]
    if not finite.size or scale == "linear":
        return None
    ends = limits(surface, paths)[:2] if view_limits is None else view_limits
    if scale == "auto" and not shows_walls_only(finite, ends[1]):
        return None
    log = Logarithm.of(finite)
    return log if np.ptp(log(ends)) > FINEST else None


def _on_scale(surface, paths, log):
    """The same with the places of the losses on a logarithmic scale."""
    with np.errstate(invalid="ignore"):
        paths = [dataclasses.replace(path, heights=log(path.heights)) for path in paths]
        return dataclasses.replace(surface, losses=log(surface.losses)), paths


def _mark_valleys(axes, valleys, look, log, ends):
    """The floors in space, with their numbers; their legend entries."""
    scales, (low, top) = scales_of(valleys.surface), ends
    entries = []
    for on_border, marker, gid in ((False, "o", "valleys"), (True, "s", "border")):
        kind = [valley for valley in valleys if valley.on_border == on_border]
        mark: dict[str, Any] = dict(linestyle="", marker=marker, markersize=6)
        mark.update(markeredgewidth=1.5, markerfacecolor=look.background, markeredgecolor=look.ink)
        if kind:
            label = count_text(kind)
            entries.append(Line2D([], [], **mark, label=label))
        places, owners = repeats(kind[:MAX_VALLEYS], valleys.surface)
        for valley, place in zip(owners, places * scales, strict=True):
            height = valley.loss if log is None else float(log(valley.loss))
            if not low <= height <= top + 1e-6 * abs(top):
                continue
            axes.plot(*place[:, None], [height], gid=gid, zorder=6, clip_on=False, **mark)
            number = str(valley.index)
            text = dict(color=look.ink, fontsize=9, fontweight="bold", ha="center", va="bottom")
            axes.text(*place, height + 0.03 * (top - low), number, zorder=7, **text)
    return entries


def _stage(surface, look, view, heights, num_paths):
    figure = new_figure(look, (8.0, 6.4 + 0.1 * max(0, num_paths - 5)))
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    style_axes(axes, look, size=10)
    angles = as_list(view)
    if len(angles) != 2 or not all(map(is_finite, angles)):
        raise refusal(
            "surface_3d",
            "`view` to be two numbers, the height and the turn in degrees",
            {"view": view},
            "Use view=(38.0, -60.0).",
        )
    axes.view_init(*angles)
    axes.set_proj_type("ortho")  # so that what is hidden does not depend on the place
    spans = []
    for k, name in enumerate("xy"):
        scale, text = axis_of(surface, k)
        ends = surface.coordinates[k][[0, -1]] * scale
        spans.append(ends[1] - ends[0])
        getattr(axes, f"set_{name}lim")(*ends)
        getattr(axes, f"set_{name}label")(text, color=look.ink, fontsize=10, parse_math=False)
        getattr(axes, f"{name}axis").set_major_locator(locator_of(surface, k))
    low, top = heights
    axes.set_zlim(low - 0.05 * (top - low), top)
    axes.zaxis.set_major_locator(MaxNLocator(5))
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color(look.background)
        axis.line.set_color(look.muted)
    sides = np.array(spans) / max(spans) if is_isometric(surface) else np.array([1.0, 0.85])
    axes.set_box_aspect((*sides, 0.55), zoom=1.18)
    return axes


def _draw_surface(axes, surface, look, ends, norm, *, mark):
    """The mesh and its lowest point; the legend entry of that, none where no loss is finite."""
    x, y = (
        axis * scale for axis, scale in zip(surface.coordinates, scales_of(surface), strict=True)
    )
    losses = np.where(np.isfinite(surface.losses), surface.losses, np.nan).astype("float64")
    if np.isnan(losses).all():
        return []
    low, top = ends
    rows, columns = thin_grid(surface)
    cut = np.clip(losses, low, top)
    corners = np.broadcast_arrays(x[rows, None], y[columns], cut[np.ix_(rows, columns)])
    draw_mesh(axes, np.stack(corners, axis=-1), norm, look)
    if not mark:
        return []
    (i, j), name, style = lowest_of(surface, look)
    style["markersize"] = 11 if name == "minimum" else 8
    if low <= losses[i, j] <= top:
        axes.plot(x[i], y[j], losses[i, j], zorder=6, clip_on=False, **style)
    style.pop("gid")
    return [Line2D([], [], label=name, **style)]


def _draw_path(axes, path, style, surface, look):
    scales = scales_of(surface)
    top = axes.get_zlim()[1]
    heights = np.where(path.heights <= top + 1e-6 * abs(top), path.heights, np.nan)
    points = np.column_stack([path.points, heights])
    hidden = is_hidden(points, surface, _to_viewer(axes) / [*scales, 1], top)
    points[:, :2] *= scales
    ground = np.minimum(height_on(path.points, surface), top)
    _drop(axes, points, ground, style["color"])
    line = dict(color=style["color"], linestyle=style["linestyle"], clip_on=False)
    seen = np.where(hidden[:, None], np.nan, points)
    axes.plot(*path.broken(points).T, **line, linewidth=1.2, alpha=0.4, zorder=4)
    axes.plot(*path.broken(seen).T, **line, linewidth=2.2, zorder=4.5, label=style["label"])
    mark = dict(marker=style["marker"], linestyle="", markersize=8, markeredgewidth=1.5)
    mark.update(zorder=5, clip_on=False)
    color = style["color"]
    mark_start = dict(markerfacecolor=look.background, markeredgecolor=color)
    mark_end = dict(markerfacecolor=color, markeredgecolor=look.background)
    axes.plot(*points[:1].T, **mark, **mark_start)
    axes.plot(*points[-1:].T, **mark, **mark_end)
    return Line2D([], [], **line, linewidth=2.2, marker=style["marker"], label=style["label"])


def _to_viewer(axes):
    """The way to the viewer across the whole picture, in the units of the axes."""
    height, turn = np.radians(axes.elev), np.radians(axes.azim)
    way = [np.cos(height) * np.cos(turn), np.cos(height) * np.sin(turn), np.sin(height)]
    spans = np.ptp([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()], axis=1)
    sides = np.array(axes.get_box_aspect())
    return 2 * np.array(way) * spans * sides.max() / sides


def _drop(axes, points, ground, color):
    """Thin lines from a path to the surface, where it leaves it."""
    away = np.abs(points[:, 2] - ground) > 0.01 * np.ptp(axes.get_zlim())
    rows = np.flatnonzero(away)
    rows = (
        rows[np.unique(np.linspace(0, len(rows) - 1, NUM_DROPS).astype(int))] if len(rows) else rows
    )
    feet = np.column_stack([points[rows, :2], ground[rows]])
    lines = Line3DCollection(
        np.stack([points[rows], feet], axis=1),
        colors=color,
        linewidths=0.7,
        alpha=0.55,
        zorder=3,
        gid="drops",
        clip_on=False,
    )
    axes.add_collection3d(lines, autolim=False)


def draw_mesh(axes, corners, norm, look):
    """Draw shaded cells between corners `(n, m, 3)`, without those of a corner that is NaN."""
    cells = np.stack([corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:]], 2)
    cells = cells.reshape(-1, 4, 3)
    cells = cells[np.all(np.isfinite(cells), axis=(1, 2))]
    if not len(cells):
        return
    size = np.ptp([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()], axis=1)
    size /= axes.get_box_aspect()
    normal = np.cross((cells[:, 2] - cells[:, 0]) / size, (cells[:, 3] - cells[:, 1]) / size)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    light = np.array([-0.45, -0.35, 0.82])
    shade = 0.55 + 0.45 * np.clip(np.abs(normal @ light), 0, 1)[:, None]
    colors = look.heights(norm(cells[:, :, 2].mean(axis=1)))[:, :3]
    mesh = Poly3DCollection(cells, facecolors=shade * colors, zorder=1, gid="mesh")
    mesh.set(edgecolor=(*to_rgb(look.muted), 0.35), linewidth=0.25, clip_on=False)
    axes.add_collection3d(mesh, autolim=False)


def thin_grid(surface):
    """Row and column numbers of at most `MAX_CELLS` cells per axis, both ends included."""
    return [
        np.unique(np.linspace(0, len(axis) - 1, min(len(axis), MAX_CELLS + 1)).round().astype(int))
        for axis in surface.coordinates
    ]


def is_hidden(points, surface, direction, top):
    """Which points `(n, 3)` a viewer far off in a direction does not see behind the surface.

    Args:
        points: In units of the coordinates and the loss.
        surface: A 2-D surface.
        direction: The way to the viewer, in the same units; its longest part crosses the picture.
        top: Where the surface is cut.
    """
    hidden = np.zeros(len(points), bool)
    for share in np.linspace(0, 1, RAY_STEPS + 1)[1:]:
        ray = points + share * direction
        heights = np.minimum(height_on(ray[:, :2], surface), top)
        hidden |= heights > ray[:, 2] + 1e-3 * abs(direction[2])
    return hidden
