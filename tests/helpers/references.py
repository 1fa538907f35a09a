"""Slow, obvious twins."""

import keras
import numpy as np

from helpers.weights import set_weights, weights_of


def root_error(y_true, y_pred, root):
    """The formula in float64."""
    error = np.asarray(y_pred, "float64") - np.asarray(y_true, "float64")
    return np.mean((error**2) ** (1 / root), axis=-1)


def evaluate_at(model, points, x, y, sample_weight=None, batch_size=None):
    """What Keras users do: set the weights, evaluate, and put them back."""
    before = weights_of(model)
    losses = []
    for point in np.reshape(points, (-1, before.size)):
        for layer in model.layers:
            if getattr(layer, "stateful", False):  # it would go on where it is
                layer.reset_state()
        set_weights(model, point)
        logs = model.evaluate(
            x, y, sample_weight=sample_weight, batch_size=batch_size, verbose=0, return_dict=True
        )
        losses.append(float(logs["loss"]))
    set_weights(model, before)
    return np.reshape(losses, np.shape(points)[:-1])


def walk(model, batches, learning_rate):
    """SGD step by step with `train_on_batch`: the weights before each step and its own loss."""
    weights, losses = [], []
    for x, y in batches:
        weights.append(weights_of(model))
        model.reset_metrics()
        logs = model.train_on_batch(x, y, return_dict=True)
        losses.append(float(logs["loss"]))
    weights.append(weights_of(model))
    return np.array(weights), np.array(losses)


def gradient(function, x):
    """The gradient of the sum of `function` at `x` on the backend in use."""
    backend = keras.config.backend()
    x = keras.ops.convert_to_tensor(x)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = keras.ops.sum(function(x))
        result = tape.gradient(value, x)
    elif backend == "jax":
        import jax

        result = jax.grad(lambda x: keras.ops.sum(function(x)))(x)
    else:
        x = x.detach().clone().requires_grad_(True)
        keras.ops.sum(function(x)).backward()
        result = x.grad
    if keras.backend.standardize_dtype(result.dtype) in ("bfloat16", "float16"):
        result = keras.ops.cast(result, "float32")
    return np.asarray(keras.ops.convert_to_numpy(result))
