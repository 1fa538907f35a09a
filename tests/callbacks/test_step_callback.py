"""What a subclass of StepCallback is given, in whatever way Keras trains."""

import copy
import math
import pickle

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers import references
from helpers.fits import ROWS, Stop, batches, fit, some_data
from helpers.lines import rosette_model
from helpers.weights import weights_of

BACKEND = keras.config.backend()


class Keeps(kv.callbacks.StepCallback):
    """Keeps all that it is given, and what the model was at that time."""

    def __init__(self, every=1, weights=None):
        super().__init__(every, weights)
        self.begins, self.rows, self.finals = [], [], []

    def on_fit_begin(self):
        self.begins.append(len(self.rows))

    def on_row(self, row):
        assert isinstance(row, kv.callbacks.Row)
        self.rows.append(row)

    def on_final(self, row):
        self.finals.append(row)


def check(rows, weights, losses, steps=None):
    """Rows against the state before each step, and its loss."""
    steps = range(len(losses)) if steps is None else steps
    assert [row.step for row in rows] == list(steps)
    for row in rows:
        np.testing.assert_allclose(row.weights, weights[row.step], atol=2e-6)
        assert row.known and row.loss == pytest.approx(losses[row.step], abs=3e-6)


def walk(size, epochs):
    return references.walk(rosette_model(), batches(*some_data(), size, epochs), 0.05)


@pytest.mark.parametrize("step_loss", [True, False])
@pytest.mark.parametrize("size, epochs", [(ROWS, 4), (16, 3)])
def test_each_step_once_with_the_weights_before_it_and_its_loss(size, epochs, step_loss):
    keeps, model = Keeps(), rosette_model(step_loss=step_loss)
    fit(model, keeps, batch_size=size, epochs=epochs, validation_data=some_data())
    check(keeps.rows, *walk(size, epochs))
    (final,) = keeps.finals
    assert final.step == len(keeps.rows) and math.isnan(final.loss) and not final.known
    np.testing.assert_array_equal(final.weights, weights_of(model))
    assert keeps.begins == [0] and keeps.rows_ahead == [final]
    assert keeps.loss_source.startswith("exact" if step_loss else "the epoch's running mean undone")


def test_a_second_fit_goes_on_and_begins_anew():
    keeps, model = Keeps(), rosette_model()
    fit(model, keeps, epochs=1)
    fit(model, keeps, epochs=2)
    check(keeps.rows, *walk(16, 3))
    assert keeps.begins == [0, 5] and [row.step for row in keeps.finals] == [5, 15]


def test_every_so_many_steps_and_some_of_the_weights():
    x = np.random.RandomState(1).normal(size=(ROWS, 3)).astype("float32")
    layers = [keras.layers.Dense(4, name="first"), keras.layers.Dense(1, name="last")]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(keras.optimizers.SGD(0.01), "mean_squared_error")
    whole, some = Keeps(), Keeps(every=3, weights=["last/kernel"])
    options = {"batch_size": 16, "epochs": 2, "verbose": 0, "callbacks": [whole, some]}
    model.fit(x, x.sum(axis=1), **options)
    assert [row.step for row in some.rows] == [0, 3, 6, 9]
    for row in [*some.rows, *some.finals]:
        (same,) = [one for one in [*whole.rows, *whole.finals] if one.step == row.step]
        np.testing.assert_array_equal(row.weights, same.weights[16:20])
        assert row.loss == pytest.approx(same.loss, rel=1e-5, nan_ok=True)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_generators_of_unknown_length():
    keeps, model = Keeps(), rosette_model()
    for _ in range(2):
        model.fit((part for part in batches(*some_data(), 16, 1)), verbose=0, callbacks=[keeps])
    check(keeps.rows, *walk(16, 2))
    assert [row.step for row in keeps.finals] == [5, 10]


@pytest.mark.skipif(BACKEND == "torch", reason="torch makes one step per execution only")
def test_several_steps_per_execution_have_no_losses():
    keeps = Keeps()
    fit(rosette_model(steps_per_execution=2), keeps)
    weights, _ = walk(16, 2)
    assert [row.step for row in keeps.rows] == [0, 2, 4, 5, 7, 9]
    for row in keeps.rows:
        np.testing.assert_allclose(row.weights, weights[row.step], atol=2e-6)
        assert not row.known and math.isnan(row.loss)
    assert keeps.finals[0].step == 10 and keeps.loss_source.startswith("not seen")


