"""TensorFlow: a function is traced once for any number of rows, and assigns to variables."""

import contextlib
import functools

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_valleys._backend import shared

COMPILES_EACH_SHAPE = False
FORGETS_UNLISTED = False
HAS_TEXT = True
LARGEST_GROUP = 1  # of points side by side: a loop is compiled
READ_TOGETHER = 8  # variables, from which on one call of a function is faster than each by itself
TOGETHER_VALUES = 2**15  # the overhead of `ops.map` is as long as a small model takes

applier = shared.applier
logs_of_test_step = shared.logs_of_test_step
normal_mode = contextlib.nullcontext
random_numbers_apart = shared.no_random_numbers_apart
run_test_step = shared.run_test_step
updated = shared.updated
# What it cannot vectorize it would run in turn, more slowly than `ops.map`.
vectorized_map = functools.partial(tf.vectorized_map, fallback_to_while_loop=False)


def compiled(function, open_batch=False):
    """Trace for shapes as general as those seen so far.

    A plain `tf.function` would trace again for each number of rows, and warn.
    """
    graph = tf.function(function, autograph=False)
    traces: list = []
    leaves_graph = False

    def specs_of(arguments):
        first = {id(keras.tree.flatten(arguments)[0])}
        if open_batch:
            first |= {id(tensor) for tensor in _tensors(arguments[-1]) if len(tensor.shape)}

        def spec(tensor):
            if isinstance(tensor, tf.SparseTensor | tf.RaggedTensor):
                return tf.type_spec_from_value(tensor)
            shape = list(tensor.shape)
            return tf.TensorSpec([None, *shape[1:]] if id(tensor) in first else shape, tensor.dtype)

        return [spec(tensor) for tensor in _tensors(arguments)]

    def call(*arguments):
        nonlocal leaves_graph
        if leaves_graph:
            return function(*arguments)
        specs = specs_of(arguments)
        for known, trace in reversed(traces):
            if _fits(known, specs):
                return trace(*arguments)
        if traces and len(traces[-1][0]) == len(specs):
            specs = [_widened(*pair) for pair in zip(specs, traces[-1][0], strict=True)]
        left = iter(specs)
        signature = keras.tree.map_structure(
            lambda leaf: None if leaf is None else next(left), arguments
        )
        try:
            trace = graph.get_concrete_function(*signature)
            leaves_graph = _calls_python(trace.graph)
        except (TypeError, NotImplementedError, AttributeError, ValueError) as error:
            if not _asks_for_numbers(error):
                raise
            leaves_graph = True
        if leaves_graph:
            shared.warn_of_python()
            return function(*arguments)
        traces.append((specs, trace))
        return trace(*arguments)

    return call


def _asks_for_numbers(error):
    """Whether Python asked a tensor of a graph for its numbers: TensorFlow has no type for it.

    What `tf.py_function` gives has no rank in a graph, where Keras' losses ask for it.
    """
    words = (
        *("as a Python", "to a numpy array", "'numpy'", "numpy() is only", "unknown rank"),
        *("not 'SymbolicTensor'", "not SymbolicTensor"),  # by `float`
    )
    return any(part in str(error) for part in words)


def _calls_python(graph):
    """Whether a graph calls Python as it runs, where no scope of Keras is open any more."""
    found = graph.as_graph_def()
    parts = [found.node, *(part.node_def for part in found.library.function)]
    return any("PyFunc" in node.op for part in parts for node in part)


def _tensors(structure):
    return [leaf for leaf in keras.tree.flatten(structure) if leaf is not None]


def _fits(known, specs):
    return len(known) == len(specs) and all(
        a.is_compatible_with(b) for a, b in zip(known, specs, strict=True)
    )


