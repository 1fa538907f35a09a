"""Pictures over the steps of a training."""

import numpy as np

from keras_valleys.plots._paths import as_list
from keras_valleys.plots._style import (
    add_legend,
    add_note,
    axis_of,
    get_theme,
    new_figure,
    path_styles,
    style_axes,
)


def loss_by_step(trajectories, *, theme="light"):
    """The loss at each step.

    Args:
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`. The loss axis is logarithmic where positive losses span more than a
        factor of 1000. Unknown losses (NaN) are gaps.

    Raises:
        ValueError: The theme is unknown.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0.8], [0.7]], [0.61, np.nan])
    >>> figure = keras_valleys.plots.loss_by_step(path)
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.61,  nan])
    """
    rows = [np.asarray(t.losses, "float64") for t in as_list(trajectories)]
    axes = _over_steps(trajectories, rows, get_theme(theme), "loss")
    finite = np.concatenate([row[np.isfinite(row)] for row in rows] or [[]])
    if finite.size and finite.min() > 0 and finite.max() > 1000 * finite.min():
        axes.set_yscale("log")
    return axes.figure


def weight_by_step(trajectories, *, index=0, name="phi", theme="light"):
    """One weight at each step.

    Args:
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them.
        index: Number of the weight in the flat weight vector.
        name: Name of the weight; "phi" is an angle in radians and is drawn in degrees.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: A trajectory has no weight of that index, or the theme is unknown.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[np.pi / 4], [0.0]], [0.6, 0.5])
    >>> figure = keras_valleys.plots.weight_by_step(path)
    >>> figure.axes[0].lines[0].get_ydata()
    array([45.,  0.])
    """
    look = get_theme(theme)
    paths = as_list(trajectories)
    sizes = [path.weights.shape[1] for path in paths]
    if any(not -size <= index < size for size in sizes):
        raise ValueError(
            "`weight_by_step` expects `index` to be a place in the flat weight vector. Received: "
            f"index={index}, trajectories of {sizes} weights. Use index=0 for the first weight."
        )
    scale, text = axis_of(name)
    rows = [np.asarray(path.weights[:, index], "float64") * scale for path in paths]
    return _over_steps(paths, rows, look, text).figure


def _over_steps(trajectories, rows, look, ylabel):
    paths = as_list(trajectories)
    figure = new_figure(look, (7.0, 4.0))
    axes = style_axes(figure.add_subplot(), look, xlabel="step", ylabel=ylabel)
    axes.xaxis.get_major_locator().set_params(integer=True)
    diverged = 0
    for path, row, style in zip(paths, rows, path_styles(paths), strict=True):
        diverged += int(np.sum(np.isinf(row) | ~np.all(np.isfinite(path.weights), axis=1)))
        every = max(1, len(row) // (120 if len(paths) == 1 else 12))
        values = np.where(np.isfinite(row), row, np.nan)
        axes.plot(
            path.steps,
            values,
            **style,
            linewidth=1.8,
            markersize=3 if len(paths) == 1 else 5,
            markevery=every,
        )
    add_note(axes, look, [f"{diverged} steps diverged" if diverged else ""])
    if len(paths) > 1:
        add_legend(figure, look)
    return axes
