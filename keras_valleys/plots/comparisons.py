"""Comparisons of optimizers: success rates, and losses by learning rate."""

import math
import statistics
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from keras_valleys._checks import check_kind, refusal
from keras_valleys.plots.panels import add_title, panel_grid, set_view
from keras_valleys.plots.style import (
    BLUE,
    add_caption,
    get_theme,
    new_figure,
    optimizer_color,
    place_text,
    style_axes,
)
from keras_valleys.surfaces import Surface
from keras_valleys.valleys import BORDER, Valleys

MAX_STARTS = 12


class Compared(Protocol):
    """What the pictures read of a `keras_valleys.comparisons.Comparison`.

    Attributes:
        runs: The runs shown.
        summaries: One per optimizer.
        tuning: All runs of all learning rates that were tried.
        valleys: The valleys of the surface, or `None`.
        surface: The surface, or `None`.
    """

    @property
    def runs(self) -> Sequence[Any]: ...
    @property
    def summaries(self) -> Sequence[Any]: ...
    @property
    def tuning(self) -> Sequence[Any]: ...
    @property
    def valleys(self) -> Valleys | None: ...
    @property
    def surface(self) -> Surface | None: ...


def success(comparison: Compared, *, by: str | None = None, theme: str = "light") -> Figure:
    """The success of each optimizer, in numbers and colors.

    A row per optimizer, the best first. The first column is its success rate with the 95 %
    confidence interval, the others the successes from each start, or where its runs ended.

    Args:
        comparison: A `keras_valleys.comparisons.Comparison`.
        by: "start", "valley", or `None` for "valley" where there is a surface.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: `by` or the theme is unknown, or there is no surface to have valleys.

    Example:

    >>> def build_model():
    ...     model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    ...     model.compile(loss="mean_squared_error")
    ...     return model
    >>> (x, y), _ = keras_valleys.datasets.rosette(num_points=10)
    >>> comparison = keras_valleys.comparisons.compare(build_model, ["sgd", "adam"], x, y, steps=5)
    >>> figure = keras_valleys.plots.success(comparison)
    >>> sorted(label.get_text() for label in figure.axes[0].get_yticklabels())
    ['Adam', 'SGD']
    """
    look = get_theme(theme)
    check_kind("success", "comparison", comparison=comparison)
    by = by or ("start" if comparison.valleys is None else "valley")
    if by not in ("start", "valley") or (by == "valley" and comparison.valleys is None):
        raise refusal(
            "success",
            "`by` to be 'start', or 'valley' where the comparison has a surface",
            {"by": by},
            "Use by='start'.",
        )
    columns, counts = (_by_start if by == "start" else _by_valley)(comparison)
    rows = [one.optimizer for one in comparison.summaries]
    rates = [[one.success_rate] for one in comparison.summaries]
    texts = [[_rate_text(one)] for one in comparison.summaries]
    for rate, text, label in zip(rates, texts, rows, strict=True):
        for name in columns:
            number, total = counts.get((label, name), (0, 0))
            rate.append(number / total if total else math.nan)
            text.append((f"{number}/{total}" if by == "start" else str(number)) if total else "")
    names = ["success (95 % interval)", *columns]
    figure = _table(np.array(rates), texts, (rows, names), look)
    axes = figure.axes[0]
    above = (
        "runs that succeeded, from each start" if by == "start" else "runs that ended in a valley"
    )
    axes.set_title(above, loc="right", color=look.muted, fontsize=9)
    return figure


