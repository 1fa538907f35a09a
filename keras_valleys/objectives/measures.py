"""All that `model.evaluate` tells, as functions on weight space: loss, metrics, loss by class."""

import contextlib

import keras
import numpy as np
from keras import ops

from keras_valleys._backend import compiled, map_rows, run_test_step, side_by_side
from keras_valleys._checks import refusal, shortened
from keras_valleys._weights import to_numpy
from keras_valleys.objectives.data import as_tensors, rows_of

MOST_CLASSES = 100
MOST_NUMBERS = 1000  # of all metrics
LARGEST_COUNT = 2**24  # from which on float32 does not hold every whole number
LINEAR = 1e-3  # relative: by how much the losses of classes may miss that of all
ROWS = "a loss that is a mean over the rows, each times its sample weight"


class Measures:
    """What `model.evaluate(return_dict=True)` returns at points of a line or plane.

    The model's own `test_step` runs on one batch after the other, and the states of its metrics go
    from batch to batch as values, so that those are right which are no means over batches, and the
    metrics themselves stay as they are.

    The loss of a class is the loss with the sample weights of all other rows set to 0, times the
    rows of the batch for each of the class: the mean over its rows. Penalties are added whole.

    Args:
        objective: An `Objective`.
        classes: Whether to tell the loss of each class as well.

    Attributes:
        names: The names of the metrics, the loss first, and of the losses of classes behind them.
        num_metrics: How many of these are no losses of classes, the loss among them.
    """

    def __init__(self, objective, *, classes):
        self._objective, self._model = objective, objective.model
        self.size = objective.size
        self.num_rows, self.streams = objective.num_rows, objective.streams
        self._reads_twice = objective._statistics.needs_two_passes(objective.num_batches)
        self._states = objective._states if objective._chained else []
        self._classes = self._counts = np.zeros(0)
        if classes:
            self._classes, self._counts = classes_of(objective)
            _check_linear(self._model)
        first = as_tensors(next(iter(objective._batches)))
        with objective._standing_in():
            self._build(first)
            self._carried = self._states_of_metrics() + self._states
            self._begin = self._initial()
            if classes:
                self._check_rows(first)
        sizes = [int(np.prod(variable.shape)) for variable in self._carried]
        ends = np.cumsum([0, *sizes]).tolist()
        self._parts = [slice(*pair) for pair in zip(ends, ends[1:], strict=False)]
        whole = [not keras.backend.is_float_dtype(v.dtype) for v in self._carried]
        self._are_whole = np.repeat(whole, sizes).astype(bool)
        self._logs: dict[str, object] = {}
        self._call = compiled(objective._over_batch(self._along, self._measure), open_batch=True)
        self.group = self._find_group(first)
        logs = self._logs
        self.names = [*logs, *(f"class {_label(one)}" for one in self._classes)]
        self.num_metrics = len(logs)

    def along(self, coefficients, directions, origin):
        """All measures, shape `(n, M)`, at `origin + coefficients @ directions`."""
        objective = self._objective
        rows = np.asarray(coefficients, objective.dtype)
        plane = np.asarray(directions, objective.dtype), np.asarray(origin, objective.dtype)
        fixed = [rows]
        if self._reads_twice:
            fixed.append(objective._reestimated(rows, *plane))
        state = np.tile(self._begin, (len(rows), 1))
        total, last = 0.0, rows[:, :0]
        for batch in objective._kept or map(as_tensors, objective._batches):
            found = self._numbers(np.concatenate([*fixed, state], axis=1), *plane, batch)
            state, last, sums = np.split(
                found, [self._begin.size, self._begin.size + self.num_metrics], axis=1
            )
            self._check_counts(state)
            total = total + rows_of(batch) * sums.astype("float64")
        return np.concatenate([last.astype("float64"), self._of_classes(total)], axis=1)

    def _numbers(self, rows, directions, origin, batch):
        objective = self._objective
        objective._check_unchanged()
        tensors = [
            ops.convert_to_tensor(np.asarray(a, objective.dtype))
            for a in (rows, directions, origin)
        ]
        held = [ops.convert_to_tensor(variable) for variable in objective._held]
        with objective._standing_in():
            return np.array(to_numpy(self._call(tensors, held, batch)))

    def _along(self, measure, rows, directions, origin):
        num_axes = ops.shape(directions)[0]  # which a trace may leave open

        def at(row):
            return measure(origin + ops.matmul(row[:num_axes], directions), row[num_axes:])

        return map_rows(at, rows, self.group)

    def _measure(self, point, variables, values, batch, numbers):
        """States of metrics after a batch, what `test_step` logs, and the losses of classes.

        `numbers` are the statistics at the point, if they are of all rows, and the states before.
        """
        objective = self._objective
        mapping = objective._mapping(point, variables, values)
        own = objective._statistics.in_use()
        if self._reads_twice:
            size = objective._statistics.size
            mapping += objective._statistics.mapping(numbers[:size])
            own, numbers = contextlib.nullcontext(), numbers[size:]
        mapping += [
            (variable, ops.cast(ops.reshape(numbers[part], variable.shape), variable.dtype))
            for variable, part in zip(self._carried, self._parts, strict=True)
        ]
        with own:
            data = keras.utils.pack_x_y_sample_weight(*batch)
            logs, ends = run_test_step(self._model, mapping, data, objective._follow, self._carried)
            by_class = self._class_sums(mapping, batch) if len(self._classes) else []
        self._logs = _named(logs, type(self._model).__name__)
        found = [*ends, *self._logs.values(), *by_class]
        return ops.concatenate([ops.reshape(ops.cast(a, objective.dtype), (-1,)) for a in found])

    def _check_rows(self, batch):
        """Refuse a loss of which no part belongs to a row: that of some rows tells of others."""
        x, y, sample_weight = batch
        labels, num = to_numpy(_in_one_axis(y)), rows_of(batch)

        def run():
            y_pred, found = self._model(x, training=False), []
            for one in self._classes:
                own = np.flatnonzero(labels == one)
                if len(own):
                    parts = keras.tree.map_structure(
                        lambda a, own=own: None if a is None else ops.take(a, own, axis=0),
                        (y, y_pred, sample_weight),
                    )
                    loss = self._model.compute_loss(x, *parts)
                    found.append((one, len(own), float(to_numpy(ops.mean(loss)))))
            return found

        # Regularizers ask the scope for the weights.
        here = [(v, ops.convert_to_tensor(v)) for v in self._model.variables]
        with keras.StatelessScope(state_mapping=here, collect_losses=True):
            alone = self._objective._follow(run)
        _, penalty, *sums = (float(to_numpy(one)) for one in self._class_sums(here, batch))
        for one, count, loss in alone:
            ours = sums[list(self._classes).index(one)] * num / count + penalty
            if abs(ours - loss) > LINEAR * max(abs(ours), abs(loss)):
                raise _no_classes(ROWS, f"a loss of {loss:.4g} for rows that add {ours:.4g} to it")

    def _class_sums(self, mapping, batch):
        """The loss of all rows but for penalties, the penalties, and what each class adds."""
        model, (x, y, sample_weight) = self._model, batch

        def run():
            y_pred = model(x, training=False)
            if getattr(y_pred, "_keras_mask", None) is not None:
                raise _no_classes("a model whose outputs have no mask", "one with a mask")
            penalty = sum((ops.sum(loss) for loss in model.losses), ops.zeros(()))
            labels = _in_one_axis(y)
            losses = [model.compute_loss(x, y, y_pred, sample_weight)]
            for one in self._classes:
                mask = ops.cast(ops.equal(labels, ops.cast(one, labels.dtype)), penalty.dtype)
                if sample_weight is not None:
                    shape = (-1, *[1] * (len(sample_weight.shape) - 1))
                    mask = ops.reshape(mask, shape) * ops.cast(sample_weight, mask.dtype)
                losses.append(model.compute_loss(x, y, y_pred, mask))
            first, *others = (ops.mean(loss) - ops.cast(penalty, loss.dtype) for loss in losses)
            return [first, penalty, *others]

        with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
            return self._objective._follow(run)

    def _of_classes(self, total):
        """The losses of classes, shape `(n, C)`, from the sums over all rows."""
        if not len(self._classes):
            return total[:, :0]
        whole, penalty, sums = total[:, :1], total[:, 1:2], total[:, 2:]
        apart = np.abs(sums.sum(axis=1, keepdims=True) - whole)
        if np.any(apart > LINEAR * np.maximum(np.abs(whole), np.abs(sums).sum(axis=1)[:, None])):
            raise _no_classes(ROWS, "one whose parts by class do not add up to it")
        return sums / self._counts + penalty / self.num_rows

    def _build(self, batch):
        """Let Keras make what it makes at the first batch: no function may make it when traced."""
        model, (x, y, sample_weight) = self._model, batch
        if vars(model).get("_compile_metrics") is None:
            return

        def run():
            model.compute_metrics(x, y, model(x, training=False), sample_weight)

        with keras.StatelessScope(collect_losses=True):
            self._objective._follow(run)
        made = {id(metric): metric for metric in _metrics_of(model)}
        before = {key: _attributes(metric) for key, metric in made.items()}
        with keras.StatelessScope(collect_losses=True):
            self._objective._follow(run)
        for key, metric in made.items():
            kept = _attributes(metric)
            changed = [name for name, (_, seen) in before[key].items() if kept[name][1] != seen]
            if changed or set(kept) != set(before[key]):
                vars(metric).update({name: value for name, (value, _) in before[key].items()})
                raise refusal(
                    "evaluate_all",
                    "metrics that keep what they count in variables, made by `add_weight`",
                    f"{type(metric).__name__} {metric.name!r}, which keeps "
                    f"{shortened(changed or sorted(set(kept) - set(before[key])))} in Python",
                    "Use `self.add_weight` and `assign` in it, or metrics=False.",
                )

    def _states_of_metrics(self):
        return list({id(variable): variable for variable in self._model.metrics_variables}.values())

    def _initial(self):
        """The states of metrics after a reset, and zeros for those of stateful layers."""
        with keras.StatelessScope() as scope:
            for metric in self._model.metrics:
                metric.reset_state()
            values = [scope.get_current_value(variable) for variable in self._carried]
        layers = {id(variable) for variable in self._states}
        parts = [np.zeros(0)]
        for variable, value in zip(self._carried, values, strict=True):
            array = np.array(to_numpy(variable if value is None else value), "float64")
            parts.append(np.ravel(0 * array if id(variable) in layers else array))
        return np.concatenate(parts)

    def _find_group(self, batch):
        objective = self._objective

        def evaluate(rows, group):
            self.group = group
            return self._numbers(rows, np.zeros((1, self.size)) + 0.01, objective.point(), batch)

        rows = np.zeros((2, 1))
        rows[1] = 1
        parts = [rows, np.tile(self._begin, (2, 1))]
        if self._reads_twice:
            parts.insert(1, np.tile(objective.present_statistics(), (2, 1)))
        both = np.concatenate(parts, axis=1)
        group = side_by_side(evaluate, both, 4 * (self.size + objective.num_values))
        if not self._logs:
            evaluate(both, group)
        return group

    def _check_counts(self, state):
        if np.any(np.abs(state[:, self._are_whole]) >= LARGEST_COUNT):
            raise refusal(
                "evaluate_all",
                f"metrics that count to less than {LARGEST_COUNT}",
                "one that counts further in whole numbers",
                "Give fewer rows, or use metrics=False.",
            )


