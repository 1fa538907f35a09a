"""How the pictures look: themes, colors, and figures that never touch matplotlib's global state."""

import dataclasses
import re
import textwrap
import zlib

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from keras_valleys._checks import refusal
from keras_valleys.surfaces import axis_text, coordinate_text, shown_as

# Okabe-Ito, without black and yellow, which vanish on a dark and on a light background.
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = COLORS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
)
LINES = ("-", "--", ":", "-.")
MAX_NAME = 40  # characters
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
OPTIMIZERS = {
    "sgd": BLUE,
    "adam": ORANGE,
    "rmsprop": GREEN,
    "lion": VERMILLION,
    "momentum": SKY,
    "nesterov": PURPLE,
    "adamw": SKY,
    "nadam": PURPLE,
    "adamax": GREEN,
    "adagrad": VERMILLION,
    "adadelta": BLUE,
    "adafactor": SKY,
    "ftrl": PURPLE,
    "lamb": GREEN,
    "muon": PURPLE,
    "schedulefreeadamw": VERMILLION,
}


@dataclasses.dataclass(frozen=True)
class Theme:
    """The colors of a picture; surfaces are gray, so that only paths have colors."""

    background: str
    ink: str
    muted: str
    surface: str
    fill: str
    accent: str
    head: str
    steps: Colormap
    heights: Colormap


def _part(name, start, stop):
    return ListedColormap(colormaps[name](np.linspace(start, stop, 256)))


_THEMES = {
    "light": Theme(
        "#ffffff",
        "#1f2328",
        "#6a7078",
        "#7d848c",
        "#e4e7ea",
        VERMILLION,
        "#1f2328",
        _part("viridis", 0.0, 0.88),
        LinearSegmentedColormap.from_list("h", ["#fcfcfd", "#8b949e"]),
    ),
    "dark": Theme(
        "#14171c",
        "#eceff2",
        "#9aa2ab",
        "#9aa2ab",
        "#2a2f36",
        ORANGE,
        "#ffffff",
        _part("viridis", 0.25, 1.0),
        LinearSegmentedColormap.from_list("h", ["#171a1f", "#7a838d"]),
    ),
}


def get_theme(name):
    """The `Theme` of a name."""
    if not isinstance(name, str) or name not in _THEMES:
        raise refusal(
            "A plot",
            "`theme` to be 'light' or 'dark'",
            {"theme": name},
            "Use theme='light' for paper.",
        )
    return _THEMES[name]


def optimizer_color(label: str) -> str:
    """The color of an optimizer, the same in every picture.

    Args:
        label: Name of the optimizer, or of a run that begins with it, such as "sgd 0.1"; case
            and punctuation do not count. Other names get a color of their own, always the same.

    Returns:
        Color as "#rrggbb", safe for the color-blind.

    Example:

    >>> keras_valleys.plots.optimizer_color("SGD")
    '#0072b2'
    """
    if not isinstance(label, str):
        raise refusal("optimizer_color", "`label` to be text", {"label": label}, "Use its name.")
    first_word = re.split("[^a-z]", label.lower().replace("_", ""), maxsplit=1)[0]
    name = "".join(filter(str.isalnum, label.lower()))
    return OPTIMIZERS.get(first_word) or COLORS[zlib.crc32(name.encode()) % len(COLORS)]


def with_colors(look, cmap):
    """A `Theme` whose heights have other colors, such as "viridis"; `None` leaves them."""
    if cmap is None:
        return look
    known = isinstance(cmap, Colormap) or (isinstance(cmap, str) and cmap in colormaps)
    if not known:
        raise refusal(
            "A plot",
            "`cmap` to be a colormap of Matplotlib, or its name",
            {"cmap": cmap},
            "Use cmap='viridis', or None for gray.",
        )
    return dataclasses.replace(look, heights=colormaps.get_cmap(cmap))


def path_styles(trajectories):
    """One look per trajectory; those that share a color differ in line style and marker."""
    styles: list[dict[str, str]] = []
    seen: list[str] = []
    for number, trajectory in enumerate(trajectories):
        label = name_of(trajectory, number)
        color = optimizer_color(label)
        line = LINES[seen.count(color) % len(LINES)]
        styles.append(
            dict(color=color, linestyle=line, marker=MARKERS[number % len(MARKERS)], label=label)
        )
        seen.append(color)
    return styles


def name_of(run, number):
    """The name of a run in print, on one line and not longer than a legend takes."""
    name = " ".join(str(run.label).split()) or f"path {number + 1}"
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"


