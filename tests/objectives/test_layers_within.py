"""The layers within a model, by their public attributes, as Keras' own list has them."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_valleys._weights import layers_of, variables_of


class Kept(layers.Layer):
    """Holds layers in a list, in a dictionary, and one within both."""

    def __init__(self):
        super().__init__()
        self.first = [layers.Dense(2), layers.Dense(2)]
        self.named = {"last": layers.Dense(2), "more": [layers.Dense(2)]}

    def call(self, inputs):
        for layer in [*self.first, self.named["last"], *self.named["more"]]:
            inputs = layer(inputs)
        return inputs


def functional():
    inputs = keras.Input((4, 3), batch_size=2)
    shared = layers.Dense(3)
    x = layers.Bidirectional(layers.LSTM(2, stateful=True, return_sequences=True))(inputs)
    x = layers.TimeDistributed(keras.Sequential([layers.Dense(3), shared]))(x)
    x = layers.RNN([layers.GRUCell(2), layers.LSTMCell(3)], stateful=True)(shared(x))
    return keras.Model(inputs, Kept()(x))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner, self.attention = functional(), layers.MultiHeadAttention(2, 2)

    def call(self, inputs):
        return self.attention(self.inner(inputs)[:, None], self.inner(inputs)[:, None])


def subclassed():
    model = Subclassed()
    model(np.zeros((2, 4, 3), "float32"))
    return model


@pytest.mark.parametrize("build", [functional, subclassed])
def test_all_layers_are_found_once(build):
    model = build()
    found = [id(layer) for layer in layers_of(model)]
    assert len(set(found)) == len(found) > 10
    if hasattr(model, "_flatten_layers"):  # Keras' own list, which is private
        assert set(found) >= {id(layer) for layer in model._flatten_layers()}


@pytest.mark.parametrize("build", [functional, subclassed])
def test_states_of_stateful_layers_are_variables(build):
    model = build()
    found = variables_of(model)
    names = [v.path for v in found[len(model.variables) :]]
    # Two of each direction of the LSTM, one of the GRU's cell, two of the LSTM's.
    assert len(names) == 7 and all(name.endswith("rnn_state") for name in names)
    assert [id(v) for v in found[: len(model.variables)]] == [id(v) for v in model.variables]
