"""The trainable weights of a model as one flat vector, by Keras' own door."""

import keras
import numpy as np


def weights_of(model):
    """The trainable weights, flat, by Keras' own door."""
    arrays = [np.ravel(keras.ops.convert_to_numpy(v.value)) for v in model.trainable_variables]
    return np.concatenate(arrays)


def set_weights(model, point):
    """Set the trainable weights from a flat vector, by Keras' own door."""
    start = 0
    for variable in model.trainable_variables:
        size = int(np.prod(variable.shape))
        variable.assign(np.reshape(point[start : start + size], variable.shape))
        start += size