def _metrics_of(model):
    """The metrics of a model, and those within others."""
    waiting = list(model.metrics)
    while waiting:
        metric = waiting.pop()
        waiting += getattr(metric, "metrics", [])
        yield metric


def _attributes(metric):
    """What a metric holds in Python, by name: the value, and something that tells a change."""
    found = {}
    for name, value in vars(metric).items():
        seen: object = id(value)
        if isinstance(value, bool | int | float | str):
            seen = value
        elif isinstance(value, np.ndarray):
            seen = value.tobytes()
        elif isinstance(value, list | tuple | set | dict):
            parts = [*value, *value.values()] if isinstance(value, dict) else value
            seen = [repr(one) if isinstance(one, int | float | str) else id(one) for one in parts]
        found[name] = value, seen
    return found


def classes_of(objective):
    """The classes among the targets of an objective, rising, and how many rows each has."""
    found: dict[float, int] = {}
    for _, y, _ in objective._batches:
        for one, count in zip(*np.unique(_labels(y), return_counts=True), strict=True):
            found[float(one)] = found.get(float(one), 0) + int(count)
    if len(found) > MOST_CLASSES:
        raise _no_classes(f"at most {MOST_CLASSES} classes", f"{len(found)}")
    classes = sorted(found)
    return np.array(classes), np.array([found[one] for one in classes])


