"""A function of TensorFlow, traced once for any number of rows."""

import keras


def traced(function):
    """Trace for shapes as general as those seen so far.

    A plain `tf.function` would trace again for each number of rows, and warn.
    """
    import tensorflow as tf

    graph = tf.function(function, autograph=False)
    traces = []

    def specs_of(arguments):
        first = id(keras.tree.flatten(arguments)[0])

        def spec(tensor):
            shape = list(tensor.shape)
            return tf.TensorSpec([None, *shape[1:]] if id(tensor) == first else shape, tensor.dtype)

        return [spec(tensor) for tensor in _tensors(arguments)]

    def call(*arguments):
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
        traces.append((specs, graph.get_concrete_function(*signature)))
        return traces[-1][1](*arguments)

    return call


def _tensors(structure):
    return [leaf for leaf in keras.tree.flatten(structure) if leaf is not None]


def _fits(known, specs):
    return len(known) == len(specs) and all(
        a.is_compatible_with(b) for a, b in zip(known, specs, strict=True)
    )


def _widened(spec, known):
    if spec.dtype != known.dtype or spec.shape.rank != known.shape.rank:
        return spec
    dims = [a if a == b else None for a, b in zip(spec.shape, known.shape, strict=True)]
    return type(spec)(dims, spec.dtype)
