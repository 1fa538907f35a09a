"""A compiled model and its data as a function of the flat weight vector."""

import inspect
import math
import operator

import keras
import numpy as np
from keras import ops

from keras_valleys._weights import flatten, to_numpy


class Objective:
    """The loss of a compiled Keras model as a function on weight space.

    `objective(points)` is what `model.evaluate(x, y)` would return as the loss after the trainable
    weights had been set to each point: layers run in inference mode, losses include regularizers
    and sample weights, and all rows count as one batch. No variable of the model is changed. All
    points run in one compiled call.

    The flat weight vector has size P and holds `model.trainable_variables` one after the other,
    each in C order; `names`, `shapes` and `slices` say where each is.

    Args:
        model: A built and compiled Keras model.
        x: Input arrays, as for `model.evaluate`; they must fit in memory.
        y: Target arrays.
        sample_weight: Optional weights of the rows, shape `(N,)`.

    Call arguments:
        points: Array of shape `(..., P)`.

    Returns:
        Array of losses of shape `(...)`.

    Raises:
        ValueError: The model is not built or not compiled with a loss, has no trainable weights,
            the data is empty or its lengths differ, or points have another size than P.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> model.compile(loss="mean_squared_error")
    >>> objective = keras_valleys.objectives.Objective(model, np.ones((3, 1)), np.ones((3, 1)))
    >>> objective.size
    1
    >>> [float(loss) for loss in objective([[0.0], [np.pi / 4]])]
    [1.0, 0.0]
    """

    def __init__(self, model, x, y, sample_weight=None):
        _check_model(model)
        self._model = model
        self._data = _as_tensors(x, y, sample_weight)
        self._loss_given = model.loss
        self._variables = list(model.trainable_variables)
        self.names = [variable.path for variable in self._variables]
        self.shapes = [tuple(variable.shape) for variable in self._variables]
        ends = np.cumsum([math.prod(shape) for shape in self.shapes]).tolist()
        self.slices = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
        self.size = ends[-1]
        self.loss_name = _loss_name(model.loss)
        kinds = [keras.backend.standardize_dtype(v.dtype) for v in self._variables]
        self._dtype = "float64" if "float64" in kinds else "float32"
        takes_training = "training" in inspect.signature(model.compute_loss).parameters
        self._loss_options = {"training": False} if takes_training else {}
        # Once before compiling: Keras makes variables of its own at the first loss, and a bad
        # model or bad data are told here.
        self._loss(ops.convert_to_tensor(self.point().astype(self._dtype)), [], [], self._data)
        own = {id(variable) for variable in self._variables}
        self._held = [variable for variable in model.variables if id(variable) not in own]
        self._at_points = _compiled(self._map_points)
        self._along = _compiled(self._map_coefficients)

    @property
    def weight_names(self):
        """One name for each of the P weights, such as "phi" or "kernel[0, 2]"."""
        leaves = [path.rsplit("/", 1)[-1] for path in self.names]
        names = leaves if len(set(leaves)) == len(leaves) else self.names
        return [
            name if math.prod(shape) == 1 else f"{name}{list(index)}"
            for name, shape in zip(names, self.shapes, strict=True)
            for index in np.ndindex(shape)
        ]

    def point(self):
        """The model's present trainable weights.

        Returns:
            A new array of shape `(P,)`.
        """
        return flatten(self._variables)

    def __call__(self, points):
        points = np.asarray(points, self._dtype)
        if points.ndim == 0 or points.shape[-1] != self.size:
            raise ValueError(
                f"`Objective` expects points of shape (..., {self.size}), one number per trainable "
                f"weight. Received: shape {points.shape}. `objective.point()` is such a point."
            )
        rows = points.reshape(-1, self.size)
        return self._run(self._at_points, rows).reshape(points.shape[:-1])

    def along(self, coefficients, directions, origin):
        """The loss at `origin + coefficients @ directions`.

        Only the coefficients travel to the compiled call, so that large models take many points.

        Args:
            coefficients: Array of shape `(..., K)`.
            directions: Array of shape `(K, P)`.
            origin: Array of shape `(P,)`.

        Returns:
            Array of losses of shape `(...)`.
        """
        coefficients = np.asarray(coefficients, self._dtype)
        rows = coefficients.reshape(-1, coefficients.shape[-1])
        plane = [ops.convert_to_tensor(np.asarray(a, self._dtype)) for a in (directions, origin)]
        return self._run(self._along, rows, *plane).reshape(coefficients.shape[:-1])

    def _run(self, function, rows, *plane):
        if not len(rows):
            return np.empty(0, self._dtype)
        variables = self._model.trainable_variables
        same = len(variables) == len(self._variables) and all(
            map(operator.is_, variables, self._variables)
        )
        if not same or self._model.loss is not self._loss_given:
            raise ValueError(
                "`Objective` expects the loss and the trainable weights that its model had when it "
                "was made. Received: a model compiled anew, or frozen in part. "
                "Make a new Objective."
            )
        # Passed in at each call: a compiled function must not keep old statistics or data.
        held = [ops.convert_to_tensor(variable) for variable in self._held]
        losses = function(ops.convert_to_tensor(rows), plane, held, self._data)
        return np.array(to_numpy(losses))

    def _map_points(self, rows, plane, held, data):
        return ops.map(lambda row: self._loss(row, self._held, held, data), rows)

    def _map_coefficients(self, rows, plane, held, data):
        directions, origin = plane

        def loss(row):
            return self._loss(origin + ops.matmul(row, directions), self._held, held, data)

        return ops.map(loss, rows)

    def _loss(self, point, variables, values, data):
        """The loss at a point, with other variables held at some values."""
        x, y, sample_weight = data
        mapping = list(zip(variables, values, strict=True))
        for variable, part, shape in zip(self._variables, self.slices, self.shapes, strict=True):
            value = ops.reshape(point[part], shape)
            mapping.append((variable, ops.cast(value, variable.dtype)))
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
            y_pred = self._model(x, training=False)
            loss = self._model.compute_loss(x, y, y_pred, sample_weight, **self._loss_options)
        return ops.cast(ops.mean(loss), self._dtype)  # `evaluate` averages what is not reduced