def _labels(y):
    """The class of each row, from whole numbers or from one-hot rows."""
    wanted = "targets of one class per row: whole numbers, or one-hot rows"
    arrays = keras.tree.flatten(y)
    array = np.asarray(arrays[0]) if len(arrays) == 1 and arrays[0] is not None else None
    if array is None or array.dtype.kind not in "biuf":
        raise _no_classes(wanted, f"{len(arrays)} arrays" if array is None else "others")
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        labels = array.reshape(-1).astype("float64")
        if np.array_equal(labels, np.round(labels)):
            return labels
    elif array.ndim == 2 and np.all((array == 0) | (array == 1)) and np.all(array.sum(1) == 1):
        return array.argmax(axis=1).astype("float64")
    raise _no_classes(wanted, f"an array of shape {array.shape} of other numbers")


def _in_one_axis(y):
    (labels,) = keras.tree.flatten(y)
    if len(labels.shape) > 1:
        one = labels.shape[1] == 1
        labels = ops.reshape(labels, (-1,)) if one else ops.argmax(labels, axis=1)
    return labels


def _label(one):
    return int(one)


def _check_linear(model):
    """Refuse a loss of which no part belongs to a row."""
    own = [
        name
        for name in ("test_step", "compute_loss")
        if getattr(type(model), name) is not getattr(keras.Model, name)
    ]
    if own:
        raise _no_classes("a model of Keras' own `compute_loss`", f"one with its own {own[0]}")
    for loss in keras.tree.flatten(model.loss):
        reduction = getattr(loss, "reduction", "sum_over_batch_size")
        if reduction in ("sum", "mean_with_sample_weight"):
            raise _no_classes("a loss with the reduction 'sum_over_batch_size'", repr(reduction))


