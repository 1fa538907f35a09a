"""JAX: a compiled function is compiled for each shape, and assigns to nothing."""

import jax
import keras
import numpy as np
from keras import ops

from keras_valleys._backend import shared

COMPILES_EACH_SHAPE = True
LARGEST_GROUP = 1  # of points side by side: a loop is compiled
TOGETHER_VALUES = 0  # a compiled loop has no overhead

num_replicas = shared.one_replica
random_numbers_apart = shared.no_random_numbers_apart
vectorized_map = ops.vectorized_map


def compiled(function):
    return jax.jit(function)


def to_numpy(tensor):
    return shared.array_of(np.asarray(tensor))


def array_reader(variable):
    return lambda: to_numpy(variable.value)


def map_rows(function, rows, group):
    return ops.map(function, rows)


def gradient(function, point):
    return jax.grad(function)(point)


def hessian_vector_product(function, point, vector):
    return jax.jvp(jax.grad(function), (point,), (vector,))[1]


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


def logs_of_test_step(model, mapping, data):
    values = {id(variable): value for variable, value in mapping}
    kinds = (model.trainable_variables, model.non_trainable_variables)
    state = [[values.get(id(v), v.value) for v in variables] for variables in kinds]
    reset = [ops.zeros_like(v.value) for v in model.metrics_variables]
    logs, _ = model.test_step((*state, reset), data)
    return logs