def test_accumulated_gradients_are_steps_too():
    optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=3)
    keeps, model = Keeps(), rosette_model(optimizer)
    fit(model, keeps, epochs=3)
    assert [row.step for row in keeps.rows] == list(range(15)) and keeps.finals[0].step == 15
    moved = np.diff([row.weights[0] for row in [*keeps.rows, *keeps.finals]]) != 0
    np.testing.assert_array_equal(moved, np.arange(15) % 3 == 2)
    for row, batch in zip(keeps.rows, batches(*some_data(), 16, 3), strict=True):
        exact = kv.objectives.Objective(model, *batch)(row.weights)
        assert row.loss == pytest.approx(float(exact), rel=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9),
        lambda: keras.optimizers.ScheduleFreeAdamW(0.05),
    ],
)
def test_the_final_row_is_the_model_where_an_optimizer_averages(make):
    keeps, model = Keeps(), rosette_model(make())
    fit(model, keeps)
    assert [row.step for row in keeps.rows][:10] == list(range(10))
    (final,) = keeps.finals
    np.testing.assert_array_equal(final.weights, weights_of(model))
    assert abs(final.weights[0] - keeps.rows[-1].weights[0]) > 1e-4


@pytest.mark.parametrize("how", [KeyboardInterrupt, RuntimeError("no more")])
def test_after_an_exception_the_next_fit_hands_on_what_is_left(how):
    keeps, model = Keeps(), rosette_model()
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        fit(model, keeps, Stop(7, how))
    assert [row.step for row in keeps.rows] == list(range(6))
    assert [row.step for row in keeps.rows_ahead] == [6] and keeps.finals == []
    fit(model, keeps, epochs=1)
    assert [row.step for row in keeps.rows] == list(range(12)) and keeps.begins == [0, 7]
    assert all(row.known for row in keeps.rows)
    (final,) = keeps.finals
    assert final.step == 12
    np.testing.assert_array_equal(final.weights, weights_of(model))


def test_an_early_stop_has_a_final_row():
    keeps, model = Keeps(), rosette_model()
    fit(model, keeps, Stop(7, None))
    assert [row.step for row in keeps.rows] == list(range(7))
    assert keeps.finals[0].step == 7
    np.testing.assert_array_equal(keeps.finals[0].weights, weights_of(model))


@pytest.mark.parametrize("in_a", ["list", "callback list", "bare"])
def test_rows_are_the_same_in_a_list_a_callback_list_and_bare(in_a):
    (x, y), keeps, model = some_data(), Keeps(), rosette_model()
    callbacks = {"list": [keeps], "bare": keeps}.get(in_a)
    if callbacks is None:
        callbacks = keras.callbacks.CallbackList([keeps], add_history=True, model=model)
    options = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    model.fit(x, y, callbacks=callbacks, **options)
    check(keeps.rows, *walk(16, 2))
    assert [row.step for row in keeps.finals] == [10]


def test_it_is_copied_and_pickled_before_and_between_fits():
    keeps, model = Keeps(every=2), rosette_model()
    for again in (copy.deepcopy(keeps), pickle.loads(pickle.dumps(keeps))):
        fit(rosette_model(), again)
        assert [row.step for row in again.rows] == [0, 2, 4, 6, 8]
    fit(model, keeps)
    for again in (copy.deepcopy(keeps), pickle.loads(pickle.dumps(keeps))):
        np.testing.assert_equal(
            [row.weights for row in again.rows], [row.weights for row in keeps.rows]
        )
    fit(model, keeps, epochs=1)
    assert [row.step for row in keeps.rows] == [0, 2, 4, 6, 8, 10, 12, 14]


def test_no_state_is_born_after_init():
    made = {"recorder": kv.callbacks.TrajectoryRecorder, "keeps": Keeps}
    for make in made.values():
        callback = make()
        before = set(vars(callback)), set(vars(callback._step_reader))
        fit(rosette_model(), callback)
        assert (set(vars(callback)), set(vars(callback._step_reader))) == before


class Mine(kv.callbacks.StepCallback):
    """Names that come to mind for one's own state."""

    def __init__(self):
        super().__init__()
        self._step = self._last = self._losses = self._rows = self._final = self._reader = 0
        self.rows = self.losses = self.steps = self.step = self.final = self.optimizer = 0

    def on_row(self, row):
        self._step += 1

    def finish(self):
        raise AssertionError("not called by anyone")

    _finish = _hand_on = _read = _write = _begin = _end = _settle = finish


def test_names_of_a_subclass_do_not_disturb():
    mine = Mine()
    fit(rosette_model(), mine)
    assert mine._step == 10 and mine._last == mine._losses == mine.final == 0


@pytest.mark.parametrize("every", [0, -1, 1.5, True, None])
def test_impossible_arguments_are_refused_in_the_name_of_the_subclass(every):
    with pytest.raises(ValueError, match="`Keeps` expects `every` to be an integer >= 1"):
        Keeps(every=every)
    with pytest.raises(ValueError, match="`Keeps` expects `weights` to name trainable variables"):
        fit(rosette_model(), Keeps(weights="nothing"))


class Refuses(kv.callbacks.StepCallback):
    def on_row(self, row):
        if row.step == 3:
            raise ArithmeticError(f"no more after {row.step}")


def test_an_error_of_a_subclass_ends_fit_with_its_own_message():
    with pytest.raises(ArithmeticError, match="no more after 3"):
        fit(rosette_model(), Refuses())
