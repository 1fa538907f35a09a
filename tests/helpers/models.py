"""One small compiled model for each kind of thing that Keras models can be made of."""

import keras
import numpy as np
from keras import layers

PACKAGE = "keras_valleys_tests"
ROWS = 23


def random():
    return np.random.RandomState(5)


def sequential():
    return _tabular(keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(2)]))


def functional():
    inputs = keras.Input((3,))
    hidden = layers.Dense(4, activation="gelu")(inputs)
    return _tabular(keras.Model(inputs, layers.Dense(2)(layers.Concatenate()([hidden, inputs]))))


@keras.saving.register_keras_serializable(package=PACKAGE)
class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.hidden = layers.Dense(4, activation="tanh")
        self.last = layers.Dense(2)
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, inputs):
        return self.scale * self.last(self.hidden(inputs))


def subclassed():
    return _tabular(_built(Subclassed()))


def several_inputs_and_outputs():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    both = layers.Concatenate()([a, b])
    outputs = {"u": layers.Dense(1, name="u")(both), "v": layers.Dense(2, name="v")(both)}
    model = keras.Model({"a": a, "b": b}, outputs)
    losses = {"u": "mean_squared_error", "v": "mean_absolute_error"}
    model.compile("sgd", losses, loss_weights={"u": 2, "v": 0.3}, metrics={"u": ["mae"]})
    x = {"a": random().normal(size=(ROWS, 2)), "b": random().normal(size=(ROWS, 3))}
    y = {"u": random().normal(size=(ROWS, 1)), "v": random().normal(size=(ROWS, 2))}
    return model, x, y


def an_output_without_a_loss():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, [layers.Dense(2)(inputs), layers.Dense(4)(inputs)])
    model.compile("sgd", ["mean_squared_error", None])
    x, y = _numbers((3,), (2,))
    return model, x, [y, np.zeros((ROWS, 4))]


@keras.saving.register_keras_serializable(package=PACKAGE)
class OwnTrainStep(Subclassed):
    def train_step(self, *arguments):
        raise AssertionError("never called")


def own_train_step():
    return _tabular(_built(OwnTrainStep()))


