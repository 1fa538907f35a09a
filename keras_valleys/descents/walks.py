"""Descents side by side: one variable of many weight vectors, one Keras optimizer, one loop."""

import contextlib
import time

import keras
import numpy as np
from keras import ops

from keras_valleys._backend import (
    applier,
    build,
    gradients,
    normal_mode,
    pays_together,
    updated,
)
from keras_valleys._checks import refusal
from keras_valleys._fingerprints import digest_of
from keras_valleys._optimizers import check_made, decay_exclusions, parts_of
from keras_valleys._progress import Checkpoint, Progress
from keras_valleys._weights import to_numpy

MOST = 1024  # starts at once: more are no faster
TOGETHER_BYTES = 2**25  # of values in one step, where starts go through the model together
STATE_BYTES = 2**28  # of weights and of what the optimizer keeps for each, about four times as much
WORK = 2**31  # values in one call, so that progress is seen and kept
MOVES = 6  # updates that are compared
PATIENCE = 20  # calls in which none came, as where a learning rate has run out


class Ground:
    """An objective as ground to walk on: how many starts go together, and how they are held.

    Args:
        owner: Name of the asking function, for the error messages.
        objective: A `keras_valleys.objectives.Objective`.
    """

    def __init__(self, owner, objective):
        _check_objective(owner, objective)
        self.objective = objective
        point = objective.point()
        rows = np.stack([point, 0.99 * point + 0.01])
        slopes = objective.compute(_gradients_in_turn, rows)
        _check_slopes(owner, objective, rows, slopes)
        self.together = pays_together(objective.num_values) and self._goes_together(rows, slopes)
        self.constraint = _constraint_of(objective)

    def chunk(self, num, steps):
        """How many of `num` starts are walked at once."""
        size, values = self.objective.size, self.objective.num_values + self.objective.size
        most = min(num, MOST, STATE_BYTES // (4 * 8 * size))
        if self.together:
            return max(min(most, TOGETHER_BYTES // (4 * values)), 1)
        return max(min(most, max(WORK // (values * steps), 16)), 1)

    def _goes_together(self, rows, slopes):
        """Whether the layers run under the backend's vectorization, and to the same slopes."""
        try:
            found = self.objective.compute(_gradients_together, rows)
        except Exception:  # each layer has its own way not to run
            return False
        scale = np.abs(slopes).max()
        return bool(np.allclose(found, slopes, rtol=1e-4, atol=1e-5 * scale, equal_nan=True))


class Walker:
    """An optimizer that walks from `num` starts at once, again and again.

    Args:
        ground: A `Ground`.
        candidate: A `Candidate`, the optimizer.
        num: Number of starts.
    """

    def __init__(self, ground, candidate, num):
        self._ground, self._candidate = ground, candidate
        self._num, self._dtype, self.compiled = num, ground.objective.dtype, False
        with normal_mode():
            zeros = np.zeros((num, ground.objective.size))
            self._optimizer, self._weights = self._begin(zeros, None)
        self._advance = ground.objective.prepare(self._after)

    def __call__(self, starts, steps, marks=(), learning_rate=None):
        """The weights after each number of steps in `marks`, and at last as `fit` leaves them.

        Returns:
            Array of shape `(len(starts), len(marks) + 1, P)`.
        """
        with normal_mode():
            return self._walk(starts, steps, marks, learning_rate)

    def _walk(self, starts, steps, marks, learning_rate):
        padding = np.repeat(starts[-1:], self._num - len(starts), axis=0)
        fresh, weights = self._begin(np.concatenate([starts, padding]), learning_rate)
        values = [to_numpy(variable) for variable in [weights, *fresh.variables]]
        kept, done, self.compiled = [], 0, True
        for mark in sorted({*marks, steps}):
            if mark > done:
                values = self._advance(*values, mark - done)
            done = mark
            if mark in marks:
                kept.append(values[0])
        return np.stack([*kept, self._finished(values)], axis=1)[: len(starts)]

    def _begin(self, starts, learning_rate):
        """An optimizer without a past; some begin from the weights that they are built on."""
        optimizer = self._candidate.fresh(learning_rate)
        weights = keras.Variable(starts, dtype=self._dtype, trainable=False, name="weights")
        weights.constraint = self._ground.constraint
        build(optimizer, weights)
        return optimizer, weights

    def _after(self, loss, *given):
        *values, num = given

        def gradients_at(rows):
            return gradients(loss, rows, together=self._ground.together)

        num = ops.cast(num, "int32")
        return tuple(updated(self._optimizer, self._weights, gradients_at, list(values), num))

    def _finished(self, values):
        """What `fit` does last: an average of the weights may take their place."""
        for variable, value in zip(
            [self._weights, *self._optimizer.variables], values, strict=True
        ):
            variable.assign(value)
        self._optimizer.finalize_variable_values([self._weights])
        return np.array(to_numpy(self._weights))


class Walks:
    """All that is walked in one call: the starts, how far, and what is kept.

    Args:
        ground: A `Ground`.
        starts: Array of shape `(K, P)`.
        steps: Number of steps.
        marks: Numbers of steps after which weights are kept.
    """

    def __init__(self, ground, starts, steps, marks=()):
        self._ground, self._starts, self._steps, self._marks = ground, starts, steps, marks
        self._chunk = ground.chunk(len(starts), steps)

    def run(self, candidates, checkpoint, verbose, *, rates=(None,)):
        """Walk from all starts under one optimizer and learning rate after the other.

        Args:
            candidates: List of `Candidate`, the optimizers.
            checkpoint: A `Checkpoint`.
            verbose: "auto", 0 or 1.
            rates: The learning rates of each, `None` for its own.

        Yields:
            Array of shape `(K, len(marks) + 1, P)` for each optimizer and learning rate.
        """
        total = len(self._starts) * len(candidates) * len(rates)
        progress = Progress(verbose, total, total, unit="start")
        for candidate in candidates:
            walker = Walker(self._ground, candidate, self._chunk)
            for rate in rates:
                try:
                    self._walk(walker, rate, checkpoint, progress)
                finally:  # what is finished outlives an error, and Ctrl-C
                    checkpoint.write()
                yield checkpoint.losses()

    def _walk(self, walker, rate, checkpoint, progress):
        pending = checkpoint.begin(len(self._starts), (len(self._marks) + 1, self._starts.shape[1]))
        if len(pending) < len(self._starts):
            progress.add(len(self._starts) - len(pending), None)
        for first in range(0, len(pending), self._chunk):
            part = pending[first : first + self._chunk]
            begin, compiles = time.perf_counter(), not walker.compiled
            found = walker(self._starts[part], self._steps, self._marks, rate)
            checkpoint.put(part, found)
            seconds = (time.perf_counter() - begin) / self._chunk  # the last one is padded
            progress.add(len(part), None if compiles else seconds)


def _gradients_together(loss, rows):
    return gradients(loss, rows, together=True)


def _gradients_in_turn(loss, rows):
    return gradients(loss, rows, together=False)


def _check_objective(owner, objective):
    if objective.num_batches != 1:
        raise refusal(
            owner,
            "data in one batch: each step takes the gradient on all rows",
            f"{objective.num_batches} batches",
            f"Give `Objective` arrays and batch_size={objective.num_rows}, or fewer rows.",
        )
    dtypes = {keras.backend.standardize_dtype(v.dtype) for v in objective.variables}
    if dtypes != {objective.dtype}:
        raise refusal(
            owner,
            f"all weights in {objective.dtype}, as one variable holds them",
            f"weights in {sorted(dtypes)}",
            "Build the model under one dtype policy, with float32 or float64 variables.",
        )


def _check_slopes(owner, objective, rows, slopes):
    """Refuse a loss of which the backend has no derivative at all: `fit` would not move either.

    What it cannot differentiate only in part, as behind a `stop_gradient`, goes as `fit` goes.
    """
    if np.any(slopes) or objective.size == 0:
        return
    ways = 1e-3 * np.maximum(np.abs(rows), 0.1)
    rise = objective(rows + ways) - objective(rows - ways)
    if np.any(np.abs(rise) > 1e-5 * np.abs(objective(rows))):
        raise refusal(
            owner,
            "a loss that the backend can differentiate: no optimizer moves the weights of another",
            "a gradient of zeros, of a loss that changes with the weights",
            "Look for `stop_gradient`, rounding, NumPy or `py_function` in the model or loss.",
        )


def _constraint_of(objective):
    """The constraints of the model's variables as one of rows of weights, or `None`."""
    constraints = [variable.constraint for variable in objective.variables]
    if not any(constraints):
        return None

    def constrained(row):
        parts = [
            ops.reshape(row[s], z) for s, z in zip(objective.slices, objective.shapes, strict=True)
        ]
        pairs = zip(constraints, parts, strict=True)
        return ops.concatenate([ops.reshape(a if c is None else c(a), (-1,)) for c, a in pairs])

    point = objective.point()
    rows = ops.convert_to_tensor(np.stack([point, -1.9 * point + 0.7]))
    expected = to_numpy(ops.stack([constrained(row) for row in rows]))
    mapped = ops.map
    try:
        found = to_numpy(ops.vectorized_map(constrained, rows))
        if np.allclose(found, expected, rtol=1e-6, equal_nan=True):
            mapped = ops.vectorized_map
    except Exception:  # each constraint has its own way not to run
        mapped = ops.map
    return lambda weights: mapped(constrained, ops.convert_to_tensor(weights.value))


def checkpoint_of(owner, path, objective, candidates, *, facts, depends):
    """What keeps finished descents, of these optimizers and facts alone.

    Args:
        owner: Name of the asking function, for the error messages.
        path: Path of the file, or `None` for none.
        objective: A `keras_valleys.objectives.Objective`.
        candidates: List of `Candidate`, the optimizers.
        facts: Arrays and texts that the descents depend on as well.
        depends: All that they depend on, in words.
    """
    if path is None:
        return Checkpoint(None, "", owner=owner, depends=depends)
    identities = [candidate.identity() for candidate in candidates]
    if None in identities:
        raise refusal(
            owner,
            "an optimizer whose config can be written, where `checkpoint` is given",
            f"{candidates[identities.index(None)].label}, whose config Keras cannot serialize",
            "Use checkpoint=None, or a schedule instead of a function.",
        )
    digest = digest_of(objective, *facts, *identities)
    return Checkpoint(path, digest, owner=owner, depends=depends)


def check_elementwise(owner, candidate, objective, *, num):
    """Refuse an optimizer under which starts side by side would not go as each alone.

    The optimizer itself is run: on some rows of weights together, and on each row alone, in
    variables of the model's shapes as `model.fit` has them. One row of gradients is NaN. Gradients
    of many sizes come in turn, since clipping only shows where it clips.

    Args:
        owner: Name of the asking function, for the error message.
        candidate: A `Candidate`, the optimizer.
        objective: A `keras_valleys.objectives.Objective`.
        num: Number of starts.
    """
    optimizer, size = check_made(owner, candidate), objective.size
    _check_decay(owner, optimizer)
    random = np.random.default_rng(0)
    # From zero the smallest learning rate shows; at zero some have no step of their own to take.
    starts = np.stack([np.zeros(size), random.normal(size=size)])
    starts = starts.astype(objective.dtype)
    groups = [starts[:1], starts[1:]] if num == 1 else [np.concatenate([starts, starts[1:]])]
    together = [_Run(candidate.make(), rows, ["weights"], [rows.shape]) for rows in groups]
    names, shapes = objective.names, objective.shapes
    alone = [_Run(candidate.make(), row, names, shapes) for row in starts]
    moves, idle, largest = 0, 0, np.abs(starts)
    patience = PATIENCE * (optimizer.gradient_accumulation_steps or 1)
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
            raise _couples(owner, optimizer, num)
        moved = not np.array_equal(before, expected[1], equal_nan=True)
        moves, idle = moves + moved, 0 if moved else idle + 1


class _Run:
    """An optimizer on variables of its own."""

    def __init__(self, optimizer, values, paths, shapes):
        self._shapes = shapes
        parts = self._split(values.reshape(-1))
        self._variables = [_variable(path, a) for path, a in zip(paths, parts, strict=True)]
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


def _check_decay(owner, optimizer):
    if any(decay_exclusions(part) for part in parts_of(optimizer)):
        raise refusal(
            owner,
            "weight decay of all weights, or of none: it has all weights in one variable",
            f"{type(optimizer).__name__} after `exclude_from_weight_decay`",
            "Use a regularizer on the layers that are to decay.",
        )


def _couples(owner, optimizer, num):
    options = {name: getattr(optimizer, name, None) for name in ("clipnorm", "global_clipnorm")}
    found = ", ".join(f"{name}={value}" for name, value in options.items() if value)
    alone = (
        "in one variable it does not go as in the model's own"
        if num == 1
        else ("starts side by side do not go as each alone")
    )
    return refusal(
        owner,
        "an optimizer that updates each weight by itself",
        f"{type(optimizer).__name__}{f' with {found}' if found else ''}, under which {alone}",
        "Use "
        f"{'clipvalue' if found else 'Adam, SGD or another without norms over several weights'}, "
        "or run `model.fit` from each start.",
    )
