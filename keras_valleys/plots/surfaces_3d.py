"""A surface of two axes in space, with paths on it."""

import dataclasses

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from keras_valleys._checks import as_list, is_finite, refusal
from keras_valleys.plots.contours import is_isometric
from keras_valleys.plots.paths import (
    captions,
    check_axes,
    height_on,
    limits,
    loss_label,
    path_of,
)
from keras_valleys.plots.style import (
    add_caption,
    add_colorbar,
    add_legend,
    add_note,
    axis_of,
    get_theme,
    locator_of,
    new_figure,
    path_styles,
    scales_of,
    style_axes,
)
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectories, as_trajectories
from keras_valleys.valleys import closed

NUM_DROPS = 60  # lines from a path to the surface
MAX_CELLS = 120  # along each axis: more cannot be told apart, and cost time
RAY_STEPS = 160


def surface_3d(
    surface: Surface,
    trajectories: Trajectories = (),
    *,
    theme: str = "light",
    scale: str = "linear",
    view: tuple[float, float] = (38.0, -60.0),
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
        scale: "linear", or "log" for the logarithm of the loss.
        view: Where to look from, in degrees: height over the plane, and turn around it.

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The surface is not 2-D or has fewer than 2 points on an axis, it has losses
            that are not positive with scale="log", the weights are not of its size, or the theme
            or the scale is unknown.

    Example:

    >>> x, y = np.linspace(-2, 3, 51), np.linspace(-1, 3, 41)
    >>> bowl = keras_valleys.surfaces.Surface(
    ...     (x[:, None] - 2) ** 2 + y**2, (x, y), np.eye(2), np.zeros(2)
    ... )
    >>> figure = keras_valleys.plots.surface_3d(bowl)
    >>> figure.axes[0].name
    '3d'
    """
    look = get_theme(theme)
    check_axes("surface_3d", surface, 2, "Use `curve` for one axis.")
    _check_scale(surface, scale)
    surface = closed(surface)
    trajectories = as_trajectories("surface_3d", trajectories)
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    measured = surface
    if scale == "log":
        surface, paths = _logarithm(surface, paths)
    low, top, notes = limits(surface, paths)
    axes = _stage(surface, look, view, (low, top), len(paths))
    minimum = _draw_surface(axes, surface, look, top)
    lowest = np.ma.masked_invalid(measured.losses).min()
    handles = [
        _draw_path(axes, path, style, surface, look)
        for path, style in zip(paths, path_styles(trajectories), strict=True)
    ]
    if minimum is not None:
        minimum.set_label(f"minimum {lowest:.3g}")
        handles.insert(0, minimum)
        name = loss_label(surface, trajectories)
        _add_bar(axes, (low, top), look, label=name, scale=scale)
    if scale == "log":
        notes[0] = notes[0] and f"cut at loss {10**top:.4g}"
        axes.zaxis.set_major_formatter(_power_of_ten)
    add_legend(axes.figure, look, handles, loc="outside upper center")
    for artist in (*axes.lines, *axes.collections):
        artist.set_in_layout(False)  # the layout takes their places in space for pixels
    add_note(axes, look, notes)
    add_caption(axes.figure, look, captions(surface, paths, trajectories))
    return axes.figure


def _power_of_ten(value, _):
    return f"{10**value:.3g}"


def _add_bar(axes, ends, look, *, label, scale):
    bar = add_colorbar(
        ScalarMappable(Normalize(*ends), look.heights),
        axes,
        look,
        label=f"{label}, log scale" if scale == "log" else label,
        shrink=0.7,
    )
    bar.ax.yaxis.set_major_locator(MaxNLocator(6))
    if scale == "log":
        bar.ax.yaxis.set_major_formatter(_power_of_ten)


def _check_scale(surface, scale):
    if scale not in ("linear", "log"):
        raise refusal(
            "surface_3d",
            "`scale` to be 'linear' or 'log'",
            {"scale": scale},
            "Use scale='linear'.",
        )
    if min(surface.losses.shape) < 2:
        raise refusal(
            "surface_3d",
            "a surface of at least 2 points on each axis",
            f"losses of shape {surface.losses.shape}",
            "Evaluate it on more points.",
        )
    finite = surface.losses[np.isfinite(surface.losses)]
    if scale == "log" and finite.size and finite.min() <= 0:
        raise refusal(
            "surface_3d",
            "positive losses with scale='log'",
            f"a loss of {finite.min():.3g}",
            "Use scale='linear'.",
        )


def _logarithm(surface, paths):
    """The same with the decadic logarithms of the losses."""
    with np.errstate(divide="ignore", invalid="ignore"):
        losses = np.log10(surface.losses.astype("float64"))
        paths = [dataclasses.replace(path, heights=np.log10(path.heights)) for path in paths]
    return dataclasses.replace(surface, losses=losses), paths


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


def _draw_surface(axes, surface, look, top):
    """The mesh and its minimum; the minimum's legend entry, `None` where no loss is finite."""
    x, y = (
        axis * scale for axis, scale in zip(surface.coordinates, scales_of(surface), strict=True)
    )
    losses = np.where(np.isfinite(surface.losses), surface.losses, np.nan).astype("float64")
    if np.isnan(losses).all():
        return None
    rows, columns = thin_grid(surface)
    cut = np.minimum(losses, top)
    corners = np.broadcast_arrays(x[rows, None], y[columns], cut[np.ix_(rows, columns)])
    draw_mesh(axes, np.stack(corners, axis=-1), Normalize(np.nanmin(cut), top), look)
    i, j = np.unravel_index(np.nanargmin(losses), losses.shape)
    mark = dict(linestyle="", marker="+", markersize=11, markeredgewidth=2, color=look.ink)
    axes.plot(x[i], y[j], losses[i, j], gid="minimum", zorder=6, clip_on=False, **mark)
    return Line2D([], [], **mark)


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