def _widened(spec, known):
    if spec.dtype != known.dtype or spec.shape.rank != known.shape.rank:
        return spec
    if type(spec) is not type(known):
        return spec
    dims = [a if a == b else None for a, b in zip(spec.shape, known.shape, strict=True)]
    if isinstance(spec, tf.RaggedTensorSpec):
        return tf.RaggedTensorSpec(dims, spec.dtype, spec.ragged_rank, spec.row_splits_dtype)
    return type(spec)(dims, spec.dtype)


def to_numpy(tensor):
    # A variable may live on several devices, and NumPy takes thrice as long to read it.
    return shared.array_of(np.asarray(tensor.value() if hasattr(tensor, "value") else tensor))


def array_reader(variable):
    read = _reader(variable)
    if np.asarray(read()).dtype.kind == "V":
        return lambda: to_numpy(read())
    return lambda: np.asarray(read())  # without the questions whose answers stay the same


def vector_reader(variables):
    values = [variable.value for variable in variables]
    plain = all(hasattr(one, "handle") and not hasattr(one, "values") for one in values)
    dtypes = {one.dtype for one in values}
    if len(values) < READ_TOGETHER or not plain or dtypes not in ({tf.float32}, {tf.float64}):
        return shared.vector_reader(array_reader, variables)
    joined = tf.function(
        lambda: tf.concat([tf.reshape(_reader(one)(), [-1]) for one in variables], 0),
        autograph=False,
    ).get_concrete_function()
    return lambda: np.array(joined())


def _reader(variable):
    """A function that returns the tensor of a variable's value, without a copy on the way."""
    value = variable.value
    if not hasattr(value, "handle"):
        return lambda: variable.value
    if hasattr(value, "values"):  # on several devices
        return lambda: variable.value.value()
    return functools.partial(tf.raw_ops.ReadVariableOp, resource=value.handle, dtype=value.dtype)


def sparse_tensor(places, values, shape):
    return tf.SparseTensor(places, values, shape)


def ragged_tensor(values, splits):
    return tf.RaggedTensor.from_nested_row_splits(values, splits)


def map_rows(function, rows, group):
    # `ops.map` would trace the function a second time, to learn its dtype.
    return tf.map_fn(function, rows)


def gradient(function, point):
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = function(point)
    return _dense(tape.gradient(value, point), point)


def hessian_vector_product(function, point, vector):
    with tf.GradientTape() as outer:
        outer.watch(point)
        slope = ops.sum(gradient(function, point) * vector)
    return _dense(outer.gradient(slope, point), point)


def _dense(gradient, point):
    return tf.zeros_like(point) if gradient is None else tf.convert_to_tensor(gradient)


def build(optimizer, weights):
    def trace():
        # As in fit, what the optimizer assigns when it is built is lost: Keras 3.15's
        # ScheduleFreeAdamW begins at 0 on TensorFlow, and at the weights on JAX and torch.
        if not optimizer.built:
            optimizer.build([weights])

    tf.function(trace, autograph=False).get_concrete_function()


def reach(layers):
    return _in_line


def _in_line(run):
    """A `tf.function` that was traced before is part of the trace, and nothing is traced again.

    What is recomputed would run again in the backward pass, when the scope has closed.
    """
    before, recompute = tf.config.functions_run_eagerly(), tf.recompute_grad
    try:
        tf.config.run_functions_eagerly(True)
        tf.recompute_grad = lambda function: function
        return run()
    finally:
        tf.recompute_grad = recompute
        tf.config.run_functions_eagerly(before)


def read_past_scope(run, point, variables):
    with tf.GradientTape() as tape:  # it notes what is read, of which nothing is differentiated
        run(point)
    read = {own.ref() for variable in tape.watched_variables() for own in _on_devices(variable)}
    return [v for v in variables if any(own.ref() in read for own in _on_devices(v.value))]


def _on_devices(variable):
    """A TensorFlow variable, or its copies on several devices."""
    return getattr(variable, "values", [variable])


def num_replicas():
    return tf.distribute.get_strategy().num_replicas_in_sync
