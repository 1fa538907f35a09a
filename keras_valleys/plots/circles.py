"""The loss over an angle, or another periodic coordinate, wrapped round a circle."""

import dataclasses

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from keras_valleys._checks import refusal
from keras_valleys.plots.paths import (
    captions,
    check_axes,
    limits,
    path_of,
    valleys_of,
)
from keras_valleys.plots.style import (
    add_caption,
    add_colorbar,
    add_legend,
    get_theme,
    new_figure,
    path_styles,
    place_text,
)
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectories, as_trajectories, kinds_of
from keras_valleys.valleys import Valleys, axes_of

FACETS = 360
MAX_SIDES = 12


def circle(
    surface: Surface,
    trajectories: Trajectories = (),
    *,
    valleys: Valleys | None = None,
    persistence: float | None = None,
    theme: str = "light",
) -> Figure:
    """A 1-D surface over an angle phi as a ring: x = cos(phi), y = sin(phi), z = loss.

    The loss of a line at phi and at phi + pi is the same: a surface with the period pi is drawn on
    both sides, so that the ring is whole, and so is one whose period is another part of a turn,
    up to a twelfth. With another period, or in other units, one period goes once round. Near a
    vertical line the loss of a tangent shoots up; the ring is cut there, and the picture says
    where.

    Args:
        surface: A 1-D `keras_valleys.surfaces.Surface` with a period. Of more than one the first
            is drawn.
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them. One is colored
            by step, several have the color of their optimizer.
        valleys: What `keras_valleys.valleys.find_valleys` found on the surface, such as with an
            objective; `None` finds them.
        persistence: As for `find_valleys`, where `valleys` is `None`.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The surface is not 1-D or has no period, the weights are not of its size,
            `persistence` is negative or given with `valleys`, these are another surface's, or the
            theme is unknown.

    Example:

    >>> phi = np.linspace(-1.5, 1.5, 301)
    >>> bowl = keras_valleys.surfaces.Surface(
    ...     np.tan(phi) ** 2, [phi], [[1.0]], [0.0], ["phi"], periods=np.pi, units="rad"
    ... )
    >>> figure = keras_valleys.plots.circle(bowl)
    >>> figure.axes[0].name
    '3d'
    """
    look = get_theme(theme)
    check_axes("circle", surface, 1, "Use `contour` for two axes.")
    valleys = valleys_of("circle", surface, valleys, persistence)
    surface = valleys.surface
    ring = Ring.of(surface)
    trajectories = as_trajectories("circle", trajectories)
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    angles = [ring.angle(path.points[:, 0], path.turns[:, 0]) for path in paths]
    low, top, notes = limits(surface, paths, valleys=valleys)
    view = (low - 0.3 * (top - low), top)
    axes = _stage(look, _azimuth(angles), view)
    draw_ring(axes, ring, valleys, look, view=view)
    _draw_scales(axes, ring, surface, look, low)
    handles = []
    for path, phi, style in zip(paths, angles, path_styles(trajectories), strict=True):
        points = on_ring(phi, np.where(path.heights <= top, path.heights, np.nan))
        if len(paths) == 1:
            _color_by_step(axes, points, path, look)
        else:
            broken = np.insert(points, np.flatnonzero(path.unled) + 1, np.nan, axis=0)
            handles.append(_draw_path(axes, broken, style, look))
    if len(paths) > 1:
        add_legend(axes.figure, look, handles, loc="center right")
    kind = f"loss of the path{'s' * (len(paths) > 1)}: {kinds_of(trajectories)}" if paths else ""
    text = "; ".join(filter(None, [kind, *notes]))
    axes.figure.text(0.98, 0.02, text, color=look.muted, fontsize=9, ha="right", va="bottom")
    caption = captions(surface, paths, trajectories, valleys=valleys)
    if caption:  # below the ring's lowest label
        axes.figure.set_figheight(5.9)
        axes.set_position((0.0, 0.05, 0.88, 1.025))
    add_caption(axes.figure, look, caption)
    return axes.figure


