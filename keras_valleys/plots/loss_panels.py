"""The loss of many optimizers over the steps, a panel for each."""

import numpy as np

from keras_valleys.plots._panels import add_title, by_label, panel_grid, set_view
from keras_valleys.plots._paths import as_list, thin
from keras_valleys.plots._style import add_caption, get_theme, optimizer_color


def loss_panels(trajectories, *, theme="light"):
    """The loss of many optimizers at each step.

    One panel per label holds all runs of that label as thin lines and their median as a thick one;
    the medians of the others are gray. All panels have the same axes, cut where losses are
    much higher than at the start; the loss axis is logarithmic where positive losses span more than
    a factor of 1000. Losses that are not finite are gaps, and a note says how many runs end so.

    Args:
        trajectories: A list of `keras_valleys.trajectories.Trajectory`.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The theme is unknown.

    Example:

    >>> paths = [
    ...     keras_valleys.trajectories.Trajectory([0, 1], [[0.8], [0.7]], [0.6, end], label)
    ...     for label, end in (("sgd", 0.5), ("adam", 0.4), ("sgd", 0.3))
    ... ]
    >>> figure = keras_valleys.plots.loss_panels(paths)
    >>> [axes.get_title("left") for axes in figure.axes]
    ['sgd', 'adam']
    """
    look = get_theme(theme)
    groups = by_label(as_list(trajectories))
    figure, panels, _ = panel_grid(list(groups), look, xlabel="step", ylabel="loss")
    medians = {label: _median(group) for label, group in groups.items()}
    for axes, (label, group) in zip(panels, groups.items(), strict=True):
        for other, line in medians.items():
            if other != label:
                axes.plot(*line, color=look.surface, linewidth=0.8, alpha=0.45, zorder=2)
        color = optimizer_color(label)
        for one in group:
            rows = thin(len(one.steps))
            axes.plot(
                one.steps[rows],
                _finite(one.losses)[rows],
                color=color,
                linewidth=0.8,
                alpha=0.6,
                zorder=3,
            )
        axes.plot(*medians[label], color=color, linewidth=2.0, zorder=4)
        lost = sum(not np.isfinite(one.losses[-1]) for one in group)
        add_title(axes, look, label, f"{lost} of {len(group)} diverged" if lost else "")
    runs = [one for group in groups.values() for one in group]
    losses = np.concatenate([one.losses for one in runs] or [[]])
    top = set_view(panels[0], losses, np.array([one.losses[0] for one in runs if len(one)]))
    panels[0].xaxis.get_major_locator().set_params(integer=True, nbins=5)
    above = int(np.sum(losses[np.isfinite(losses)] > top))
    gray = " Gray: the medians of the others." if len(groups) > 1 else ""
    cut = f" Cut at loss {top:.3g}, {above} losses above." if above else ""
    add_caption(figure, look, ["Thick: the median of the runs." + gray + cut])
    return figure


def _median(group):
    """Steps that all runs have, and the median there; NaN where most are not finite."""
    steps = group[0].steps
    for one in group[1:]:
        steps = np.intersect1d(steps, one.steps)
    rows = [one.losses[np.searchsorted(one.steps, steps)] for one in group]
    rows = np.where(np.isfinite(rows), np.array(rows, "float64"), np.inf)
    middle = np.median(rows, axis=0) if len(steps) else np.empty(0)
    keep = thin(len(steps))
    return steps[keep], _finite(middle)[keep]


def _finite(values):
    return np.where(np.isfinite(values), values, np.nan)
