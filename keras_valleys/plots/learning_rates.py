"""How much the outcome depends on the learning rate."""

import math
import statistics

import numpy as np

from keras_valleys.plots._panels import add_title, panel_grid, set_view
from keras_valleys.plots._style import add_caption, get_theme, optimizer_color


def learning_rates(comparison, *, theme="light"):
    """The final loss over the learning rate, of every rate that was tried.

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
    runs = [run for run in comparison.tuning if isinstance(run.learning_rate, float)]
    if not runs:
        raise ValueError(
            "`learning_rates` expects a comparison of several learning rates. "
            "Received: one without tuning. Call `compare` with tune=[0.001, 0.01, 0.1]."
        )
    taken = {one.optimizer: one.learning_rate for one in comparison.summaries}
    groups = _by_rate(runs)
    labels = dict(xlabel="learning rate", ylabel="final loss")
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
    groups = {}
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
