"""Basin maps, by optimizer and by learning rate."""

import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from keras_valleys._checks import check_kind, refusal
from keras_valleys.descents import BasinMap
from keras_valleys.plots.contours import is_isometric
from keras_valleys.plots.curves import BORDER_MARK, MAX_LABELS, mark_floors, room_for_border, spread
from keras_valleys.plots.paths import dropped_of, limits, repeats, statistics_of
from keras_valleys.plots.scales import contour_levels
from keras_valleys.plots.style import (
    COLORS,
    add_caption,
    add_legend,
    add_note,
    axis_of,
    get_theme,
    locator_of,
    new_figure,
    place_text,
    scales_of,
    style_axes,
)
from keras_valleys.valleys import BORDER, Valleys, closed_valleys

MOST_DPI = 300
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = COLORS
HUES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, "#8a7bd0", "#9a9a35", "#9b3f6f")
MAX_ENTRIES = 12  # in a legend
IN_A_VALLEY = (
    "In a valley means: in its basin after the last step, at rest or not. What oscillates there "
    "for ever counts."
)


def basins(basin_map: BasinMap, valleys: Valleys, *, theme: str = "light") -> Figure:
    """Which start ends in which valley, one strip or map per optimizer.

    Each valley has a color. Over one axis the surface stands above the starts, its ground in the
    color of the basins; a strip that shows other colors than the ground above it says that the
    optimizer left the basin that it began in. Over two axes the surface's contours lie on the map.
    Cells are drawn as they are, none smoothed. A start is in a valley where it is in its basin
    after the last step, at rest or not: plain gradient descent at the learning rate 2 / curvature
    oscillates there for ever, and counts.

    Args:
        basin_map: A `keras_valleys.descents.BasinMap` without learning rates.
        valleys: The valleys that it was made with.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The map has learning rates, or other axes than the valleys' surface, or the
            theme is unknown.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0], ["x"])
    >>> valleys = keras_valleys.valleys.find_valleys(wave)
    >>> starts = np.linspace(-1.9, 2.9, 100)
    >>> ends = np.zeros((1, 100))
    >>> basins = keras_valleys.descents.BasinMap(
    ...     valleys.at(starts)[None], ends, ends[..., None], ends, [starts], ["x"], ["SGD"], 10
    ... )
    >>> len(keras_valleys.plots.basins(basins, valleys).axes)
    2
    """
    look = get_theme(theme)
    _check("basins", basin_map, valleys, rates=False)
    if len(basin_map.coordinates) == 2:
        return _maps(basin_map, valleys, look)
    count, num = len(basin_map.optimizers), len(basin_map.coordinates[0])
    figure = new_figure(look, (12.0, 3.6 + 0.62 * count))
    _sharpen(figure, num / 9)
    rows = figure.add_gridspec(count + 1, 1, height_ratios=[2.9] + [0.56] * count)
    top = figure.add_subplot(rows[0])
    notes = draw_territory(top, valleys, look)
    scale, text = axis_of(valleys.surface)
    for k, name in enumerate(basin_map.optimizers):
        axes = style_axes(figure.add_subplot(rows[k + 1], sharex=top), look)
        view = top.get_xlim()
        x = (basin_map.coordinates[0] * scale, False)
        draw_cells(axes, x, None, basin_map.indices[k][None], look)
        axes.set_xlim(view)
        _name_strip(axes, name, _share(basin_map, k), look)
        axes.tick_params(labelbottom=k == count - 1, bottom=k == count - 1)
        axes.spines[["left", "bottom"]].set_visible(False)
        if k == 0:
            head = dict(transform=axes.transAxes, color=look.muted, fontsize=9)
            axes.text(1.008, 1.12, _aim(valleys), va="bottom", **head)
    axes.set_xlabel(f"start: {text}", color=look.ink, fontsize=12, parse_math=False)
    top.tick_params(labelbottom=False, bottom=False)
    top.set_title(
        f"Where {basin_map.steps} steps lead, by start",
        loc="left",
        color=look.ink,
        fontsize=15,
        fontweight="bold",
    )
    return _finish(figure, top, basin_map, valleys, look, notes)


