"""Compiled models of a straight line: by its angle, or by slope and intercept."""

import keras
import numpy as np

import keras_valleys as kv


def rosette_model(optimizer=None, loss=None, step_loss=True, build="sequential", **options):
    """The published model, compiled; SGD 0.05 and the fourth-root error by default."""
    loss = loss or kv.losses.RootError()
    model = BUILDERS[build]()
    metrics = [kv.metrics.StepLoss(loss)] if step_loss else None
    model.compile(optimizer or keras.optimizers.SGD(0.05), loss, metrics=metrics, **options)
    return model


def _sequential():
    return keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])


def _functional():
    inputs = keras.Input((1,))
    return keras.Model(inputs, kv.layers.AngleFit()(inputs))


@keras.saving.register_keras_serializable(package="keras_valleys_tests")
class SubclassedLine(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.angle = kv.layers.AngleFit()

    def call(self, inputs):
        return self.angle(inputs)


class BuiltLine(SubclassedLine):
    """The same with its weight from the start: base of models with a train_step of their own."""

    def __init__(self):
        super().__init__()
        self.angle.build((None, 1))
        self.built = True


def _subclassed():
    model = SubclassedLine()
    model(np.zeros((1, 1), "float32"))
    return model


BUILDERS = {"sequential": _sequential, "functional": _functional, "subclassed": _subclassed}


def dense_model(slope=5.0, intercept=0.0, optimizer=None, **options):
    """The predecessor: a straight line with slope and intercept, the mean squared error."""
    layer = keras.layers.Dense(
        1,
        kernel_initializer=keras.initializers.Constant(slope),
        bias_initializer=keras.initializers.Constant(intercept),
    )
    model = keras.Sequential([keras.Input((1,)), layer])
    options = {"loss": "mean_squared_error", **options}
    model.compile(optimizer or keras.optimizers.SGD(0.1), **options)
    return model
