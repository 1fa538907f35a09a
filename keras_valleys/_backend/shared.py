"""What several backends do in the same way."""

import contextlib
import warnings

import keras
import numpy as np
from keras import ops


def array_of(array):
    """A NumPy array of numbers that NumPy knows; of others, such as bfloat16, as float32."""
    return array.astype("float32") if array.dtype.kind == "V" else array


def vector_reader(array_reader, variables):
    """`keras_valleys._backend.vector_reader` where each is read by itself."""
    readers = [array_reader(variable) for variable in variables]
    if len(readers) == 1:
        return lambda: readers[0]().flatten()
    return lambda: np.concatenate([read().ravel() for read in readers])


def applier(optimizer, variables):
    """`keras_valleys._backend.applier` where variables are assigned to."""
    return lambda slopes: optimizer.apply(slopes, variables)


def updated(optimizer, weights, gradients_at, values, num):
    """`keras_valleys._backend.updated` where compiled functions assign to variables."""
    variables = [weights, *optimizer.variables]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)

    def count_update(_, count):
        point = ops.convert_to_tensor(weights.value)
        optimizer.apply([optimizer.scale_loss(1.0) * gradients_at(point)], [weights])
        return count + 1

    ops.fori_loop(0, num, count_update, ops.zeros((), "int32"))
    return [ops.copy(ops.convert_to_tensor(variable.value)) for variable in variables]


def logs_of_test_step(model, mapping, data, follow):
    """`keras_valleys._backend.logs_of_test_step` where `test_step` takes the data alone."""
    with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
        for metric in model.metrics:
            metric.reset_state()
        return follow(lambda: model.test_step(data))


def run_test_step(model, mapping, data, follow, carried):
    """`keras_valleys._backend.run_test_step` where `test_step` takes the data alone."""
    with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
        logs = follow(lambda: model.test_step(data))
        return logs, [scope.get_current_value(variable) for variable in carried]


def warn_of_python():
    """Say that a function is not compiled."""
    warnings.warn(
        "The model or its loss asks tensors for their numbers in Python, such as by `if` or by "
        "NumPy: it is not compiled, and each point takes as long as a call of the model.",
        UserWarning,
        stacklevel=2,
    )


def one_replica():
    """`keras_valleys._backend.num_replicas` where there is no strategy with a scope."""
    return 1


@contextlib.contextmanager
def no_random_numbers_apart():
    """`keras_valleys._backend.random_numbers_apart` where all come from Keras' own seeds."""
    yield lambda seed: None
