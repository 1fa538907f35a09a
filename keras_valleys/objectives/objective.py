"""A compiled model and its data as a function of the flat weight vector."""

import contextlib
import inspect
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_valleys._backend import (
    compiled,
    compiles_each_shape,
    forgets_unlisted,
    logs_of_test_step,
    map_rows,
    num_replicas,
    reach,
    read_past_scope,
    side_by_side,
)
from keras_valleys._checks import (
    as_numbers,
    check_kind,
    check_whole,
    is_finite,
    refusal,
    shortened,
)
from keras_valleys._fingerprints import signature
from keras_valleys._weights import (
    flatten,
    layers_of,
    period_and_unit,
    select,
    states_of,
    to_numpy,
)
from keras_valleys.objectives.data import (
    Batches,
    Data,
    as_tensors,
    average,
    count_values,
    rows_of,
    widens,
)
from keras_valleys.objectives.measures import Measures
from keras_valleys.objectives.statistics import Statistics, check_mode

CALL_BYTES = 2**28  # of weight vectors that travel to one compiled call

Weights: TypeAlias = str | keras.Variable | keras.layers.Layer  # as a user names them


class Objective:
    """The loss of a compiled Keras model as a function on weight space.

    `objective(points)` is what `model.evaluate(x, y)` would return as the loss after the trainable
    weights had been set to each point: layers run in inference mode, losses include regularizers,
    `add_loss` and sample weights, and a `test_step` of the model's own is used. No variable of the
    model is changed. All points run in one compiled call.

    The flat weight vector has size P and holds `model.trainable_variables`, or those that
    `variables` selects, one after the other, each in C order; `names`, `shapes` and `slices` say
    where each is. All other variables are held at the values that they have when it is called,
    but for the states of stateful layers: these begin at zero, as after a reset, and go from batch
    to batch where they do so in `model.evaluate`, which on JAX begins each batch anew.

    A layer may declare that the loss is periodic in a weight, and in which unit the weight is, by
    attributes of the variable: `self.phi.period = math.pi` and `self.phi.unit = "rad"` in `build`,
    as `keras_valleys.layers.AngleFit` does. Surfaces along the weight then have them.

    Args:
        model: A built and compiled Keras model of any kind.
        x: Input arrays, as for `model.evaluate`, or a data set of batches that can be read again
            and is the same each time: a `tf.data.Dataset`, a torch `DataLoader`, a
            `keras.utils.PyDataset`. A data set of more than 256 MB is read anew at each call,
            batch by batch, and all points are evaluated on each batch. Arrays may be text (on
            TensorFlow), sparse or ragged tensors, SciPy's sparse arrays, and frames and columns
            of pandas that hold numbers and bools.
        y: Target arrays; `None` with a data set.
        sample_weight: Weights of the rows, shape `(N,)`, as for `model.evaluate`.
        class_weight: Dictionary of classes to weights, as for `model.fit`.
        variables: The weights to vary: a list of variables, layers or names such as "dense",
            "dense/kernel" or "kernel". `None` takes all trainable ones.
        batch_size: Number of rows that the model sees at once. It bounds the memory, and changes
            the loss where `model.evaluate` depends on it as well: for the loss reductions "sum"
            and "mean_with_sample_weight", for losses that couple rows, for masks, whose mean is
            of what is not masked in a batch, for ragged rows that are filled up to the longest of
            a batch, and for stateful layers, which ask for the size that they are built for; and
            with `statistics="batch"`. `None` takes all rows, or batches of 16 MB of inputs.
        statistics: How layers are evaluated that training moves without a gradient, such as
            BatchNormalization. "held": with the statistics that the model has, at all points, as
            `model.evaluate` does. Away from the model's weights these do not belong to the point.
            "batch": with those of the batch, as in training; Dropout and noise stay off. It
            depends on `batch_size`. "reestimated": BatchNormalization with the mean and variance
            of all rows at each point, found in further passes over the data; other such layers
            are held. A model without such layers is the same in all three.

    Attributes:
        model: The model.
        variables: The variables that make the flat vector.
        size: P.
        names: The path of each variable.
        shapes: The shape of each variable.
        slices: The part of the flat vector that each variable has.
        loss_name: Name of the loss.
        fingerprint: Digest of the data.
        num_rows: N.
        num_batches: Number of batches that the rows come in.
        num_values: Roughly how many numbers the model makes of a batch.
        streams: Whether each call reads the data set anew.

    Call arguments:
        points: Array of shape `(..., P)`.
        statistics: Array of shape `(..., Q)`: the statistics that belong to each point, with
            `statistics="held"`. `None` are those that the model has.

    Returns:
        Array of losses of shape `(...)`.

    Raises:
        ValueError: The model is not built or has no loss or no trainable weights, the data are
            empty, of different lengths, of no kind that the backend has, used up by one pass or not
            the same on each pass, or points have another size than P.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> model.compile(loss="mean_squared_error")
    >>> objective = keras_valleys.objectives.Objective(model, np.ones((3, 1)), np.ones((3, 1)))
    >>> objective.size
    1
    >>> [float(loss) for loss in objective([[0.0], [np.pi / 4]])]
    [1.0, 0.0]
    """

    model: keras.Model
    variables: list[keras.Variable]
    size: int
    names: list[str]
    shapes: list[tuple[int, ...]]
    slices: list[slice]
    loss_name: str
    fingerprint: str
    num_rows: int
    num_batches: int
    num_values: int
    streams: bool

    def __init__(
        self,
        model: keras.Model,
        x: Data,
        y: Data | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        class_weight: Mapping[int, float] | None = None,
        variables: Weights | Iterable[Weights] | None = None,
        batch_size: int | None = None,
        statistics: str = "held",
    ) -> None:
        check_model(model)
        check_mode(statistics)
        self.model = model
        self.variables = select("Objective", model.trainable_variables, variables=variables)
        if batch_size is not None and not is_finite(batch_size):
            check_whole("Objective", 1, remedy="Use batch_size=32.", batch_size=batch_size)
        self._batches = Batches(x, y, sample_weight, class_weight, batch_size)
        x, y, sample_weight = self._batches.arrays or (x, None, None)
        self._given = {
            "x": x,
            "y": y,
            "sample_weight": sample_weight,
            "class_weight": class_weight,
            "batch_size": batch_size,
            "statistics": statistics,
        }
        self.fingerprint, self.num_rows = self._batches.fingerprint, self._batches.num_rows
        self.num_batches, self.streams = self._batches.num_batches, self._batches.kept is None
        self.names = [v.path for v in self.variables]
        self.shapes = [tuple(variable.shape) for variable in self.variables]
        ends = np.cumsum([math.prod(shape) for shape in self.shapes]).tolist()
        self.slices = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
        self.size = ends[-1]
        self.loss_name = loss_name_of(model.loss)
        kinds = [keras.backend.standardize_dtype(v.dtype) for v in self.variables]
        self.dtype = "float64" if "float64" in kinds else "float32"
        self._loss_given, self._metrics_given = model.loss, vars(model).get("_compile_metrics")
        self._trainable = list(model.trainable_variables)
        layers = list(layers_of(model))
        self._states = states_of(layers)
        check_batches(self._states, self._batches, batch_size)
        self._chained = False  # what follows is done with the first batch alone
        first = next(iter(self._batches))
        # Once before compiling: Keras makes variables at the first loss, and bad data are told.
        point = ops.convert_to_tensor(self.point().astype(self.dtype))
        own = {id(variable) for variable in self.variables}
        rest = [variable for variable in self._trainable if id(variable) not in own]
        first_batch = as_tensors(first)
        self._statistics = Statistics(
            model, layers, statistics, lambda: model(first_batch[0], training=True)
        )
        self._follow = reach(layers)
        self._stand_ins = _stand_ins(model)

        def run(point):
            mapping = self._mapping(point, rest, [v.value for v in rest])
            with self._statistics.counting(), self._statistics.in_use():
                self._model_loss(mapping, first_batch)
            return [value for _, value in mapping[len(rest) :][: len(own)]]

        self._check_follows(read_past_scope(run, point, self.variables))
        own |= {id(state) for state in self._states}
        self._held = [variable for variable in model.variables if id(variable) not in own]
        is_kept = not self.streams and not widens(first)
        self._kept = [as_tensors(batch) for batch in self._batches] if is_kept else None
        self._chained = self._carries_states()
        self._functions: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._moment_functions: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._measures: dict[bool, Measures] = {}
        self.num_values = count_values(first[0], self.shapes)
        self.group = self._find_group()

    @property
    def weight_names(self) -> list[str]:
        """One name for each of the P weights, such as "phi" or "kernel[0, 2]"."""
        leaves = [path.rsplit("/", 1)[-1] for path in self.names]
        names = leaves if len(set(leaves)) == len(leaves) else self.names
        return [
            name if math.prod(shape) == 1 else f"{name}{list(index)}"
            for name, shape in zip(names, self.shapes, strict=True)
            for index in np.ndindex(shape)
        ]

    def period_and_unit(self, index: int) -> tuple[float | None, str]:
        """What the layers declare of a weight.

        Args:
            index: Place of the weight in the flat vector.

        Returns:
            Its period or `None`, and its unit, "" for none. Under a regularizer of the weight the
            loss has no period.

        Raises:
            ValueError: What a layer declares is no number above 0, or no text.
        """
        remedy = f"The model has {self.size}."
        check_whole("Objective.period_and_unit", 0, self.size - 1, remedy=remedy, index=index)
        (k,) = [k for k, part in enumerate(self.slices) if part.start <= index < part.stop]
        return period_and_unit(self.variables[k], index - self.slices[k].start)

    def point(self) -> np.ndarray:
        """The model's present weights.

        Returns:
            A new array of shape `(P,)`.
        """
        return flatten(self.variables)

    def split(self, point: ArrayLike) -> list[np.ndarray]:
        """A flat weight vector as the arrays that the variables hold.

        Args:
            point: Array of shape `(P,)`.

        Returns:
            A list of arrays, one per variable, as `model.set_weights` takes them.
        """
        parts = zip(self.slices, self.shapes, strict=True)
        return [np.asarray(point)[part].reshape(shape) for part, shape in parts]

    @property
    def statistics(self) -> str:
        """How layers that move statistics are evaluated: "held", "batch" or "reestimated"."""
        return self._statistics.mode

    def with_statistics(self, statistics: str) -> "Objective":
        """The same objective with another mode of its statistics.

        Args:
            statistics: "held", "batch" or "reestimated".

        Returns:
            An `Objective`: this one where its mode is that already.

        Raises:
            ValueError: There is no such mode.

        Example:

        >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
        >>> model.compile(loss="mean_squared_error")
        >>> objective = keras_valleys.objectives.Objective(model, np.ones((3, 1)), np.ones((3, 1)))
        >>> objective.with_statistics("batch").statistics
        'batch'
        """
        if statistics == self.statistics:
            return self
        given: dict[str, Any] = {**self._given, "statistics": statistics}
        return Objective(self.model, **given, variables=self.variables)

    @property
    def statistics_names(self) -> tuple[str, ...]:
        """One name for each of the Q statistics, such as "batch_normalization/moving_mean[2]"."""
        return self._statistics.names

    @property
    def statistics_sentence(self) -> str:
        """What the mode means for this model and these data, in words; "" without such layers."""
        return self._statistics.in_words(self._batches.most_rows, self.num_rows)

    @property
    def is_partial(self) -> bool:
        """Whether trainable weights of the model are held, and not varied."""
        return len(self.variables) < len(self._trainable)

    def present_statistics(self) -> np.ndarray:
        """The statistics that the model has now.

        Returns:
            A new array of shape `(Q,)`.
        """
        return self._statistics.present()

    def __call__(self, points: ArrayLike, statistics: ArrayLike | None = None) -> np.ndarray:
        points = as_numbers("Objective", self.dtype, points=points)
        if points.ndim == 0 or points.shape[-1] != self.size:
            raise refusal(
                "Objective",
                f"points of shape (..., {self.size}), one number per trainable weight",
                f"shape {points.shape}",
                "`objective.point()` is such a point.",
            )
        rows = points.reshape(-1, self.size)
        numbers = self._as_statistics(statistics, points.shape[:-1])
        width = self.size if numbers is None else self.size + numbers.shape[1]
        at_once = max(CALL_BYTES // (rows.itemsize * width), 1)
        losses = [np.empty(0, self.dtype)]
        for i in range(0, len(rows), at_once):
            part = slice(i, i + at_once)
            few = _padded(rows[part])
            own = None if numbers is None else _padded(numbers[part])
            losses.append(self._losses(few, numbers=own)[: len(rows[part])])
        return np.concatenate(losses).reshape(points.shape[:-1])

    def along(
        self, coefficients: ArrayLike, directions: ArrayLike, origin: ArrayLike
    ) -> np.ndarray:
        """The loss at `origin + coefficients @ directions`.

        Only the coefficients travel to the compiled call, so that large models take many points.

        Args:
            coefficients: Array of shape `(..., K)`.
            directions: Array of shape `(K, P)`.
            origin: Array of shape `(P,)`.

        Returns:
            Array of losses of shape `(...)`.
        """
        coefficients = np.asarray(coefficients, self.dtype)
        rows = coefficients.reshape(-1, coefficients.shape[-1])
        if not len(rows):
            return np.empty(coefficients.shape[:-1], self.dtype)
        return self._losses(rows, directions, origin).reshape(coefficients.shape[:-1])

    def measures(self, *, classes: bool = False) -> Measures:
        """What `model.evaluate(return_dict=True)` would return, as functions on weight space.

        Args:
            classes: Whether to tell the loss of each class as well.

        Returns:
            Something with `names` of length M, and `along(coefficients, directions, origin)`, which
            returns an array of shape `(n, M)`.

        Raises:
            ValueError: The model was compiled anew, or logs what is no number; or with classes the
                targets have none, or the loss is no mean over rows.
        """
        if vars(self.model).get("_compile_metrics") is not self._metrics_given:
            raise _compiled_anew()
        if classes not in self._measures:
            self._measures[classes] = Measures(self, classes=classes)
        return self._measures[classes]

    def compute(self, function: Callable[..., Any], *arrays: ArrayLike) -> Any:
        """The mean over the data of a function of the loss, compiled.

        Args:
            function: Called as `function(loss, *tensors)` with the backend's tensors of `arrays`;
                `loss(point)` is the mean loss of a batch as a differentiable function of a flat
                weight tensor of shape `(P,)`. A function of a module or a method, which is
                compiled once per Objective; one that is made at each call is compiled each time.
            *arrays: Arrays of numbers.

        Returns:
            What `function` returns, averaged over the batches by their numbers of rows, as an array
            or a tuple of arrays.
        """
        if self._statistics.needs_two_passes(self.num_batches):
            raise refusal(
                "Objective",
                "one batch, or other statistics, for derivatives and descents",
                f"statistics='reestimated' and {self.num_batches} batches, of which no one has the "
                "statistics of all rows",
                "Make the Objective with statistics='batch', or of arrays with "
                f"batch_size={self.num_rows}.",
            )
        return self._compute(function, *arrays)

    def prepare(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What `compute` calls for a function: a function of arrays, compiled at its first call."""
        parts = self._in_parts(function, self._loss_of)
        return lambda *arrays: average(parts(*arrays), self._batches.num_rows)

    def _compute(self, function, *arrays):
        if function not in self._functions:
            self._functions[function] = self.prepare(function)
        return self._functions[function](*arrays)

    def _in_parts(self, function, measure):
        """A function of arrays that yields, for each batch, its rows and what `function` returns.

        `measure` is what `function` is given of a point: `self._loss_of` or `self._moments_of`.
        """
        call = compiled(self._over_batch(function, measure))

        def parts(*arrays):
            self._check_unchanged()
            tensors = [ops.convert_to_tensor(np.asarray(a, self.dtype)) for a in arrays]
            # Passed in at each call: a compiled function must not keep old statistics or data.
            held = [ops.convert_to_tensor(variable) for variable in self._held]
            for batch in self._calls():
                found = call(tensors, held, batch)
                rows = self.num_rows if self._chained else rows_of(batch)
                yield rows, keras.tree.map_structure(_as_array, found)

        return parts

    def _calls(self):
        """What each call of a compiled function is given: a batch, or all of a chain."""
        batches = self._kept or map(as_tensors, self._batches)
        return [list(batches)] if self._chained else batches

    def _losses(self, rows, *plane, numbers=None):
        """Losses at rows of weights, or of coefficients on a plane.

        Args:
            rows: Array of shape `(n, P)`, or `(n, K)` with a plane.
            plane: Nothing, or directions `(K, P)` and origin `(P,)`.
            numbers: The statistics at each row, shape `(n, Q)`; `None` are those of the mode.
        """
        if numbers is None and self._statistics.needs_two_passes(self.num_batches):
            at_once = max(CALL_BYTES // (8 * self._statistics.size), 1)
            parts = [rows[i : i + at_once] for i in range(0, len(rows), at_once)]
            found = [self._losses(a, *plane, numbers=self._reestimated(a, *plane)) for a in parts]
            return np.concatenate(found)
        if numbers is None:
            return self._compute(self._along if plane else self._at_points, rows, *plane)
        both = np.concatenate([rows, numbers], axis=1)
        return self._compute(self._along_with if plane else self._at_points_with, both, *plane)

    def _reestimated(self, rows, *plane):
        """The statistics of all rows of data at each row of weights.

        In the first pass over the data each layer normalizes by its batch, and what reaches the
        layers after it depends on how the rows are cut into batches. From then on layers normalize
        by what the pass before found, until all agree: each pass makes one more layer exact.
        """
        function, function_with = (
            (self._along, self._along_with) if plane else (self._at_points, self._at_points_with)
        )
        found = self._statistics.of_all_rows(self._moments(function, rows, *plane))
        for _ in range(self._statistics.most_passes - 1):
            before, both = found, np.concatenate([rows, found], axis=1)
            found = self._statistics.of_all_rows(self._moments(function_with, both, *plane))
            if self._statistics.agree(before, found):
                return found
        if self._statistics.is_shared:
            warnings.warn(
                "`Objective` has not found statistics on which all calls of a shared layer agree, "
                f"in {self._statistics.most_passes} passes over the data. Use statistics='batch'.",
                RuntimeWarning,
                stacklevel=2,
            )
        return found

    def _moments(self, function, *arrays):
        if function not in self._moment_functions:
            self._moment_functions[function] = self._in_parts(function, self._moments_of)
        return (part for _, part in self._moment_functions[function](*arrays))

    def signature(self) -> str:
        """A digest of all that the loss depends on but the point.

        Returns:
            Text, equal for the same model, loss, data and other variables, also in another process.
        """
        facts = f"{self.fingerprint} {self.shapes} {self.dtype} {self.statistics}"
        return signature(self.model, self._held, facts)

    def __reduce__(self) -> tuple[Any, ...]:
        if hasattr(self._given["x"], "element_spec"):
            raise refusal(
                "Objective",
                "arrays or a PyDataset where it is sent to other processes",
                "a tf.data.Dataset, which cannot be sent",
                "Pass arrays.",
            )
        chosen = {id(variable) for variable in self.variables}
        indices = [i for i, v in enumerate(self.model.trainable_variables) if id(v) in chosen]
        return _rebuild, (keras.config.floatx(), self.model, self._given, indices)

    def _at_points(self, loss, rows):
        return map_rows(loss, rows, self.group)

    def _along(self, loss, rows, directions, origin):
        def at(row):
            return loss(origin + ops.matmul(row, directions))

        return map_rows(at, rows, self.group)

    def _at_points_with(self, loss, rows):
        """As `_at_points`; behind the weights of each row are its statistics."""

        def at(row):
            return loss(row[: self.size], row[self.size :])

        return map_rows(at, rows, self.group)

    def _along_with(self, loss, rows, directions, origin):
        """As `_along`; behind the coefficients of each row are its statistics."""
        num_axes = ops.shape(directions)[0]  # which a trace may leave open

        def at(row):
            return loss(origin + ops.matmul(row[:num_axes], directions), row[num_axes:])

        return map_rows(at, rows, self.group)

    def _over_batch(self, function, measure):
        def call(tensors, held, batch):
            def loss(point, numbers=None):
                return measure(point, self._held, held, batch, numbers)

            return function(loss, *tensors)

        return call

    def _loss_of(self, point, variables, values, batch, numbers=None):
        """The loss of a batch at a point, with other variables held at some values.

        `numbers` are statistics to take the place of those of the mode, shape `(Q,)`.
        """
        mapping = self._mapping(point, variables, values)
        if numbers is not None:
            mapping += self._statistics.mapping(numbers)
        with self._statistics.in_use() if numbers is None else contextlib.nullcontext():
            return ops.cast(self._model_loss(mapping, batch), self.dtype)

    def _moments_of(self, point, variables, values, batch, numbers=None):
        """What reaches each BatchNormalization, as `Statistics.moments_of` says."""
        mapping = self._mapping(point, variables, values)
        if numbers is not None:
            mapping += self._statistics.mapping(numbers)
        found = self._statistics.moments_of(
            lambda: self._model_loss(mapping, batch), by_batch=numbers is None
        )
        return ops.cast(found, self.dtype)

    def _model_loss(self, mapping, batch):
        with self._standing_in():
            if not self._chained:
                return model_loss(self.model, mapping, batch, self._follow)
            total = 0.0
            for one in batch:  # each begins with the states in which the one before has ended
                ends: list = []
                loss = model_loss(self.model, mapping, one, self._follow, self._states, ends)
                total += rows_of(one) / self.num_rows * loss
                mapping = [*mapping, *ends]
            return total

    def _standing_in(self):
        """The context in which the model has our own copies of what its first batch will build."""
        return _standing_in(self.model, self._stand_ins)

    def _mapping(self, point, variables, values):
        mapping = list(zip(variables, values, strict=True))
        for variable, part, shape in zip(self.variables, self.slices, self.shapes, strict=True):
            value = ops.reshape(point[part], shape)
            mapping.append((variable, ops.cast(value, variable.dtype)))
        return mapping + [(state, ops.zeros(state.shape, state.dtype)) for state in self._states]

    def _carries_states(self):
        """Whether the states at the end of a batch are those at the begin of the next."""
        listed = {id(variable) for variable in self.model.variables}
        states = [s for s in self._states if id(s) in listed or not forgets_unlisted()]
        if not states or self.num_batches == 1:
            return False
        own_step = type(self.model).test_step is not keras.Model.test_step
        if own_step or self.streams or self._statistics.needs_two_passes(self.num_batches):
            raise refusal(
                "Objective",
                "stateful layers, whose states go from batch to batch, in a model of Keras' own "
                "`test_step`, data of at most 256 MB, and statistics that are held or of a batch",
                f"{self.num_batches} batches, statistics={self.statistics!r}, and "
                f"{type(self.model).__name__}.test_step{' of its own' * own_step}",
                "Use one batch, or a model whose layers are not stateful.",
            )
        return True

    def _as_statistics(self, statistics, shape):
        """Statistics as an array of shape `(n, Q)`, or `None`."""
        if statistics is None:
            return None
        if self.statistics != "held":
            raise refusal(
                "Objective",
                "statistics only where it holds them",
                f"statistics at each point, of an Objective with statistics={self.statistics!r}",
                "Make it with statistics='held'.",
            )
        numbers = np.asarray(statistics, self.dtype)
        if numbers.shape != (*shape, self._statistics.size):
            raise refusal(
                "Objective",
                f"`statistics` of shape {(*shape, self._statistics.size)}, one number per name in "
                "`statistics_names` for each point",
                f"shape {numbers.shape}",
                "`objective.present_statistics()` is one row of it.",
            )
        return numbers.reshape(-1, self._statistics.size)

    def _find_group(self):
        """How many points run side by side: 1 but on torch."""

        def evaluate(rows, group):
            self.group = group
            return self._compute(self._at_points, rows)

        rows = np.stack([self.point(), 0.99 * self.point() + 0.01])
        return side_by_side(evaluate, rows, 4 * (self.size + self.num_values))

    def _check_follows(self, past):
        """Refuse variables that are read where their values cannot be told."""
        if past:
            # A layer comes after those that hold it, and the graph of a Sequential last.
            owners = [
                layer
                for layer in layers_of(self.model)
                if any(past[0] is v for v in layer.weights) and not isinstance(layer, keras.Model)
            ] or [self.model]
            raise refusal(
                "Objective",
                "the loss to follow all weights that are varied",
                f"{shortened([variable.path for variable in past])}, which "
                f"{_reads_past(owners[-1])}",
                "Read weights in `call`, by their attributes, such as `self.kernel`; or choose "
                "others by `variables=`.",
            )

    def _check_unchanged(self):
        variables = self.model.trainable_variables
        same = len(variables) == len(self._trainable) and all(
            map(operator.is_, variables, self._trainable)
        )
        if not same or self.model.loss is not self._loss_given:
            raise _compiled_anew()


def _padded(rows):
    """Rows, the last of them repeated, where a compiled function is compiled for each number.

    The numbers are powers of 2, and above 64 an eighth part of one lies between them.
    """
    if not compiles_each_shape() or not len(rows):
        return rows
    unit = max(1, 2 ** (len(rows) - 1).bit_length() // 16)
    whole = 2 ** (len(rows) - 1).bit_length() if len(rows) <= 64 else -(-len(rows) // unit) * unit
    return np.concatenate([rows, np.repeat(rows[-1:], whole - len(rows), axis=0)])


def _as_array(tensor):
    return np.array(to_numpy(tensor))


def _rebuild(floatx, model, given, indices):
    keras.config.set_floatx(floatx)  # a new process begins with Keras' default
    return Objective(model, **given, variables=[model.trainable_variables[i] for i in indices])


def model_loss(model, mapping, batch, follow, carried=(), ends=None):
    """The loss of a batch, with variables at other values.

    Args:
        model: A built and compiled model.
        mapping: Pairs of a variable and its value; the others keep their own.
        batch: `(x, y, sample_weight)` as tensors.
        follow: What `keras_valleys._backend.reach` returns for the model's layers.
        carried: Variables that the model assigns to.
        ends: List that takes pairs of these and the values that they have in the end.
    """
    if type(model).test_step is not keras.Model.test_step:
        return _logged_loss(model, mapping, batch, follow)
    x, y, sample_weight = batch
    takes_training = "training" in inspect.signature(model.compute_loss).parameters
    options = {"training": False} if takes_training else {}

    def run():
        y_pred = model(x, training=False)
        if model.loss is None and not _computes_itself(model) and not model.losses:
            raise _no_loss(model)
        return model.compute_loss(x, y, y_pred, sample_weight, **options)

    with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
        loss = follow(run)
    if carried:
        ends += [(variable, scope.get_current_value(variable)) for variable in carried]
    return ops.mean(loss) * num_replicas()  # `evaluate` averages what is not reduced


def _stand_ins(model):
    """Unbuilt parts of a model that its first loss would build, as parts of our own.

    Keras builds them from a batch that it draws in the first `fit`: if that were done before, the
    same seeds would give another order of batches.
    """
    made = {}
    loss, metrics = (vars(model).get(name) for name in ("_compile_loss", "_compile_metrics"))
    if loss is not None and not loss.built:
        made["_compile_loss"] = type(loss)(
            loss._user_loss,
            loss._user_loss_weights,
            reduction=loss.reduction,
            output_names=loss.output_names,
        )
    if metrics is not None and not metrics.built:
        made["_compile_metrics"] = type(metrics)(
            metrics._user_metrics,
            metrics._user_weighted_metrics,
            output_names=metrics.output_names,
        )
    return made


@contextlib.contextmanager
def _standing_in(model, parts):
    """Parts of a model replaced for a while, past Keras' tracking of attributes."""
    before = {name: vars(model)[name] for name in parts}
    vars(model).update(parts)
    try:
        yield
    finally:
        vars(model).update(before)


def check_model(model):
    """Refuse what has no loss as a function of its weights."""
    if not isinstance(model, keras.Model):
        check_kind("Objective", "model", model=model)
    if not model.compiled:
        raise _no_loss(model)
    if not model.built or not model.trainable_variables:
        raise refusal(
            "Objective",
            "a model that is built and has trainable weights",
            f"{type(model).__name__} {shortened(model.name)} without",
            "Call the model on a batch of data first, or make a layer trainable and compile.",
        )


def check_batches(states, batches, batch_size):
    """Refuse batches of other sizes than the states of stateful layers are for."""
    sizes = {state.shape[0] for state in states if len(state.shape)}
    whole = {size for size in sizes if batches.num_rows == size * batches.num_batches}
    if whole == sizes and (not sizes or batches.most_rows in sizes):
        return
    size = max(sizes)
    left = batches.num_rows % size
    way = f"Use batch_size={size}" if batches.arrays else f"Batch the data set by {size}"
    raise refusal(
        "Objective",
        f"batches of {size} rows, for which the stateful layers of the model are built",
        f"{batches.num_rows} rows, in batches of {batches.most_rows}",
        f"{way}{f', and leave out the last {left} rows' if left else ''}.",
    )


def loss_name_of(loss):
    """The name of what a model is compiled with."""
    name = loss if isinstance(loss, str) else getattr(loss, "name", None)
    return name or getattr(loss, "__name__", "loss")


def _logged_loss(model, mapping, batch, follow):
    """What the model's own `test_step` logs, from reset metrics on."""
    data = keras.utils.pack_x_y_sample_weight(*batch)
    logs = logs_of_test_step(model, mapping, data, follow)
    if "loss" not in logs:
        raise refusal(
            "Objective",
            "`test_step` to return the loss under the key 'loss'",
            f"{sorted(logs)} from {type(model).__name__}",
            "Add it to what `test_step` returns.",
        )
    return ops.mean(logs["loss"])


def _reads_past(layer):
    """How a layer reads its weights so that other values do not reach it, as far as known."""
    if isinstance(layer, keras.layers.TFSMLayer):
        return "a TFSMLayer has in the graph that it has loaded"
    return (
        f"{type(layer).__name__} {layer.name!r}, or a loss, reads past Keras, as `_value`, or has "
        "kept since it was built"
    )


def _compiled_anew():
    return refusal(
        "Objective",
        "the loss, metrics and trainable weights that its model had when it was made",
        "a model compiled anew, or frozen in part",
        "Make a new Objective.",
    )


def _computes_itself(model):
    return type(model).compute_loss is not keras.Model.compute_loss


def _no_loss(model):
    return refusal(
        "Objective",
        "a model that is compiled with a loss",
        f"{type(model).__name__} {shortened(model.name)}, which has none",
        "Call `model.compile(loss=...)` first, or use `add_loss` in the model.",
    )