def _compiled(function):
    backend = keras.config.backend()
    if backend == "tensorflow":
        return _traced_once(function)
    if backend == "jax":
        import jax

        return jax.jit(function)
    import torch

    return torch.no_grad()(function)


def _traced_once(function):
    """Compile for any number of rows: TensorFlow would trace again for each, and warn."""
    import tensorflow as tf

    graph = tf.function(function, autograph=False)
    traces = {}

    def call(rows, *others):
        width = rows.shape[-1]
        if width not in traces:
            any_rows = tf.TensorSpec((None, width), rows.dtype)
            traces[width] = graph.get_concrete_function(any_rows, *others)
        return traces[width](rows, *others)

    return call


def _as_tensors(x, y, sample_weight):
    arrays = [None if part is None else _as_arrays(part) for part in (x, y, sample_weight)]
    lengths = [len(a) if a.ndim else None for a in keras.tree.flatten(arrays) if a is not None]
    if not lengths or len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(
            "`Objective` expects `x`, `y` and `sample_weight` to be arrays, or lists or dicts of "
            f"arrays, of one length >= 1. Received: arrays of the lengths {lengths}. "
            "Pass the arrays that you pass to `model.evaluate`."
        )
    return keras.tree.map_structure(
        lambda a: None if a is None else ops.convert_to_tensor(a), arrays
    )


def _as_arrays(structure):
    def as_array(leaf):
        array = np.asarray(leaf)
        if array.dtype == object:
            raise ValueError(
                "`Objective` expects arrays. "
                f"Received: {type(leaf).__name__}. Pass arrays that fit in memory."
            )
        is_float = np.issubdtype(array.dtype, np.floating)
        return array.astype(keras.config.floatx()) if is_float else array

    return keras.tree.map_structure(as_array, structure)


def _check_model(model):
    compiled = getattr(model, "compiled", False)
    custom = type(model).compute_loss is not keras.Model.compute_loss
    if not compiled or (model.loss is None and not custom):
        raise ValueError(
            "`Objective` expects a model that is compiled with a loss. Received: "
            f"{type(model).__name__} {model.name!r}, not compiled with one. "
            "Call `model.compile(loss=...)` first."
        )
    if not model.built or not model.trainable_variables:
        raise ValueError(
            "`Objective` expects a model that is built and has trainable weights. Received: "
            f"{type(model).__name__} {model.name!r} without. "
            "Call the model on a batch of data first, or make a layer trainable and compile."
        )


def _loss_name(loss):
    name = loss if isinstance(loss, str) else getattr(loss, "name", None)
    return name or getattr(loss, "__name__", "loss")