def new_figure(theme, size=(8.0, 4.5)):
    """An empty figure of `size` inches on a canvas of its own."""
    room = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=size, dpi=100, layout=room, facecolor=theme.background)
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes, theme, *, xlabel="", ylabel="", size=11):
    """Set everything that would otherwise come from the user's rcParams."""
    axes.set_facecolor(theme.background)
    axes.grid(False)
    axes.set_axisbelow(False)
    axes.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=size - 2, which="both")
    for side, spine in axes.spines.items():
        spine.set_color(theme.muted)
        spine.set_visible(side in ("left", "bottom"))
    axes.set_xlabel(xlabel, color=theme.ink, fontsize=size, parse_math=False)
    axes.set_ylabel(ylabel, color=theme.ink, fontsize=size, parse_math=False)
    return axes


def add_legend(figure, theme, handles, *, loc=None, title=None, **options):
    """A legend without a frame that reads on the theme's background; long names go on top.

    The title of a picture is that of its legend, so that neither is drawn over the other.
    """
    names = [str(handle.get_label()) for handle in handles]
    if loc is None:
        long = max(map(len, names), default=0) > 20
        loc = "outside upper center" if long else "outside right upper"
    options = {"frameon": False, "labelcolor": theme.ink, "fontsize": 10, "loc": loc, **options}
    if "upper center" in loc:  # as many side by side as the width takes
        room = int(13 * figure.get_figwidth())
        options["ncols"] = max(1, min(4, room // (max(map(len, names), default=0) + 7)))
    # Named afterwards: matplotlib leaves out names that begin with "_".
    legend = figure.legend(handles, [" "] * len(names), **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
        text.set_parse_math(False)
    if title is not None:
        lines = textwrap.wrap(str(title), int(8.5 * figure.get_figwidth()))
        legend.set_title("\n".join(lines), prop={"size": 13, "weight": "bold"})
        legend.get_title().set(color=theme.ink, parse_math=False)
    return legend


def add_colorbar(mappable, axes, theme, *, label, cax=None, shrink=1.0):
    """A color bar beside one or several axes, or on axes of its own."""
    place = dict(ax=axes, pad=0.02, aspect=30, shrink=shrink) if cax is None else dict(cax=cax)
    bar = np.ravel(axes)[0].figure.colorbar(mappable, ticks=MaxNLocator(6, integer=True), **place)
    bar.set_label(label, color=theme.ink, fontsize=11, parse_math=False)
    bar.ax.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=9)
    bar.ax.grid(False)
    bar.outline.set_visible(False)
    return bar


def label_levels(bar, levels, places=None):
    """Label levels on a color bar, with as many digits as tell them apart.

    Args:
        bar: The color bar.
        levels: Rising numbers.
        places: Where they are on the bar; `None` where its numbers are the levels.
    """
    for digits in range(3, 8):
        labels = [f"{level:.{digits}g}" for level in levels]
        if len(set(labels)) == len(labels):
            break
    bar.set_ticks(levels if places is None else places, labels=labels)
    bar.ax.minorticks_off()


def add_note(axes, theme, parts):
    """A small note above the axes, for what the picture does not show."""
    parts = [part for part in parts if part]
    text = dict(color=theme.muted, fontsize=9, parse_math=False)
    axes.set_title("; ".join(parts), loc="right", **text)


def add_caption(figure, theme, lines):
    """Small lines under the picture, for how far it can be trusted."""
    width = int(14.5 * figure.get_figwidth())
    text = "\n".join(part for line in lines for part in textwrap.wrap(line, width))
    if text:
        figure.supxlabel(
            text,
            x=0.01,
            ha="left",
            color=theme.muted,
            fontsize=9,
            fontweight="normal",
            parse_math=False,
            linespacing=1.3,
        )


def axis_of(surface, k=0):
    """What a coordinate of an axis is multiplied with in print, and the text of the axis."""
    return shown_as(surface.units[k])[0], axis_text(surface.labels[k], surface.units[k])


def scales_of(surface):
    """What the coordinates of each axis are multiplied with in print, an array of shape `(K,)`."""
    return np.array([shown_as(unit)[0] for unit in surface.units])


def place_text(position, surface):
    """The coordinates of a place in a picture's text."""
    texts = (
        coordinate_text(*pair, short=True) for pair in zip(position, surface.units, strict=True)
    )
    return ", ".join(texts)


def locator_of(surface, k=0):
    """Ticks of an axis: for degrees at 30, 45, 60 rather than at 25 and 50."""
    degrees = shown_as(surface.units[k])[1] == "°"
    steps = [1, 1.5, 3, 4.5, 6, 9, 10] if degrees else [1, 2, 2.5, 5, 10]
    return MaxNLocator(nbins=7, steps=steps)
