"""Keras optimizers: copies of the caller's, and whether they update each weight by itself."""

import contextlib
import copy
import inspect
import json
import reprlib

import keras
import numpy as np
from keras import ops

from keras_valleys._backends import applier
from keras_valleys._weights import to_numpy

MOVES = 6  # updates that are compared
PATIENCE = 20  # calls in which none came, as where a learning rate has run out


def copier(given, owner):
    """A function that makes an optimizer as given anew: with no state, and not yet built.

    Args:
        given: Name, instance, class or config of a Keras optimizer.
        owner: Name of the asking function, for the error messages.
    """
    try:
        given = copy.deepcopy(given) if isinstance(given, dict) else given  # Keras takes it apart
        first = keras.optimizers.get(given() if inspect.isclass(given) else given)
        type(first).from_config(first.get_config())
    except Exception as error:  # each kind of input has its own way to fail
        raise ValueError(
            f"`{owner}` expects a Keras optimizer that can be made again from its config: an "
            f"instance, a name, a class or a config. Received: {reprlib.repr(given)} ({error}). "
            "Use keras.optimizers.SGD(0.05), or register your own class."
        ) from error
    if first.weight_decay is not None and _excludes(first):
        raise ValueError(
            f"`{owner}` expects weight decay of all weights, or of none: it has all weights in one "
            f"variable. Received: {label_of(first)} after `exclude_from_weight_decay`. Use a "
            "regularizer on the layers that are to decay."
        )
    return lambda: type(first).from_config(first.get_config())


def label_of(optimizer):
    """A name for an optimizer in print."""
    return type(optimizer).__name__


def describe(make):
    """What an optimizer is, as text: equal for one made again, whatever its name."""
    return json.dumps(_plain(keras.saving.serialize_keras_object(make())), sort_keys=True)


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if key != "name"}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | None) else repr(value)


def check_elementwise(make, objective, *, num, owner):
    """Refuse an optimizer under which starts side by side would not go as each alone.

    The optimizer itself is run: on some rows of weights together, and on each row alone, in
    variables of the model's shapes as `model.fit` has them. One row of gradients is NaN. Gradients
    of many sizes come in turn, since clipping only shows where it clips.

    Args:
        make: Function that makes the optimizer.
        objective: A `keras_valleys.objectives.Objective`.
        num: Number of starts.
        owner: Name of the asking function, for the error message.
    """
    size, shapes = objective.size, list(zip(objective.names, objective.shapes, strict=True))
    random = np.random.default_rng(0)
    # From zero the smallest learning rate shows; at zero some have no step of their own to take.
    starts = np.stack([np.zeros(size), random.normal(size=size)])
    starts = starts.astype(objective.dtype)
    groups = [starts[:1], starts[1:]] if num == 1 else [np.concatenate([starts, starts[1:]])]
    together = [_Run(make(), rows, [("weights", rows.shape)]) for rows in groups]
    alone = [_Run(make(), row, shapes) for row in starts]
    moves, idle, largest = 0, 0, np.abs(starts)
    patience = PATIENCE * (make().gradient_accumulation_steps or 1)
    while moves < MOVES and idle < patience:
        slopes = random.normal(size=(3, size)) * 10.0 ** (2 * moves - 3)
        slopes[2] = np.nan
        before = alone[1].point()
        for run, rows in zip(together, _shares(slopes, groups), strict=True):
            run.update(rows)
        for run, row in zip(alone, slopes[:2], strict=True):
            run.update(row)
        ends = np.concatenate([run.point() for run in together]).reshape(-1, size)
        expected = np.stack([run.point() for run in alone])
        largest = np.fmax(largest, np.abs(expected))
        if not _agree(ends[:2], expected, largest.max(axis=1, keepdims=True)):
            raise _couples(make(), num, owner)
        moved = not np.array_equal(before, expected[1], equal_nan=True)
        moves, idle = moves + moved, 0 if moved else idle + 1


class _Run:
    """An optimizer on variables of its own."""

    def __init__(self, optimizer, values, shapes):
        self._shapes = [shape for _, shape in shapes]
        parts = self._split(values.reshape(-1))
        self._variables = [_variable(path, a) for (path, _), a in zip(shapes, parts, strict=True)]
        optimizer.build(self._variables)
        self._apply = applier(optimizer, self._variables)

    def update(self, slopes):
        dtype = self._variables[0].dtype
        parts = [ops.convert_to_tensor(a, dtype) for a in self._split(slopes.reshape(-1))]
        self._apply(parts)

    def point(self):
        return np.concatenate([to_numpy(variable).reshape(-1) for variable in self._variables])

    def _split(self, flat):
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return [a.reshape(shape) for a, shape in zip(parts, self._shapes, strict=True)]


def _variable(path, value):
    *scopes, name = path.split("/")
    with contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(keras.name_scope(scope))
        return keras.Variable(value, dtype=str(value.dtype), trainable=False, name=name)


def _shares(rows, groups):
    return [rows] if len(groups) == 1 else [rows[:1], rows[1:2]]


def _agree(found, expected, largest):
    """Whether rows are equal but for rounding of `largest`; also where both are NaN or infinite."""
    with np.errstate(invalid="ignore"):
        close = np.abs(found - expected) <= 1e-5 * largest
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    return bool(np.all(close | same))


def _excludes(optimizer):
    # Not in its config, so that a copy would not know of it.
    names = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    return any(getattr(optimizer, name, None) for name in names)


def _couples(optimizer, num, owner):
    options = {name: getattr(optimizer, name, None) for name in ("clipnorm", "global_clipnorm")}
    found = ", ".join(f"{name}={value}" for name, value in options.items() if value)
    alone = "in one variable it does not go as in the model's own" if num == 1 else (
        "starts side by side do not go as each alone"
    )  # fmt: skip
    return ValueError(
        f"`{owner}` expects an optimizer that updates each weight by itself. Received: "
        f"{label_of(optimizer)}{f' with {found}' if found else ''}, under which {alone}. Use "
        f"{'clipvalue' if found else 'Adam, SGD or another without norms over several weights'}, "
        "or run `model.fit` from each start."
    )