def basins_by_learning_rate(
    basin_map: BasinMap, valleys: Valleys, *, theme: str = "light"
) -> Figure:
    """Which start ends in which valley at which learning rate, one map per optimizer.

    Args:
        basin_map: A `keras_valleys.descents.BasinMap` with learning rates, over one axis.
        valleys: The valleys that it was made with.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The map has no learning rates, or other axes than the valleys' surface, or
            more than one, or the theme is unknown.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0], ["x"])
    >>> valleys = keras_valleys.valleys.find_valleys(wave)
    >>> starts, ends = np.linspace(-1.9, 2.9, 100), np.zeros((1, 2, 100))
    >>> basins = keras_valleys.descents.BasinMap(
    ...     valleys.at(starts) + ends, ends, ends[..., None], ends, [starts], ["x"], ["SGD"], 10,
    ...     [0.1, 1.0],
    ... )
    >>> figure = keras_valleys.plots.basins_by_learning_rate(basins, valleys)
    >>> figure.axes[1].get_yscale()
    'log'
    """
    look = get_theme(theme)
    _check("basins_by_learning_rate", basin_map, valleys, rates=True)
    count = len(basin_map.optimizers)
    figure = new_figure(look, (12.0, 3.0 + 5.0 * count))
    _sharpen(figure, max(len(basin_map.coordinates[0]) / 9, len(basin_map.learning_rates) / 4))
    rows = figure.add_gridspec(count + 1, 1, height_ratios=[2.2] + [4.6] * count)
    top = figure.add_subplot(rows[0])
    notes = draw_territory(top, valleys, look)
    view, order = top.get_xlim(), np.argsort(basin_map.learning_rates)
    scale, text = axis_of(valleys.surface)
    x = (basin_map.coordinates[0] * scale, False)
    y = (basin_map.learning_rates[order], True)
    for k, name in enumerate(basin_map.optimizers):
        axes = style_axes(figure.add_subplot(rows[k + 1], sharex=top), look, size=12)
        axes.set_yscale("log")
        draw_cells(axes, x, y, basin_map.indices[k][order], look)
        axes.set_xlim(view)
        title = f"{name}: " if count > 1 else ""
        label = f"{title}learning rate"
        axes.set_ylabel(label, color=look.ink, fontsize=12, parse_math=False)
        axes.tick_params(labelbottom=k == count - 1)
    axes.set_xlabel(f"start: {text}", color=look.ink, fontsize=12, parse_math=False)
    top.tick_params(labelbottom=False, bottom=False)
    names = basin_map.optimizers[0] if count == 1 else "each optimizer"
    top.set_title(
        f"Where {basin_map.steps} steps of {names} lead, by start and learning rate",
        loc="left",
        color=look.ink,
        fontsize=15,
        fontweight="bold",
        parse_math=False,
    )
    return _finish(figure, top, basin_map, valleys, look, notes)