def _table(rates, texts, names, look):
    rows, columns = names
    wide = max(map(len, rows)) * 0.085
    figure = new_figure(look, (2.2 + wide + 0.85 * (len(columns) - 1), 1.2 + 0.34 * len(rows)))
    axes = style_axes(figure.add_subplot(), look, size=10)
    colors = LinearSegmentedColormap.from_list("share", [look.background, BLUE])
    edges = np.array([0.0, 2.2, *(2.2 + 0.85 * (k + 1) for k in range(len(columns) - 1))])
    ends = np.arange(len(rows) + 1)
    axes.pcolormesh(
        edges,
        ends,
        np.ma.masked_invalid(rates),
        cmap=colors,
        vmin=0,
        vmax=1,
        edgecolor=look.background,
        linewidth=1.5,
    )
    middles = (edges[1:] + edges[:-1]) / 2
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            dark = rates[row, column] > 0.5
            ink = "#ffffff" if dark or look.background != "#ffffff" else look.ink
            axes.text(
                middles[column],
                row + 0.5,
                text,
                ha="center",
                va="center",
                color=ink,
                fontsize=10,
                parse_math=False,
            )
    axes.set_yticks(ends[:-1] + 0.5, rows, parse_math=False)
    axes.set_xticks(middles, columns, parse_math=False)
    axes.xaxis.tick_bottom()
    axes.tick_params(length=0)
    axes.set_ylim(len(rows), 0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _rate_text(one):
    low, high = (f"{100 * end:.0f}" for end in one.interval)
    return f"{one.num_successes}/{one.num_runs}  ({low} \N{EN DASH} {high} %)"


def _by_start(comparison):
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for run in comparison.runs:
        key = run.optimizer, f"start {run.start}"
        number, total = counts.get(key, (0, 0))
        counts[key] = number + run.success, total + 1
    columns = sorted({name for _, name in counts}, key=lambda name: int(name.split()[1]))
    return columns[:MAX_STARTS], counts


def _by_valley(comparison):
    counts: dict[tuple[str, str], int] = {}
    found: dict[str, tuple[int, int]] = {}
    for run in comparison.runs:
        name = _place(run, comparison)
        counts[run.optimizer, name] = counts.get((run.optimizer, name), 0) + 1
        rank = {"diverged": 3, "failed": 4}.get(run.status, 2 if run.valley is None else 1)
        found[name] = (rank, run.valley or 0)
    columns = sorted(found, key=lambda name: found[name])
    totals = {
        label: sum(n for (own, _), n in counts.items() if own == label) for label, _ in counts
    }
    shares = {
        (label, name): (counts.get((label, name), 0), totals[label])
        for label in totals
        for name in columns
    }
    return columns, shares


def _place(run, comparison):
    """The name of the valley that a run ended in: its position and its loss."""
    if run.status != "finished":
        return run.status
    if run.valley is None:
        return "none"
    valley = comparison.valleys[run.valley]
    place = place_text(valley.position, comparison.surface)
    place = BORDER.replace(" at ", "\nat ") if valley.on_border else place
    return f"{place}\nloss {valley.loss:.3g}"


def learning_rates(comparison: Compared, *, theme: str = "light") -> Figure:
    """The true final loss over the learning rate, of every rate that was tried.

    One panel per optimizer: a dot for each run, a line through the medians, and a ring round the
    median of the rate that was taken. The medians of the others are gray. A cross at the upper edge
    is a run that diverged or failed, or is above. Both axes are the same in all panels, the
    learning rate is logarithmic, and so is the loss where it spans more than a factor of 1000; it
    is cut where it is much higher than at the start.

    Args:
        comparison: A `keras_valleys.comparisons.Comparison` with tuning.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The comparison has no tuning, or the theme is unknown.

    Example:

    >>> def build_model():
    ...     model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    ...     model.compile(loss="mean_squared_error")
    ...     return model
    >>> (x, y), _ = keras_valleys.datasets.rosette(num_points=10)
    >>> comparison = keras_valleys.comparisons.compare(
    ...     build_model, ["sgd"], x, y, steps=5, tune=[0.01, 0.1]
    ... )
    >>> figure = keras_valleys.plots.learning_rates(comparison)
    >>> figure.axes[0].get_xscale()
    'log'
    """
    look = get_theme(theme)
    check_kind("learning_rates", "comparison", comparison=comparison)
    runs = [run for run in comparison.tuning if isinstance(run.learning_rate, float)]
    if not runs:
        raise refusal(
            "learning_rates",
            "a comparison of several learning rates",
            "one without tuning",
            "Call `compare` with tune=[0.001, 0.01, 0.1].",
        )
    taken = {one.optimizer: one.learning_rate for one in comparison.summaries}
    groups = _by_rate(runs)
    labels = dict(xlabel="learning rate", ylabel="true final loss")
    figure, panels, _ = panel_grid(list(groups), look, **labels)
    panels[0].set_xscale("log")
    first = [run.trajectory.losses[0] for run in runs if len(run.trajectory)]
    top = set_view(panels[0], np.array([run.final_loss for run in runs]), np.array(first))
    medians = {label: _medians(by_rate) for label, by_rate in groups.items()}
    for axes, (label, by_rate) in zip(panels, groups.items(), strict=True):
        for other, line in medians.items():
            if other != label:
                axes.plot(*line, color=look.surface, linewidth=0.8, alpha=0.45, zorder=2)
        _draw(axes, by_rate, medians[label], optimizer_color(label), top)
        rate = taken[label]
        if isinstance(rate, float):
            add_title(axes, look, label, f"{rate:.3g} taken")
            middle = dict(zip(*medians[label], strict=True))[rate]
            axes.plot(
                [rate],
                [middle],
                marker="o",
                markersize=10,
                markerfacecolor="none",
                markeredgecolor=look.ink,
                markeredgewidth=1.2,
                zorder=5,
            )
    lost = any(run.status != "finished" or not run.final_loss <= top for run in runs)
    cut = " or above" if any(top < run.final_loss < math.inf for run in runs) else ""
    said = "Dots: runs. Line: their median. Ring: the rate that was taken."
    add_caption(figure, look, [said + f" Cross: diverged, failed{cut}." * lost])
    return figure


def _by_rate(runs):
    """For each optimizer the final losses at each learning rate."""
    groups: dict[str, dict[float, list[float]]] = {}
    for run in runs:
        by_rate = groups.setdefault(run.optimizer, {})
        loss = run.final_loss if run.status == "finished" else math.inf
        by_rate.setdefault(run.learning_rate, []).append(loss)
    return groups


def _medians(by_rate):
    rates = sorted(by_rate)
    found = [statistics.median(by_rate[rate]) for rate in rates]
    return rates, [loss if math.isfinite(loss) else math.nan for loss in found]


def _draw(axes, by_rate, line, color, top):
    axes.plot(*line, color=color, linewidth=1.6, zorder=3)
    for rate, losses in by_rate.items():
        known = [loss for loss in losses if loss <= top and math.isfinite(loss)]
        mark = dict(color=color, linestyle="", zorder=4)
        axes.plot([rate] * len(known), known, marker="o", markersize=3.5, **mark)
        if len(known) < len(losses):
            axes.plot(
                [rate],
                [1.0],
                transform=axes.get_xaxis_transform(),
                marker="x",
                markersize=6,
                markeredgewidth=1.6,
                clip_on=False,
                **mark,
            )
