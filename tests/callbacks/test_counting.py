"""How many steps are counted: of data without a length, and where a fit ended with an error."""

import keras
import numpy as np
import pytest

from helpers.fits import batches, fit, some_data
from helpers.lines import rosette_model
from helpers.weights import weights_of
from keras_valleys.callbacks import TrajectoryRecorder

BACKEND = keras.config.backend()
SEVERAL = [1] if BACKEND == "torch" else [1, 2, 3, 4, 5, 8]  # steps per execution

pytestmark = [
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed"),
]


@pytest.fixture(scope="module")
def walk():
    """The weights before each step of twelve epochs, one step after the other."""
    recorder = TrajectoryRecorder()
    fit(rosette_model(), recorder, epochs=12)
    return recorder.trajectory.weights


def without_length():
    """A data set of five batches, whose length nobody knows before its end."""
    tf = pytest.importorskip("tensorflow")
    parts = batches(*some_data(), 16, 1)
    shape = tf.TensorSpec((None, 1), "float32")
    data = tf.data.Dataset.from_generator(lambda: iter(parts), output_signature=(shape, shape))
    assert data.cardinality() < 0
    return data


def endless():
    parts = batches(*some_data(), 16, 1)
    while True:
        yield from parts


def check(recorder, walk, steps, num_steps, model):
    path = recorder.trajectory
    assert list(path.steps) == [*steps, num_steps]
    np.testing.assert_allclose(path.weights, walk[path.steps], atol=3e-6)
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))


def begins(stride, epochs, size=5):
    return [start + k for start in range(0, size * epochs, size) for k in range(0, size, stride)]


@pytest.mark.parametrize("stride", SEVERAL)
def test_data_of_unknown_length_over_epochs_and_fits(walk, stride):
    recorder, model = TrajectoryRecorder(), rosette_model(steps_per_execution=stride)
    data = without_length()
    model.fit(data, epochs=3, verbose=0, callbacks=[recorder])
    check(recorder, walk, begins(stride, 3), 15, model)
    model.fit(data, epochs=2, verbose=0, callbacks=recorder)  # on a worker thread
    check(recorder, walk, begins(stride, 5), 25, model)


@pytest.mark.parametrize("stride", SEVERAL)
def test_a_generator_that_ends_and_one_that_does_not(walk, stride):
    recorder, model = TrajectoryRecorder(), rosette_model(steps_per_execution=stride)
    for _ in range(2):
        parts = (part for part in batches(*some_data(), 16, 1))
        model.fit(parts, verbose=0, callbacks=[recorder])
    check(recorder, walk, begins(stride, 2), 10, model)
    if stride in (1, 5):  # Keras takes whole executions
        model.fit(endless(), steps_per_epoch=5, epochs=2, verbose=0, callbacks=[recorder])
        check(recorder, walk, begins(stride, 4), 20, model)


@pytest.mark.parametrize("every", [2, 3, 7])
def test_data_of_unknown_length_every_so_many_steps(walk, every):
    recorder, model = TrajectoryRecorder(every), rosette_model()
    data = without_length()
    for fits in (1, 2):
        model.fit(data, epochs=3, verbose=0, callbacks=[recorder])
        check(recorder, walk, range(0, 15 * fits, every), 15 * fits, model)


def test_accumulated_gradients_and_data_of_unknown_length():
    optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=2)
    recorder, model = TrajectoryRecorder(), rosette_model(optimizer)
    data = without_length()
    for fits in (1, 2):
        model.fit(data, epochs=2, verbose=0, callbacks=[recorder])
        assert list(recorder.trajectory.steps) == list(range(10 * fits + 1))


class Fails(keras.callbacks.Callback):
    """Raises once, in one of Keras' hooks, the so many-th time."""

    def __init__(self, hook, at, error=ArithmeticError):
        super().__init__()
        self.left, self.error = at, error
        setattr(self, hook, self.fail)

    def fail(self, *arguments, logs=None):
        self.left -= 1
        if self.left == 0:
            raise self.error("no more")


HOOKS = {"on_epoch_end": 2, "on_epoch_begin": 3, "on_train_batch_begin": 8, "on_train_batch_end": 7}


@pytest.mark.parametrize("stride", SEVERAL[:2])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("error", [ArithmeticError, KeyboardInterrupt])
def test_after_an_error_the_next_fit_goes_on_at_the_right_step(walk, hook, is_first, stride, error):
    if stride > 1 and hook.startswith("on_train_batch"):
        pytest.skip("within an epoch")
    recorder, model = TrajectoryRecorder(), rosette_model(steps_per_execution=stride)
    callbacks = [recorder, Fails(hook, HOOKS[hook], error)][:: -1 if is_first else 1]
    with pytest.raises(error):
        fit(model, *callbacks, epochs=3)
    made = 7 if hook.startswith("on_train_batch") else 10
    assert recorder.trajectory.steps[-1] in (made - 1, made)
    np.testing.assert_allclose(weights_of(model), walk[made], atol=3e-6)
    fit(model, recorder, epochs=1)
    path = recorder.trajectory
    assert path.steps[-1] == made + 5 and made in path.steps
    then = path.steps >= made
    assert list(path.steps[then]) == [*(made + np.arange(0, 5, stride)), made + 5]
    np.testing.assert_allclose(path.weights[~then], walk[path.steps[~then]], atol=3e-6)
    np.testing.assert_array_equal(path.weights[-1], weights_of(model))
    missing = set(range(0, made, stride)) - set(path.steps) if stride == 1 else set()
    assert len(missing) <= 1  # of the step whose end was not told


@pytest.mark.parametrize("stride", SEVERAL[:3])
@pytest.mark.parametrize("is_first", [True, False])
def test_after_an_error_at_the_end_of_an_epoch_of_a_generator(walk, is_first, stride):
    recorder, model = TrajectoryRecorder(), rosette_model(steps_per_execution=stride)
    data = without_length()
    callbacks = [recorder, Fails("on_epoch_end", 2)][:: -1 if is_first else 1]
    with pytest.raises(ArithmeticError):
        model.fit(data, epochs=3, verbose=0, callbacks=callbacks)
    model.fit(data, epochs=1, verbose=0, callbacks=[recorder])
    check(recorder, walk, begins(stride, 3), 15, model)


def test_after_a_generator_that_failed(walk):
    def failing():
        yield from batches(*some_data(), 16, 1)[:3]
        raise ArithmeticError("no data")

    recorder, model = TrajectoryRecorder(), rosette_model()
    with pytest.raises(Exception, match="no data"):
        model.fit(failing(), verbose=0, callbacks=[recorder])
    assert recorder.trajectory.steps[-1] == (2 if BACKEND == "torch" else 3)  # the last that began
    np.testing.assert_allclose(weights_of(model), walk[3], atol=3e-6)
    fit(model, recorder, epochs=1)
    assert list(recorder.trajectory.steps) == list(range(9))


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": True}])
def test_eager_and_compiled_fits(walk, options):
    if BACKEND == "torch" and "jit_compile" in options:
        pytest.skip("torch compiles with a compiler of its own")
    recorder, model = TrajectoryRecorder(), rosette_model(step_loss=False, **options)
    fit(model, recorder, recorder, epochs=2)
    check(recorder, walk, range(10), 10, model)
    assert np.all(np.isfinite(recorder.trajectory.losses[:-1]))
    assert "running mean undone" in recorder.trajectory.loss_source