def _maps(basin_map, valleys, look):
    """One map over two axes per optimizer, under the surface's contours."""
    valleys = closed_valleys(valleys)
    surface, count = valleys.surface, len(basin_map.optimizers)
    columns = 2 if count in (2, 4) else min(count, 3)
    rows = -(-count // columns)
    spans = [np.ptp(axis) for axis in basin_map.coordinates]
    ratio = np.clip(spans[1] / spans[0], 0.6, 1.6) if is_isometric(surface) else 0.9
    size = (0.9 + 4.6 * columns, 1.4 + (0.8 + 4.0 * ratio) * rows)
    figure = new_figure(look, (size[0] + 3.6 * (count == 1), size[1]))
    _sharpen(figure, max(map(len, basin_map.coordinates)) / 3.9)
    (x_scale, x_text), (y_scale, y_text) = (axis_of(surface, k) for k in (0, 1))
    panels = figure.subplots(rows, columns, squeeze=False).flat
    scaled = zip(basin_map.coordinates, (x_scale, y_scale), strict=True)
    along_x, along_y = [(axis * scale, False) for axis, scale in scaled]
    losses = np.ma.masked_invalid(surface.losses)
    for k, name in enumerate(basin_map.optimizers):
        axes = style_axes(panels[k], look, xlabel=f"start: {x_text}", ylabel=f"start: {y_text}")
        draw_cells(axes, along_x, along_y, basin_map.indices[k].T, look)
        if losses.count() and min(losses.shape) > 1:
            x, y = surface.coordinates[0] * x_scale, surface.coordinates[1] * y_scale
            levels = contour_levels(losses.compressed())[0]
            axes.contour(
                x, y, losses.T, levels, colors=look.ink, linewidths=0.5, alpha=0.55, zorder=2
            )
        for on_border, marker in ((False, "o"), (True, BORDER_MARK["marker"])):
            shown = [valley for valley in valleys if valley.on_border == on_border]
            axes.plot(
                *(repeats(shown, surface)[0] * scales_of(surface)).T,
                linestyle="",
                marker=marker,
                markersize=7,
                zorder=3,
                markerfacecolor=look.background,
                markeredgecolor=look.ink,
                markeredgewidth=1.5,
            )
        axes.set_aspect("equal" if is_isometric(surface) else "auto")
        axes.xaxis.set_major_locator(locator_of(surface, 0))
        axes.yaxis.set_major_locator(locator_of(surface, 1))
        title = dict(color=look.ink, fontsize=13, fontweight="bold", parse_math=False)
        axes.set_title(f"{name}: {_share(basin_map, k)} {_aim(valleys)}", loc="left", **title)
    for axes in list(panels)[count:]:
        axes.set_axis_off()
    return _finish(figure, panels[0], basin_map, valleys, look, [])


def _finish(figure, axes, basin_map, valleys, look, notes):
    entries = legend_entries(valleys, basin_map.indices, look)
    single = len(figure.axes) == 1
    add_legend(figure, look, entries, loc=f"outside {'right upper' if single else 'upper center'}")
    if len(basin_map.coordinates) == 1:
        add_note(axes, look, notes)
    far = basin_map.distances[np.isfinite(basin_map.distances)]
    scale = 1e-4 * max(1.0, np.abs(valleys.surface.origin).max())
    lines = [IN_A_VALLEY, *dropped_of(valleys), *statistics_of(valleys.surface)]
    if far.size and far.max() > scale:
        text = (
            f"The weights end up to {far.max():.3g} from the surface: each valley is that of the "
        )
        lines.append(f"{text}nearest point on it.")
    add_caption(figure, look, lines)
    return figure


def _name_strip(axes, name, share, look):
    text = dict(
        transform=axes.transAxes, va="center", color=look.ink, fontsize=12, parse_math=False
    )
    axes.set_yticks([])
    axes.text(-0.012, 0.5, name, ha="right", fontweight="bold", **text)
    axes.text(1.008, 0.5, share, ha="left", **text)


def _aim(valleys):
    """Where the share of the starts goes that is given for each optimizer."""
    return "at the border" if len(valleys) and valleys[0].on_border else "in valley 0"


def _share(basin_map, k):
    return f"{100 * np.mean(basin_map.indices[k] == 0):.0f} %"


def _sharpen(figure, least):
    """As many pixels to the inch as show each start."""
    figure.set_dpi(int(np.clip(np.ceil(least), figure.dpi, MOST_DPI)))


def _check(name, basin_map, valleys, *, rates):
    check_kind(name, "basin_map", basin_map=basin_map)
    check_kind(name, "valleys", valleys=valleys)
    has = len(basin_map.learning_rates) > 0
    if has != rates or (rates and len(basin_map.coordinates) != 1):
        wanted = "with learning rates, over one axis" if rates else "without learning rates"
        other = "basins" if rates else "basins_by_learning_rate"
        raise refusal(
            name,
            f"a map {wanted}",
            f"{len(basin_map.learning_rates)} learning rates, {len(basin_map.coordinates)} axes",
            f"Use `{other}`, or choose one learning rate.",
        )
    if basin_map.labels != valleys.surface.labels or basin_map.indices.max() >= len(valleys):
        raise refusal(
            name,
            "the valleys that the map was made with",
            f"a map over {basin_map.labels} with valley {basin_map.indices.max()}, and "
            f"{len(valleys)} valleys over {valleys.surface.labels}",
            "Find them on the same surface, in the same way.",
        )


def valley_color(index):
    """The color of a valley, the same in every picture; from the tenth on lighter, then darker."""
    hue = np.array(to_rgb(HUES[index % len(HUES)]))
    turn = index // len(HUES) % 3
    return tuple((hue, 0.5 + 0.5 * hue, 0.55 * hue)[turn].tolist())


def draw_territory(axes, valleys, look):
    """Draw the curve whose ground has the color of each basin, with its floors.

    Returns:
        What the picture does not show, in words.
    """
    valleys = closed_valleys(valleys)
    surface, labels = valleys.surface, valleys.labels
    (x,) = surface.coordinates
    scale, _ = axis_of(surface)
    low, top, notes = limits(surface, valleys=valleys)
    style_axes(axes, look, ylabel=surface.loss_name.replace("_", " "))
    y = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
    floor = low - 0.2 * (top - low)
    changes = np.flatnonzero(np.diff(labels)) + 1
    for first, stop in zip([0, *changes], [*changes, len(x)], strict=True):
        index, part = labels[first], slice(first, stop + 1)  # up to the next one's first
        if index >= 0:
            color = valley_color(index)
            axes.fill_between(x[part] * scale, floor, y[part], color=color, linewidth=0, zorder=1)
    axes.plot(x * scale, y, color=look.ink, linewidth=1.6, zorder=2)
    axes.set_xlim(x[0] * scale, x[-1] * scale)
    axes.set_ylim(floor, top + 0.03 * (top - low))
    axes.xaxis.set_major_locator(locator_of(surface))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, prune="lower"))
    mark_floors(axes, valleys, surface, look)
    _name_floors(axes, valleys, surface, look)
    return notes