@dataclasses.dataclass(frozen=True, eq=False)
class Ring:
    """How a coordinate goes round the circle.

    Attributes:
        coordinates: Array of shape `(n,)`: those of the samples, of one period.
        losses: The losses there, of the same shape.
        period: The period.
        scale: Angle for each unit of the coordinate.
        sides: How many periods go round.
    """

    coordinates: np.ndarray
    losses: np.ndarray
    period: float
    scale: float
    sides: int

    @classmethod
    def of(cls, surface):
        """The ring of a 1-D surface."""
        (x,), (axis,) = surface.coordinates, axes_of(surface)
        if axis.period is None:
            raise refusal(
                "circle",
                "a surface with a period, sampled in steps shorter than that",
                f"periods={surface.periods} over {surface.labels}, {len(x)} samples",
                "Use `curve`, or give the surface `periods=`.",
            )
        once = slice(int(np.searchsorted(x, axis.start + axis.period * (1 + 1e-6), "right")))
        sides = 2 * np.pi / axis.period
        whole = surface.units[0] == "rad" and 0.5 < sides < MAX_SIDES + 0.5
        whole = whole and abs(sides - round(sides)) < 1e-6
        losses = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
        return cls(
            x[once],
            losses[once],
            axis.period,
            1.0 if whole else 2 * np.pi / axis.period,
            round(sides) if whole else 1,
        )

    def angle(self, coordinates, turns=0):
        """The angles round the circle of coordinates, some periods on."""
        return self.scale * (coordinates + turns * self.period)


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


def _draw_scales(axes, ring, surface, look, low):
    """The angles round the floor, and the losses on the back."""
    floor, top = axes.get_zlim()
    viewer = np.radians(axes.azim)
    turn = np.linspace(0, 2 * np.pi, 361)
    axes.plot(*on_ring(turn, floor).T, color=look.muted, linewidth=0.8, zorder=2)
    style = dict(fontsize=10, va="center", zorder=4)
    for phi in np.radians(range(-135, 181, 45)):
        reach = 1.15 if np.cos(phi - viewer) > -0.2 else 0.62  # the wall hides what is behind it
        place = np.array([reach, reach, 1]) * on_ring(phi, floor)
        words = place_text([phi / ring.scale], surface)
        axes.text(*place, words, color=look.muted, ha="center", **style)
    back = viewer + np.linspace(0.5, 1.5, 91) * np.pi
    end = np.array([1.06, 1.06, 1])
    for tick in MaxNLocator(4).tick_values(low, top):
        if low <= tick <= top:
            line = on_ring(back, tick)
            axes.plot(*line.T, color=look.muted, linewidth=0.7, linestyle=":", zorder=1.5)
            axes.text(*line[-1] * end, f"{tick:g}", color=look.ink, ha="right", **style)
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


def _color_by_step(axes, points, path, look):
    steps, segments = path.steps, np.stack([points[:-1], points[1:]], axis=1)
    drawn = ~path.unled & np.all(np.isfinite(segments), axis=(1, 2))
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


def draw_ring(axes, ring, valleys, look, *, view):
    """Draw a `Ring` between the floor and the top of `view`, with the valleys of its surface."""
    floor, top = view
    viewer = np.radians(axes.azim)
    crest = np.where(ring.losses <= top, ring.losses, np.nan)
    shown = [valley for valley in valleys if valley.loss <= top]
    for turn in range(ring.sides):
        phi = ring.angle(ring.coordinates, turn)
        edges = np.linspace(phi[0], phi[-1], FACETS + 1)
        tops = np.minimum(np.interp(edges, phi, ring.losses), top)
        _draw_wall(axes, edges, np.stack([np.full_like(tops, floor), tops]), look)
        for front in (False, True):
            z = np.where((np.cos(phi - viewer) > 0) == front, crest, np.nan)
            axes.plot(*on_ring(phi, z).T, color=look.muted, linewidth=2.6, zorder=4 if front else 2)
        for valley in shown:
            angle = ring.angle(valley.position[0], turn)
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
