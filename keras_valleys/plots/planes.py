"""Pictures of 2-D surfaces."""

from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from keras_valleys.plots._contours import draw_contour, is_isometric, mark_valleys
from keras_valleys.plots._honesty import captions
from keras_valleys.plots._paths import as_list, check_axes, diverged_note, path_notes, path_of
from keras_valleys.plots._style import (
    add_caption,
    add_colorbar,
    add_legend,
    add_note,
    axis_of,
    get_theme,
    new_figure,
    path_styles,
)
from keras_valleys.valleys import Valleys


def contour(surface, trajectories=(), *, valleys=None, theme="light"):
    """A 2-D surface from above: filled contours, the minimum, and the paths.

    The contours lie closer near the minimum: their distance from it in loss is a geometric
    series. Two orthonormal directions have one scale. Points where the loss is not finite are
    hatched. An axis named "phi" is drawn in degrees, and paths are wrapped into its range.

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
        raise ValueError(
            "`contour` expects a surface of at least 2 points on each axis. "
            f"Received: losses of shape {surface.losses.shape}. Evaluate it on more points."
        )
    if valleys is not None:
        _check_valleys(valleys, surface)
    trajectories = as_list(trajectories)
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    figure = new_figure(look, (7.5, 5.6 + 0.12 * max(0, len(paths) - 5)))
    axes = figure.add_subplot()
    contours, entries = draw_contour(axes, surface, look, mark=valleys is None)
    entries += [] if valleys is None else mark_valleys(axes, valleys, look)
    axes.set_aspect("equal" if is_isometric(surface) else "auto")
    if contours is not None:
        bar = add_colorbar(contours, axes, look, label=surface.loss_name.replace("_", " "))
        bar.set_ticks(contours.levels[1::2], labels=[f"{v:.3g}" for v in contours.levels[1::2]])
        bar.ax.minorticks_off()
    for path, style in zip(paths, path_styles(trajectories), strict=True):
        entries.append(_draw_path(axes, path, surface, style, look))
    add_legend(figure, look, entries, loc="outside upper center")
    cut = contours is not None and contours.extend == "max"
    clipped = f"one color above loss {contours.levels[-1]:.4g}" if cut else ""
    add_note(axes, look, [clipped, diverged_note(surface), *path_notes(paths)])
    add_caption(figure, look, captions(paths, trajectories))
    return figure


def _check_valleys(valleys, surface):
    shape = valleys.labels.shape if isinstance(valleys, Valleys) else None
    if shape != surface.losses.shape:
        raise ValueError(
            "`contour` expects the `valleys` of its surface. Received: "
            f"{'valleys of one of shape ' + str(shape) if shape else type(valleys).__name__}. "
            "Use `keras_valleys.valleys.find_valleys(surface)`."
        )


def _draw_path(axes, path, surface, style, look):
    scales = [axis_of(label)[0] for label in surface.labels]
    x, y = path.broken(path.points * scales).T
    color = style["color"]
    casing = [Stroke(linewidth=3.6, foreground=look.background), Normal()]
    line = dict(color=color, linestyle=style["linestyle"], linewidth=1.8, label=style["label"])
    axes.plot(x, y, **line, path_effects=casing, zorder=4)
    axes.plot(x, y, color=color, marker=".", markersize=6, linestyle="", zorder=4)  # the steps
    mark = dict(marker=style["marker"], linestyle="", markersize=9, markeredgewidth=1.6, zorder=5)
    axes.plot(x[:1], y[:1], markerfacecolor=look.background, markeredgecolor=color, **mark)
    axes.plot(x[-1:], y[-1:], markerfacecolor=color, markeredgecolor=look.background, **mark)
    return Line2D([], [], marker=style["marker"], markersize=7, **line)
