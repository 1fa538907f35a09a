"""JAX: a compiled function is compiled for each shape, and assigns to nothing."""

import contextlib

import jax
import jax.experimental.sparse
import keras
import numpy as np
from keras import ops

from keras_valleys._backend import shared
from keras_valleys._checks import refusal

COMPILES_EACH_SHAPE = True
FORGETS_UNLISTED = True
HAS_TEXT = False
LARGEST_GROUP = 1  # of points side by side: a loop is compiled
TOGETHER_VALUES = 0  # a compiled loop has no overhead

ASKS_FOR_NUMBERS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)

normal_mode = contextlib.nullcontext
ragged_tensor = None  # Keras fills the rows up with zeros
num_replicas = shared.one_replica
random_numbers_apart = shared.no_random_numbers_apart
vectorized_map = ops.vectorized_map


def compiled(function, open_batch=False):
    graph = jax.jit(function)
    leaves_graph = False

    def call(*arguments):
        nonlocal leaves_graph
        if not leaves_graph:
            try:
                return graph(*arguments)
            except (*ASKS_FOR_NUMBERS, AttributeError) as error:
                if not _asks_for_numbers(error):
                    raise
                leaves_graph = True
                shared.warn_of_python()
        with jax.disable_jit():  # a loop is Python's
            return function(*arguments)

    return call


def _asks_for_numbers(error):
    """Whether Python asked a tracer for its numbers. Keras 3.15 fails to hand on such an error."""
    return isinstance(error, ASKS_FOR_NUMBERS) or "_error_repr" in str(error)


def to_numpy(tensor):
    return shared.array_of(np.asarray(tensor))


def array_reader(variable):
    return lambda: to_numpy(variable.value)


def vector_reader(variables):
    return shared.vector_reader(array_reader, variables)


def sparse_tensor(places, values, shape):
    places = np.asarray(places, "int32")
    return jax.experimental.sparse.BCOO((values, places), shape=shape, indices_sorted=True)


def map_rows(function, rows, group):
    return ops.map(function, rows)


def gradient(function, point):
    with _differentiating():
        return jax.grad(function)(point)


def hessian_vector_product(function, point, vector):
    with _differentiating():
        return jax.jvp(jax.grad(function), (point,), (vector,))[1]


@contextlib.contextmanager
def _differentiating():
    """Say it in words where Python asks for numbers that JAX does not have in a derivative."""
    try:
        yield
    except (*ASKS_FOR_NUMBERS, AttributeError) as error:
        if not _asks_for_numbers(error):
            raise
        raise refusal(
            "A gradient",
            "a loss that JAX can differentiate",
            "a model or loss that asks tensors for their numbers in Python, by `if` or NumPy",
            "Write it with `keras.ops`: `keras.ops.where` for `if`.",
        ) from error


def reach(layers):
    return lambda run: run()


def read_past_scope(run, point, variables):
    values = run(point)  # Keras makes variables at the first loss, which it must not do in a trace
    # What is kept by a function that was compiled before is there in a second run.
    try:
        kept = list(_constants(jax.make_jaxpr(run)(point)))
    except (*ASKS_FOR_NUMBERS, AttributeError) as error:
        if not _asks_for_numbers(error):
            raise
        return []  # nothing is compiled
    pairs = zip(variables, values, strict=True)
    return [v for v, value in pairs if any(_is_value(one, v, value) for one in kept)]


def _is_value(constant, variable, value):
    """Whether a constant is a variable's value, also one that an earlier run has taken in."""
    if constant is variable.value or constant is value:
        return True
    same_kind = constant.shape == value.shape and constant.dtype == value.dtype
    if not same_kind or value.size < 2 or np.ptp(value) == 0:  # zeros and ones are no evidence
        return False
    return np.array_equal(constant, value)


def _constants(closed):
    """The arrays that a trace has taken in, with those of the functions that it calls."""
    yield from closed.consts
    for equation in closed.jaxpr.eqns:
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda one: hasattr(one, "consts")):
            if hasattr(inner, "consts"):
                yield from _constants(inner)


def build(optimizer, weights):
    optimizer.build([weights])


def applier(optimizer, variables):
    step = jax.jit(optimizer.stateless_apply)  # one by one its operations compile for seconds

    def apply(slopes):
        state = [variable.value for variable in optimizer.variables]
        found = step(state, slopes, [variable.value for variable in variables])
        for variable, value in zip([*variables, *optimizer.variables], sum(found, []), strict=True):
            variable.assign(value)

    return apply


def updated(optimizer, weights, gradients_at, values, num):
    variables = [weights, *optimizer.variables]

    def update(_, values):
        point, *state = values
        with keras.StatelessScope(list(zip(optimizer.variables, state, strict=True))):
            scale = optimizer.scale_loss(1.0)
        found = optimizer.stateless_apply(state, [scale * gradients_at(point)], [point])
        return [ops.cast(a, v.dtype) for a, v in zip(sum(found, []), variables, strict=True)]

    return ops.fori_loop(0, num, update, values)


def logs_of_test_step(model, mapping, data, follow):
    values = {id(variable): value for variable, value in mapping}
    kinds = (model.trainable_variables, model.non_trainable_variables)
    state = [[values.get(id(v), v.value) for v in variables] for variables in kinds]
    reset = [ops.zeros_like(v.value) for v in model.metrics_variables]
    logs, _ = follow(lambda: model.test_step((*state, reset), data))
    return logs


def run_test_step(model, mapping, data, follow, carried):
    values = {id(variable): value for variable, value in mapping}
    kinds = (model.trainable_variables, model.non_trainable_variables, model.metrics_variables)
    state = tuple([values.get(id(v), v.value) for v in variables] for variables in kinds)
    logs, found = follow(lambda: model.test_step(state, data))
    for variables, ends in zip(kinds, found, strict=True):
        values.update({id(v): value for v, value in zip(variables, ends, strict=True)})
    return logs, [values[id(variable)] for variable in carried]