@keras.saving.register_keras_serializable(package=PACKAGE)
class OwnTestStep(Subclassed):
    """Half of the compiled loss, by a tracker of its own, as Keras' guides do it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.tracker = keras.metrics.Mean(name="own")

    @property
    def metrics(self):
        return [self.tracker]

    def test_step(self, *arguments):
        if keras.config.backend() == "jax":
            (trainable, others, trackers), (x, y) = arguments
            prediction, others = self.stateless_call(trainable, others, x)
            loss = 0.5 * self.compute_loss(x, y, prediction)
            trackers = self.tracker.stateless_update_state(trackers, loss, len(x))
            logs = {"loss": self.tracker.stateless_result(trackers)}
            return logs, (trainable, others, trackers)
        ((x, y),) = arguments
        loss = 0.5 * self.compute_loss(x, y, self(x, training=False))
        self.tracker.update_state(loss, keras.ops.shape(x)[0])
        return {"loss": self.tracker.result()}


def own_test_step():
    return _tabular(_built(OwnTestStep()))


@keras.saving.register_keras_serializable(package=PACKAGE)
class OwnComputeLoss(Subclassed):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        penalty = keras.ops.sum(keras.ops.square(self.scale))
        return keras.ops.mean(keras.ops.abs(y - y_pred)) + 0.1 * penalty


def own_compute_loss():
    return _tabular(_built(OwnComputeLoss()), loss=None)


def regularizers():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, "tanh", kernel_regularizer="l2", activity_regularizer="l1"),
            layers.Dense(2, bias_regularizer=keras.regularizers.L1(0.2)),
        ]
    )
    return _tabular(model)


@keras.saving.register_keras_serializable(package=PACKAGE)
class Penalty(layers.Layer):
    def call(self, inputs):
        self.add_loss(0.01 * keras.ops.mean(keras.ops.square(inputs)))
        return inputs


def add_loss(**options):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), Penalty(), layers.Dense(2)])
    return _tabular(model, **options)


def nothing_but_add_loss():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), Penalty()])
    model.compile("sgd")
    return model, _numbers((3,), (2,))[0], None


def frozen():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(2)])
    model.layers[0].trainable = False
    return _tabular(model)


def tied():
    shared = layers.Dense(3, "tanh")
    inputs = keras.Input((3,))
    return _tabular(keras.Model(inputs, layers.Dense(2)(shared(shared(inputs)))))


def nested():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(4, "relu"), layers.Dense(3)])
    inputs = keras.Input((3,))
    return _tabular(keras.Model(inputs, layers.Dense(2)(inner(inputs))))


def lora():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(2)])
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(0.1 * random().normal(size=(2, 4)))
    return _tabular(model)


def batch_normalization():
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)]
    )
    model, x, y = _tabular(model)
    model.fit(x, y, verbose=0)  # moves the statistics
    return model, x, y


def noise():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.GaussianNoise(0.5),
            layers.Dense(4),
            layers.Dropout(0.5),
            layers.SpectralNormalization(layers.Dense(5)),
            layers.AlphaDropout(0.2),
            layers.Dense(2),
        ]
    )
    return _tabular(model)


def preprocessing():
    x, _ = _numbers((3,), (2,))
    normalization = layers.Normalization()
    normalization.adapt(x)
    return _tabular(keras.Sequential([keras.Input((3,)), normalization, layers.Dense(2)]))


def recurrent():
    model = keras.Sequential(
        [
            keras.Input((5, 3)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.GRU(4, dropout=0.2, recurrent_dropout=0.2),
            layers.Dense(2),
        ]
    )
    return _compiled(model, *_numbers((5, 3), (2,)))


def stateful():
    model = keras.Sequential(
        [keras.Input(batch_shape=(ROWS, 5, 3)), layers.LSTM(4, stateful=True), layers.Dense(2)]
    )
    return _compiled(model, *_numbers((5, 3), (2,)))


def masked():
    tokens = random().randint(0, 7, size=(ROWS, 6))
    model = keras.Sequential(
        [keras.Input((6,)), layers.Embedding(7, 3, mask_zero=True), layers.LSTM(4), layers.Dense(2)]
    )
    return _compiled(model, tokens, random().normal(size=(ROWS, 2)))


def attention():
    tokens = keras.Input((6,))
    vectors = layers.Embedding(7, 4)(tokens)
    mixed = layers.MultiHeadAttention(2, 3)(vectors, vectors)
    vectors = layers.LayerNormalization()(layers.Add()([vectors, mixed]))
    outputs = layers.Dense(5, "softmax")(layers.GlobalAveragePooling1D()(vectors))
    model = keras.Model(tokens, outputs)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, random().randint(0, 7, size=(ROWS, 6)), random().randint(0, 5, size=ROWS)


def convolutions():
    model = keras.Sequential(
        [
            keras.Input((8, 7, 2)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.DepthwiseConv2D(2, depth_multiplier=2),
            layers.MaxPooling2D(2),
            layers.SeparableConv2D(4, 2, padding="same"),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model, random().normal(size=(ROWS, 8, 7, 2)), random().randint(0, 5, size=ROWS)


def double_precision():
    layer = layers.Dense(4, "tanh", dtype="float64")
    return _tabular(keras.Sequential([keras.Input((3,)), layer, layers.Dense(2, dtype="float64")]))


def mixed_precision():
    policy = "mixed_bfloat16"
    hidden = layers.Dense(4, "tanh", dtype=policy)
    return _tabular(keras.Sequential([keras.Input((3,)), hidden, layers.Dense(2, dtype="float32")]))


def flat_targets():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    return model, _numbers((3,), ())[0], random().randint(0, 2, size=ROWS)


CASES = [
    sequential,
    functional,
    subclassed,
    several_inputs_and_outputs,
    an_output_without_a_loss,
    own_train_step,
    own_test_step,
    own_compute_loss,
    regularizers,
    add_loss,
    nothing_but_add_loss,
    frozen,
    tied,
    nested,
    lora,
    batch_normalization,
    noise,
    preprocessing,
    recurrent,
    stateful,
    masked,
    attention,
    convolutions,
    mixed_precision,
    flat_targets,
]


def _numbers(x_shape, y_shape):
    return random().normal(size=(ROWS, *x_shape)), random().normal(size=(ROWS, *y_shape))


def _tabular(model, loss="mean_squared_error"):
    return _compiled(model, *_numbers((3,), (2,)), loss=loss)


def _compiled(model, x, y, loss="mean_squared_error"):
    model.compile(keras.optimizers.SGD(0.01), loss)
    return model, x, y


def _built(model):
    model(np.zeros((1, 3), "float32"))
    return model