def _name_floors(axes, valleys, surface, look):
    (x,) = surface.coordinates
    scale, _ = axis_of(surface)
    shown = sorted(valleys[:MAX_LABELS], key=lambda valley: valley.position[0])
    gaps = [room_for_border(axes, 12) if valley.on_border else 0.075 for valley in shown]
    places = spread([v.position[0] * scale for v in shown], gaps, x[0] * scale, x[-1] * scale)
    bottom, top = axes.get_ylim()
    for valley, place in zip(shown, places, strict=True):
        axes.text(
            place,
            bottom + 0.035 * (top - bottom),
            BORDER if valley.on_border else place_text(valley.position, surface),
            color=look.ink,
            fontsize=11,
            fontweight="bold",
            ha="center",
            va="bottom",
            zorder=4,
            bbox=dict(facecolor=look.background, edgecolor="none", pad=2.0, alpha=0.85),
        )


def draw_cells(axes, x, y, indices, look):
    """Draw valley indices `(len(y), len(x))` as cells around coordinates, none of them smoothed.

    Args:
        axes: Matplotlib axes.
        x: Pair of rising coordinates and whether they are on a logarithmic scale.
        y: Another pair; `None` for a single row.
        indices: Integers; -1 is hatched.
        look: The `Theme`.
    """
    edges = [np.array([0.0, 1.0]) if one is None else _edges(*one) for one in (x, y)]
    options = dict(facecolor=look.background, edgecolor=look.muted, hatch="/////", linewidth=0)
    axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, zorder=0, **options))
    colors = ListedColormap([valley_color(k) for k in range(max(indices.max(), 0) + 1)])
    axes.pcolormesh(
        *edges,
        np.ma.masked_less(indices, 0),
        cmap=colors,
        vmin=-0.5,
        vmax=colors.N - 0.5,
        antialiased=False,
        linewidth=0,
        rasterized=True,
        zorder=1,
    )
    axes.set_xlim(edges[0][0], edges[0][-1])
    axes.set_ylim(edges[1][0], edges[1][-1])


def _edges(coordinates, logarithmic):
    """The ends of the cells around coordinates; the outermost cells are as wide outside."""
    c = np.log(coordinates) if logarithmic else np.asarray(coordinates, "float64")
    if len(c) == 1:
        return np.exp(c[0] + np.array([-0.5, 0.5])) if logarithmic else c[0] + np.array([-0.5, 0.5])
    middles = (c[1:] + c[:-1]) / 2
    edges = np.concatenate([[2 * c[0] - middles[0]], middles, [2 * c[-1] - middles[-1]]])
    return np.exp(edges) if logarithmic else edges


def legend_entries(valleys, indices, look):
    """A patch for each valley that a picture shows, and for none."""
    shown = [k for k in range(len(valleys)) if np.any(indices == k)]
    entries = [Patch(color=valley_color(k), label=_name(valleys, k)) for k in shown[:MAX_ENTRIES]]
    if len(shown) > MAX_ENTRIES:
        entries.append(Patch(alpha=0, label=f"and {len(shown) - MAX_ENTRIES} more"))
    if np.any(indices < 0):
        options = dict(facecolor=look.background, edgecolor=look.muted, hatch="/////")
        entries.append(Patch(label="none: outside, diverged", **options))
    return entries


def _name(valleys, index):
    position = valleys[index].position
    place = place_text(position, valleys.surface)
    place = place if len(position) == 1 else f"({place})"
    return f"{BORDER}, {place}" if valleys[index].on_border else f"valley {index} at {place}"
