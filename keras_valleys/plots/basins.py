"""Pictures of basin maps: which start ends in which valley."""

import numpy as np

from keras_valleys.plots._contours import contour_levels, is_isometric
from keras_valleys.plots._style import (
    add_caption,
    add_legend,
    add_note,
    axis_of,
    degree_locator,
    get_theme,
    new_figure,
    style_axes,
)
from keras_valleys.plots._territories import draw_cells, draw_territory, legend_entries

MOST_DPI = 300


def basins(basin_map, valleys, *, theme="light"):
    """Which start ends in which valley, one strip or map per optimizer.

    Each valley has a color. Over one axis the surface stands above the starts, its ground in the
    color of the basins; a strip that shows other colors than the ground above it says that the
    optimizer left the basin that it began in. Over two axes the surface's contours lie on the map.
    Cells are drawn as they are, none smoothed.

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
    scale, text = axis_of(basin_map.labels[0])
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
            axes.text(1.008, 1.12, "in valley 0", va="bottom", **head)
    axes.set_xlabel(f"start: {text}", color=look.ink, fontsize=12, parse_math=False)
    top.tick_params(labelbottom=False, bottom=False)
    top.set_title(
        f"Where {basin_map.steps} steps lead, by start", loc="left", color=look.ink, fontsize=15,
        fontweight="bold",
    )  # fmt: skip
    return _finish(figure, top, basin_map, valleys, look, notes)


def basins_by_learning_rate(basin_map, valleys, *, theme="light"):
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
    scale, text = axis_of(basin_map.labels[0])
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
        f"Where {basin_map.steps} steps of {names} lead, by start and learning rate", loc="left",
        color=look.ink, fontsize=15, fontweight="bold", parse_math=False,
    )  # fmt: skip
    return _finish(figure, top, basin_map, valleys, look, notes)


def _maps(basin_map, valleys, look):
    """One map over two axes per optimizer, under the surface's contours."""
    surface, count = valleys.surface, len(basin_map.optimizers)
    columns = 2 if count in (2, 4) else min(count, 3)
    rows = -(-count // columns)
    spans = [np.ptp(axis) for axis in basin_map.coordinates]
    ratio = np.clip(spans[1] / spans[0], 0.6, 1.6) if is_isometric(surface) else 0.9
    size = (0.9 + 4.6 * columns, 1.4 + (0.8 + 4.0 * ratio) * rows)
    figure = new_figure(look, (size[0] + 3.6 * (count == 1), size[1]))
    _sharpen(figure, max(map(len, basin_map.coordinates)) / 3.9)
    (x_scale, x_text), (y_scale, y_text) = map(axis_of, surface.labels)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    starts = [
        (axis * s, False) for axis, s in zip(basin_map.coordinates, (x_scale, y_scale), strict=True)
    ]
    losses = np.ma.masked_invalid(surface.losses)
    for k, name in enumerate(basin_map.optimizers):
        axes = style_axes(panels[k], look, xlabel=f"start: {x_text}", ylabel=f"start: {y_text}")
        draw_cells(axes, *starts, basin_map.indices[k].T, look)
        if losses.count() and min(losses.shape) > 1:
            x, y = surface.coordinates[0] * x_scale, surface.coordinates[1] * y_scale
            levels = contour_levels(losses.compressed())[0]
            axes.contour(
                x, y, losses.T, levels, colors=look.ink, linewidths=0.5, alpha=0.55, zorder=2
            )
        floors = np.array([valley.position for valley in valleys]).reshape(-1, 2)
        axes.plot(
            *(floors * (x_scale, y_scale)).T, linestyle="", marker="o", markersize=7, zorder=3,
            markerfacecolor=look.background, markeredgecolor=look.ink, markeredgewidth=1.5,
        )  # fmt: skip
        axes.set_aspect("equal" if is_isometric(surface) else "auto")
        axes.xaxis.set_major_locator(degree_locator(surface.labels[0]))
        axes.yaxis.set_major_locator(degree_locator(surface.labels[1]))
        title = dict(color=look.ink, fontsize=13, fontweight="bold", parse_math=False)
        axes.set_title(f"{name}: {_share(basin_map, k)} in valley 0", loc="left", **title)
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
    if far.size and far.max() > scale:
        add_caption(figure, look, [
            f"The weights end up to {far.max():.3g} from the surface: each valley is that of the "
            "nearest point on it."
        ])  # fmt: skip
    return figure


def _name_strip(axes, name, share, look):
    text = dict(
        transform=axes.transAxes, va="center", color=look.ink, fontsize=12, parse_math=False
    )
    axes.set_yticks([])
    axes.text(-0.012, 0.5, name, ha="right", fontweight="bold", **text)
    axes.text(1.008, 0.5, share, ha="left", **text)


def _share(basin_map, k):
    return f"{100 * np.mean(basin_map.indices[k] == 0):.0f} %"


def _sharpen(figure, least):
    """As many pixels to the inch as show each start."""
    figure.set_dpi(int(np.clip(np.ceil(least), figure.dpi, MOST_DPI)))


def _check(name, basin_map, valleys, *, rates):
    has = len(basin_map.learning_rates) > 0
    if has != rates or (rates and len(basin_map.coordinates) != 1):
        wanted = "with learning rates, over one axis" if rates else "without learning rates"
        other = "basins" if rates else "basins_by_learning_rate"
        raise ValueError(
            f"`{name}` expects a map {wanted}. Received: {len(basin_map.learning_rates)} learning "
            f"rates, {len(basin_map.coordinates)} axes. Use `{other}`, or choose one learning rate."
        )
    if basin_map.labels != valleys.surface.labels or basin_map.indices.max() >= len(valleys):
        raise ValueError(
            f"`{name}` expects the valleys that the map was made with. Received: a map over "
            f"{basin_map.labels} with valley {basin_map.indices.max()}, and {len(valleys)} valleys "
            f"over {valleys.surface.labels}. Find them on the same surface, in the same way."
        )
