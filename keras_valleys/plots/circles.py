"""The loss over an angle, wrapped round a circle."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from keras_valleys._checks import refusal
from keras_valleys.plots.paths import as_list, captions, check_axes, height_at, limits, path_of
from keras_valleys.plots.style import (
    add_caption,
    add_colorbar,
    add_legend,
    coordinate_text,
    get_theme,
    new_figure,
    path_styles,
)
from keras_valleys.valleys import find_valleys

FACETS = 360


def circle(surface, trajectories=(), *, theme="light"):
    """A 1-D surface over an angle as a ring: x = cos(phi), y = sin(phi), z = loss.

    A line at phi and at phi + pi is the same line: a surface of at most half a turn is drawn on
    both sides, so that the ring is whole. Near a vertical line the loss of a tangent shoots up;
    the ring is cut there, and the picture says where.

    Args:
        surface: A 1-D `keras_valleys.surfaces.Surface` over an angle in radians, labelled "phi".
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them. One is colored
            by step, several have the color of their optimizer.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The surface is not 1-D or not over "phi", the weights are not of its size, or
            the theme is unknown.

    Example:

    >>> phi = np.linspace(-1.5, 1.5, 301)
    >>> bowl = keras_valleys.surfaces.Surface(np.tan(phi) ** 2, [phi], [[1.0]], [0.0], ["phi"])
    >>> figure = keras_valleys.plots.circle(bowl)
    >>> figure.axes[0].name
    '3d'
    """
    look = get_theme(theme)
    check_axes("circle", surface, 1, "Use `contour` for two axes.")
    if surface.labels != ("phi",):
        raise refusal(
            "circle",
            "a surface over an angle in radians, labelled 'phi'",
            {"labels": surface.labels},
            "Use `curve` for other coordinates.",
        )
    trajectories = as_list(trajectories)
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    angles = [_angles(path, surface) for path in paths]
    low, top, notes = limits(surface, paths)
    view = (low - 0.3 * (top - low), top)
    axes = _stage(look, _azimuth(angles), view)
    draw_ring(axes, surface, look, view)
    _draw_scales(axes, surface, look, low)
    handles = []
    for path, phi, style in zip(paths, angles, path_styles(trajectories), strict=True):
        points = on_ring(phi, np.where(path.heights <= top, path.heights, np.nan))
        if len(paths) == 1:
            _color_by_step(axes, points, path.steps, look)
        else:
            handles.append(_draw_path(axes, points, style, look))
    if len(paths) > 1:
        add_legend(axes.figure, look, handles, loc="center right")
    text = "; ".join(filter(None, notes))
    axes.figure.text(0.98, 0.02, text, color=look.muted, fontsize=9, ha="right", va="bottom")
    caption = captions(paths, trajectories)
    if caption:  # below the ring's lowest label
        axes.figure.set_figheight(5.9)
        axes.set_position((0.0, 0.05, 0.88, 1.025))
    add_caption(axes.figure, look, caption)
    return axes.figure


def _angles(path, surface):
    """The angles of a path: on both sides of a ring that was drawn from one."""
    turns = path.turns[:, 0] if is_half(surface.coordinates[0]) else 0
    return path.points[:, 0] + turns * np.pi


def _azimuth(angles):
    """Where to look from, in degrees: the path in front, a little to the right."""
    phi = np.concatenate(angles) if angles else np.zeros(0)
    phi = phi[np.isfinite(phi)]
    middle = np.arctan2(np.sin(phi).mean(), np.cos(phi).mean()) if phi.size else np.pi / 6
    return np.degrees(middle) - 25


def _stage(look, azimuth, view):
    figure = new_figure(look, (8.0, 5.6))
    figure.set_layout_engine("none")  # it would leave room for the axes that are off
    axes = figure.add_axes((0.0, 0.0, 0.88, 1.08), projection="3d", computed_zorder=False)
    axes.set_axis_off()
    axes.set_facecolor(look.background)
    axes.view_init(elev=24, azim=azimuth)
    axes.set_proj_type("persp", focal_length=1.4)
    axes.set(xlim=(-1, 1), ylim=(-1, 1), zlim=view)
    axes.set_box_aspect((1, 1, 0.62), zoom=1.32)
    return axes


def _draw_scales(axes, surface, look, low):
    """The angles round the floor, and the losses on the back."""
    floor, top = axes.get_zlim()
    viewer = np.radians(axes.azim)
    turn = np.linspace(0, 2 * np.pi, 361)
    axes.plot(*on_ring(turn, floor).T, color=look.muted, linewidth=0.8, zorder=2)
    style = dict(fontsize=10, va="center", zorder=4)
    for phi in np.radians(range(-135, 181, 45)):
        reach = 1.15 if np.cos(phi - viewer) > -0.2 else 0.62  # the wall hides what is behind it
        place = np.array([reach, reach, 1]) * on_ring(phi, floor)
        axes.text(*place, coordinate_text(phi, "phi"), color=look.muted, ha="center", **style)
    back = viewer + np.linspace(0.5, 1.5, 91) * np.pi
    end = np.array([1.06, 1.06, 1])
    for tick in MaxNLocator(4).tick_values(low, top):
        if low <= tick <= top:
            ring = on_ring(back, tick)
            axes.plot(*ring.T, color=look.muted, linewidth=0.7, linestyle=":", zorder=1.5)
            axes.text(*ring[-1] * end, f"{tick:g}", color=look.ink, ha="right", **style)
    place = on_ring(back[-1], top + 0.1 * (top - floor)) * end
    name = surface.loss_name.replace("_", " ")
    axes.text(*place, name, color=look.ink, ha="right", parse_math=False, **style)


def _draw_path(axes, points, style, look):
    every = max(1, len(points) // 20)
    look_of_line = dict(style, linewidth=1.6, markersize=5)
    axes.plot(*points.T, **look_of_line, markevery=every, zorder=5)
    end = dict(style, label="", markersize=9, markeredgecolor=look.ink)
    axes.plot(*points[-1:].T, **end, zorder=6)
    return Line2D([], [], **look_of_line)


def _color_by_step(axes, points, steps, look):
    segments = np.stack([points[:-1], points[1:]], axis=1)
    drawn = np.all(np.isfinite(segments), axis=(1, 2))
    seen = np.all(np.isfinite(points), axis=1)
    span = steps[[0, -1]] if len(steps) else (0, 1)
    line = Line3DCollection(
        segments[drawn],
        array=steps[:-1][drawn],
        cmap=look.steps,
        clim=span,
        linewidths=1.8,
        zorder=5,
    )
    axes.add_collection3d(line, autolim=False)
    dots = axes.scatter(
        *points[seen].T,
        c=steps[seen],
        cmap=look.steps,
        vmin=span[0],
        vmax=span[1],
        s=30,
        linewidths=0,
        depthshade=False,
        zorder=6,
    )
    cax = axes.figure.add_axes((0.9, 0.28, 0.018, 0.46))
    add_colorbar(dots, axes, look, label="step", cax=cax)


def on_ring(phi, heights):
    """Points of shape `(..., 3)` on the ring."""
    return np.stack(np.broadcast_arrays(np.cos(phi), np.sin(phi), heights), axis=-1)


def _sides(surface):
    """The angles of the samples, once for each side of the ring."""
    (phi,) = surface.coordinates
    return [phi, phi + np.pi] if is_half(phi) else [phi]


def is_half(phi):
    """Whether the angles cover at most half a turn."""
    return phi[-1] - phi[0] <= np.pi * (1 + 1e-6)


def draw_ring(axes, surface, look, view):
    """Draw a surface over an angle between the floor and the top of `view`."""
    floor, top = view
    viewer = np.radians(axes.azim)
    heights = height_at(surface.coordinates[0], surface)
    crest = np.where(heights <= top, heights, np.nan)
    valleys = [valley for valley in find_valleys(surface) if valley.loss <= top]
    for turn, phi in enumerate(_sides(surface)):
        edges = np.linspace(phi[0], phi[-1], FACETS + 1)
        tops = np.minimum(np.interp(edges, phi, heights), top)
        _draw_wall(axes, edges, np.stack([np.full_like(tops, floor), tops]), look)
        for front in (False, True):
            z = np.where((np.cos(phi - viewer) > 0) == front, crest, np.nan)
            axes.plot(*on_ring(phi, z).T, color=look.muted, linewidth=2.6, zorder=4 if front else 2)
        for valley in valleys:
            angle = valley.position[0] + turn * np.pi
            axes.plot(
                *on_ring(angle, valley.loss)[:, None],
                gid="valleys",
                linestyle="",
                marker="o",
                markersize=5,
                markerfacecolor=look.background,
                markeredgecolor=look.ink,
                zorder=4 if np.cos(angle - viewer) > 0 else 2,
            )


def _draw_wall(axes, edges, ends, look):
    """The curtain under the curve: opaque and shaded behind, one sheet of glass in front."""
    viewer = np.radians(axes.azim)
    middles = (edges[1:] + edges[:-1]) / 2
    known = np.all(np.isfinite(ends[:, 1:] + ends[:, :-1]), axis=0)
    corners = on_ring(edges, ends)
    quads = np.concatenate([corners[:, :-1], corners[::-1, 1:]]).swapaxes(0, 1)
    back = known & (np.cos(middles - viewer) <= 0)
    shade = 0.65 + 0.35 * np.cos(middles[back] - viewer - 0.9)[:, None]
    colors = shade * to_rgb(look.fill) + (1 - shade) * to_rgb(look.surface)
    wall = Poly3DCollection(quads[back], facecolors=colors, antialiased=False, zorder=1)
    axes.add_collection3d(wall, autolim=False)
    front = np.flatnonzero(known & (np.cos(middles - viewer) > 0))
    runs = np.split(front, np.flatnonzero(np.diff(front) > 1) + 1) if front.size else []
    sheets = [
        np.concatenate([corners[0, run[0] : run[-1] + 2], corners[1, run[0] : run[-1] + 2][::-1]])
        for run in runs
    ]
    glass = Poly3DCollection(sheets, facecolors=look.surface, alpha=0.28, linewidth=0, zorder=3)
    axes.add_collection3d(glass, autolim=False)
