"""Several functions on one line or plane: losses of several data, metrics, losses of classes."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import check_kind, refusal, shortened
from keras_valleys._progress import Checkpoint, check_verbose
from keras_valleys.objectives import Objective
from keras_valleys.surfaces.sampling import Sampler
from keras_valleys.surfaces.statistics import note_on
from keras_valleys.surfaces.surface import Surface, as_coordinates, unsampled
from keras_valleys.surfaces.units import Periods, Units


def evaluate_all(
    objectives: Mapping[str, Objective],
    directions: ArrayLike | None = None,
    *,
    coordinates: ArrayLike | Sequence[ArrayLike],
    metrics: bool = True,
    classes: bool = False,
    origin: ArrayLike | None = None,
    labels: Sequence[str] | str | None = None,
    periods: Periods = None,
    units: Units = None,
    verbose: int | str = "auto",
) -> dict[str | tuple[str, str], Surface]:
    """Sample several functions on one line or plane: train and test loss, metrics, loss by class.

    At each point they are what `model.evaluate(return_dict=True)` returns once the weights are set
    to it. Metrics that are no means over rows, such as AUC and F1, are counted over all rows of the
    data there. The model and its metrics stay as they are.

    Args:
        objectives: A dictionary of names to `keras_valleys.objectives.Objective` over the same P
            weights, such as `{"train": ..., "test": ...}`.
        directions: As for `evaluate`.
        coordinates: As for `evaluate`.
        metrics: Whether to sample what the models are compiled with beside the loss: metrics,
            weighted metrics, and the losses of several outputs. A metric of several numbers, such
            as the F1 score of each class, is one surface for each: "f1_score[2]".
        classes: Whether to sample the loss of each class as well, "class 3" for targets of 3: the
            mean over its rows, penalties and sample weights as in the loss. Targets are whole
            numbers or one-hot rows, of at most 100 classes, and the loss is a mean over rows.
        origin: Weight vector of shape `(P,)`, the same for all. `None` is that of the `Directions`,
            or else the present weights of the first objective's model; where `directions` is `None`
            as well, it is 0.
        labels: As for `evaluate`.
        periods: As for `evaluate`; `None` takes what the layers of the first model declare.
        units: As for `evaluate`, likewise.
        verbose: As for `evaluate`.

    Returns:
        A dictionary of `Surface`s: under each name the loss, and under each pair of a name and a
        metric, such as `("test", "accuracy")`, that metric, as `model.evaluate` calls it.

    Raises:
        ValueError: No objective, objectives of different sizes, targets or a loss without classes,
            a metric that is no number, or what `evaluate` refuses.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mean_squared_error", metrics=["mae"])
    >>> x = np.ones((4, 1))
    >>> found = keras_valleys.surfaces.evaluate_all(
    ...     {
    ...         "train": keras_valleys.objectives.Objective(model, x, 0 * x),
    ...         "test": keras_valleys.objectives.Objective(model, x, 1 * x),
    ...     },
    ...     coordinates=[1.0, 2.0, 4.0],
    ... )
    >>> found["test"].losses.tolist(), found["test", "mae"].losses.tolist()
    ([0.0, 1.0, 9.0], [0.0, 1.0, 3.0])
    """
    _check(objectives, metrics=metrics, classes=classes)
    check_verbose(verbose, "evaluate_all")
    axes = as_coordinates(coordinates)
    surfaces: list[Surface] = []
    for objective in objectives.values():  # what does not fit is told before the work
        first = surfaces[0] if surfaces else None
        surfaces.append(
            unsampled(
                "evaluate_all",
                objective,
                directions,
                axes,
                origin if first is None else first.origin,
                labels,
                periods if first is None else first.periods,
                units if first is None else first.units,
            )
        )
    measures = [
        objective.measures(classes=classes) if metrics or classes else _Loss(objective)
        for objective in objectives.values()
    ]
    found: dict[str | tuple[str, str], Surface] = {}
    for name, one, surface in zip(objectives, measures, surfaces, strict=True):
        values = _sampled(one, surface, verbose)
        found[name] = _filled(surface, values[..., 0], surface.loss_name)
        for k, measure in list(enumerate(one.names))[1:]:
            if metrics or k >= one.num_metrics:
                found[name, measure] = _filled(surface, values[..., k], measure)
    return found


class _Loss:
    """The loss alone, as what `Objective.measures` returns."""

    def __init__(self, objective):
        self.along = lambda *plane: objective.along(*plane)[:, None]
        self.size, self.num_rows = objective.size, objective.num_rows
        self.streams, self.group = objective.streams, objective.group
        self.names, self.num_metrics = ["loss"], 1


def _sampled(measures, surface, verbose):
    """The values of all measures, shape `(n_1, ..., M)`."""
    shape = surface.losses.shape
    sampler = Sampler(
        measures,
        surface.directions,
        surface.origin,
        checkpoint=Checkpoint(None, "", owner="evaluate_all", depends=""),
        verbose=verbose,
        executor=None,
        note=note_on(surface.details.get("statistics", {})),
    )

    def on_grid(indices):
        where = np.unravel_index(indices, shape)
        pairs = zip(surface.coordinates, where, strict=True)
        return np.stack([axis[i] for axis, i in pairs], axis=-1)

    return sampler(on_grid, math.prod(shape)).reshape(*shape, -1)


def _filled(surface, losses, name):
    details = {**surface.details, "num_points": losses.size}
    return dataclasses.replace(surface, losses=losses.copy(), loss_name=name, details=details)


def _check(objectives, **flags):
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise refusal(
                "evaluate_all", f"`{name}` to be True or False", {name: flag}, f"Use {name}=True."
            )
    named = isinstance(objectives, Mapping) and all(isinstance(key, str) for key in objectives)
    if not named or not objectives:
        raise refusal(
            "evaluate_all",
            "`objectives` to be a dictionary of names to objectives",
            f"objectives={shortened(objectives)}",
            'Use {"train": objective, "test": other}.',
        )
    for one in objectives.values():
        check_kind("evaluate_all", "objective", objectives=one)
    sizes = {name: one.size for name, one in objectives.items()}
    if len(set(sizes.values())) > 1:
        raise refusal(
            "evaluate_all",
            "objectives over the same weights",
            f"numbers of weights {sizes}",
            "Make them of one model.",
        )