def _no_classes(expected, received):
    return refusal(
        "evaluate_all",
        f"{expected}, with classes=True",
        received,
        "Use classes=False, or objectives of the rows of one class each.",
    )


def _named(logs, owner):
    """What `test_step` logs as numbers by name, "name[2]" of those that are several."""
    if not isinstance(logs, dict) or "loss" not in logs:
        raise refusal(
            "evaluate_all",
            "`test_step` to return a dictionary with the key 'loss'",
            f"{shortened(list(logs) if isinstance(logs, dict) else type(logs))} from {owner}",
            "Use metrics=False.",
        )
    found = {"loss": logs["loss"]}
    for name, value in logs.items():
        try:
            tensor = ops.convert_to_tensor(value)
            shape = tuple(tensor.shape)
            numbers = int(np.prod(shape))
        except (TypeError, ValueError) as error:
            raise _no_number(name, error) from error
        if numbers + len(found) > MOST_NUMBERS:
            raise _no_number(name, f"{numbers} numbers")
        if not shape:
            found[name] = tensor
            continue
        flat = ops.reshape(tensor, (-1,))
        for k, index in enumerate(np.ndindex(shape)):
            found[f"{name}{list(index)}"] = flat[k]
    return found


def _no_number(name, reason):
    return refusal(
        "evaluate_all",
        f"metrics of numbers, at most {MOST_NUMBERS} in all",
        f"{name!r}: {reason}",
        "Compile the model without it, or use metrics=False.",
    )
