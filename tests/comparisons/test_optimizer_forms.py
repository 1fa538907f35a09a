"""An optimizer as users give it: `descend`, `basin_map` and `compare` take the same forms."""

import functools

import keras
import numpy as np
import pytest
from keras import optimizers
from keras.optimizers import SGD, Adam, AdamW

import keras_valleys as kv
from keras_valleys import _optimizers
from keras_valleys._optimizers import as_candidate, as_candidates

START, STEPS = 0.7, 5
PACKAGE = "keras_valleys_tests_of_forms"


@keras.saving.register_keras_serializable(package=PACKAGE)
class Signs(optimizers.Optimizer):
    """One of a user's own, registered."""

    def __init__(self, learning_rate=0.02, **options):
        super().__init__(learning_rate, **options)

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, learning_rate * keras.ops.sign(gradient))


class Scaled(SGD):
    """Not registered, and takes an argument that its config does not hold."""

    def __init__(self, learning_rate=0.01, scales=(1.0,), **options):
        super().__init__(learning_rate, **options)
        self.scales = tuple(scales)

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(sum(self.scales) * gradient, variable, learning_rate)


@keras.saving.register_keras_serializable(package=PACKAGE)
class Halved(SGD):
    """Registered, and says as little."""

    def __init__(self, learning_rate=0.01, share=1.0, **options):
        super().__init__(learning_rate, **options)
        self.share = share


def trained():
    """An instance that has a past."""
    optimizer = Adam(0.03)
    weight = keras.Variable([1.0, 2.0])
    optimizer.apply([keras.ops.ones(2)], [weight])
    return optimizer


def decay():
    return optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)


SHARED = SGD(0.03, momentum=0.9)
CONFIG = {"class_name": "sgd", "config": {"learning_rate": 0.04}}
# What is given, a function that makes the same by hand, and its label.
FORMS = {
    "a name": ("sgd", SGD, "SGD"),
    "a name in any case": ("RMSPROP", optimizers.RMSprop, "RMSprop"),
    "a class": (Adam, Adam, "Adam"),
    "an instance": (SGD(0.03, momentum=0.9), lambda: SGD(0.03, momentum=0.9), "SGD"),
    "a trained instance": (trained(), lambda: Adam(0.03), "Adam"),
    "a config": (
        {"class_name": "sgd", "config": {"learning_rate": 0.04}},
        lambda: SGD(0.04),
        "SGD",
    ),
    "a config of Keras": (optimizers.serialize(Adam(decay())), lambda: Adam(decay()), "Adam"),
    "a function": (lambda: Adam(0.03), lambda: Adam(0.03), "Adam"),
    "a function with one instance": (lambda: SHARED, lambda: SGD(0.03, momentum=0.9), "SGD"),
    "a registered name": (f"{PACKAGE}>Signs", Signs, "Signs"),
    "a registered config": (optimizers.serialize(Signs(0.03)), lambda: Signs(0.03), "Signs"),
    "an own class": (functools.partial(Scaled, 0.01, (1.0, 2.0)), lambda: SGD(0.03), "Scaled"),
    "a schedule": (Adam(decay()), lambda: Adam(decay()), "Adam"),
    "loss scaling": (
        optimizers.LossScaleOptimizer(SGD(0.03), initial_scale=8.0),
        lambda: SGD(0.03),
        "SGD",
    ),
}


def build():
    layer = kv.layers.AngleFit(phi_initializer=keras.initializers.Constant(START))
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile("sgd", kv.losses.RootError(), jit_compile=False)
    return model


@functools.cache
def ground():
    (x, y), _ = kv.datasets.rosette(num_points=6)
    objective = kv.objectives.Objective(build(), x, y)
    surface = kv.surfaces.evaluate(objective, coordinates=np.linspace(-1.5, 1.4, 101))
    return objective, kv.valleys.find_valleys(surface), x, y


def descend(given):
    objective, _, _, _ = ground()
    found = kv.descents.descend(objective, given, [START], STEPS)
    return found.weights[0, 0], found.label


def basin_map(given):
    objective, valleys, _, _ = ground()
    found = kv.descents.basin_map(objective, given, [START], STEPS, valleys)
    return found.ends[0, 0, 0], found.optimizers[0]


def compare(given):
    _, _, x, y = ground()
    (run,) = kv.comparisons.compare(build, given, x, y, STEPS, verbose=0).runs
    assert run.status == "finished", run.reason
    return run.trajectory.weights[-1, 0], run.optimizer


CALLS = {"descend": descend, "basin_map": basin_map, "compare": compare}


@functools.cache
def by_hand(make):
    """The weight after a plain `model.fit`."""
    _, _, x, y = ground()
    model = build()
    model.optimizer = make()
    model.fit(*kv.datasets.repeat(x, y, STEPS), batch_size=len(x), shuffle=False, verbose=0)
    return float(model.get_weights()[0])


@pytest.mark.parametrize("form", FORMS)
def test_three_functions_take_it_and_go_as_fit_goes(form):
    given, make, label = FORMS[form]
    expected = by_hand(make)
    assert abs(expected - START) > 1e-3
    for name, call in CALLS.items():
        end, named = call(given)
        assert named == label, name
        assert end == pytest.approx(expected, rel=2e-5), name
    assert not SHARED.built


def test_what_is_given_stays_as_it_is():
    instance, config = trained(), {"class_name": "SGD", "config": {"learning_rate": 0.04}}
    before = [np.array(keras.ops.convert_to_numpy(v.value)) for v in instance.variables]
    for call in (descend, compare):
        call(instance)
        call(config)
    assert config == {"class_name": "SGD", "config": {"learning_rate": 0.04}}
    for variable, value in zip(instance.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), value)


def test_several_optimizers_in_one():
    """One weight has one of them; a `MultiOptimizer` has no learning rate of its own."""
    given = optimizers.MultiOptimizer(optimizers.OptimizerMap(SGD(0.03, momentum=0.9)))
    end, label = compare(given)
    assert end == pytest.approx(by_hand(FORMS["an instance"][1]), rel=2e-5)
    candidate = as_candidate("descend", optimizer=given)
    assert label == candidate.label == "MultiOptimizer" and candidate.rate() is None
    assert candidate.identity() != as_candidate("descend", optimizer=SGD(0.03)).identity()


# What cannot be taken


class Stateless:
    def __call__(self, step):
        return 0.1


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "given, message",
    [
        (3, "a Keras optimizer that can be made again: a name, a class"),
        (None, "a Keras optimizer that can be made again"),
        ("adamm", "Received: 'adamm'. Choose from .*adamw.*, or register yours"),
        ({"class_name": "adamm", "config": {}}, "Received: 'adamm'. Choose from"),
        (keras.layers.Dense, "Received: <class 'keras.*Use 'adam'"),
        (keras.layers.Dense(2), "Received: <Dense"),
        (lambda rate: SGD(rate), "a function without arguments"),
        (Stateless(), "a function without arguments"),
        (decay(), "a function without arguments"),
    ],
)
def test_the_error_names_the_function_and_comes_before_the_work(name, given, message):
    argument = "optimizer" if name == "descend" else "optimizers"
    with pytest.raises(ValueError, match=f"^`{name}` expects `{argument}` to be .*{message}"):
        CALLS[name](given)
    if name != "descend":
        for several in ([given], {"a": "sgd", "b": given}):
            with pytest.raises(ValueError, match=f"^`{name}` expects each of `{argument}` to be"):
                CALLS[name](several)


def broken():
    raise OSError("no such thing")


LEFT_OUT = "its get_config leaves out what it was made with. Give a function that makes it"
UNMADE = {
    "left out": (Scaled(0.1, scales=(0.5,)), LEFT_OUT),
    "left out within another": (optimizers.LossScaleOptimizer(Halved(0.1, 0.5)), LEFT_OUT),
    "a function as learning rate": (SGD(lambda: 0.1), "it cannot be made again from its config"),
    "a function that fails": (broken, "no such thing"),
    "a function that returns another thing": (lambda: 3, "returned 3, which is no Keras optimizer"),
    "a class that needs arguments": ("lossscaleoptimizer", "inner_optimizer"),
}


@pytest.mark.parametrize("case", UNMADE)
def test_what_cannot_be_made_is_refused_or_stays_in_the_table(case):
    given, message = UNMADE[case]
    for name in ("descend", "basin_map"):
        with pytest.raises(ValueError, match=f"^`{name}` expects a Keras optimizer.*{message}"):
            CALLS[name](given)
    _, _, x, y = ground()
    found = kv.comparisons.compare(build, [given, "adam"], x, y, 2, verbose=0)
    assert [run.status for run in found.runs] == ["finished", "failed"]
    assert found.runs[0].optimizer == "Adam" and message in found.runs[1].reason


# Labels


def test_equal_labels_are_told_apart_in_one_way():
    objective, valleys, x, y = ground()
    given = ["sgd", SGD(0.05), "SGD", lambda: Adam(0.05), SGD(decay()), SGD(decay())]
    expected = ["SGD 0.01", "SGD 0.05", "SGD 0.01 (2)", "Adam", "SGD", "SGD (2)"]
    labels = [one.label for one in as_candidates("compare", optimizers=given)]
    assert labels == expected
    basins = kv.descents.basin_map(objective, given, [START], 1, valleys)
    assert list(basins.optimizers) == expected
    np.testing.assert_array_equal(basins.indices[:, 0], valleys.at(basins.ends[:, 0, 0]))
    found = kv.comparisons.compare(build, given, x, y, 1, verbose=0)
    assert sorted(run.optimizer for run in found.runs) == sorted(expected)


def test_a_rate_that_is_replaced_is_not_in_the_label():
    objective, valleys, x, y = ground()
    given, expected = [SGD(0.05), SGD(0.1, momentum=0.5)], ("SGD", "SGD (2)")
    basins = kv.descents.basin_map(objective, given, [START], 1, valleys, learning_rates=[0.2])
    assert basins.optimizers == expected
    found = kv.comparisons.compare(build, given, x, y, 1, tune=[0.2], verbose=0)
    assert sorted(run.optimizer for run in found.runs) == list(expected)


def test_labels_are_the_users_and_differ():
    for name in ("basin_map", "compare"):
        with pytest.raises(ValueError, match=f"^`{name}` expects `optimizers` to be one optimizer"):
            CALLS[name]({1: "adam", "1": "sgd"})
    named = as_candidates("compare", optimizers={"a": "sgd", 2: Adam})
    assert [one.label for one in named] == ["a", "2"]


# Weight decay that leaves out variables, which no config holds


def network():
    layer = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile("sgd", "mean_squared_error", jit_compile=False)
    return model


def without_bias():
    optimizer = AdamW(0.05, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def test_a_copy_decays_what_the_instance_decays():
    x, y = np.ones((4, 1), "float32"), np.ones((4, 1), "float32")
    scaled = optimizers.LossScaleOptimizer(without_bias(), initial_scale=4.0)
    given = {"made": without_bias, "copied": without_bias(), "scaled": scaled}
    given["all"] = AdamW(0.05, weight_decay=0.5)
    found = kv.comparisons.compare(network, given, x, y, 4, verbose=0)
    ends = {run.optimizer: run.trajectory.weights[-1] for run in found.runs}
    np.testing.assert_array_equal(ends["copied"], ends["made"])
    np.testing.assert_allclose(ends["scaled"], ends["made"], rtol=1e-6)
    assert abs(ends["all"][1] - ends["made"][1]) > 0.01


@pytest.mark.parametrize("given", [without_bias, without_bias()], ids=["made", "copied"])
def test_weights_in_one_variable_cannot_leave_out_some(given):
    for name in ("descend", "basin_map"):
        with pytest.raises(ValueError, match=f"^`{name}` expects weight decay of all.*regularizer"):
            CALLS[name](given)


def test_a_keras_that_keeps_it_elsewhere_is_not_guessed_at(monkeypatch):
    given = without_bias()
    monkeypatch.setattr(optimizers.Optimizer, "exclude_from_weight_decay", lambda *a, **o: None)
    with pytest.raises(ValueError, match="^`descend` expects .*does not tell which variables"):
        descend(given)
    assert descend(SGD(0.05))[1] == "SGD"


# Identity


def test_equal_optimizers_are_equal_and_others_are_not():
    given = [
        SGD(0.05),
        SGD(0.06),
        SGD(0.05, momentum=0.9),
        Adam(0.05),
        Signs(0.05),
        without_bias(),
        AdamW(0.05, weight_decay=0.5),
        lambda: Scaled(0.05, (0.5,)),
        lambda: Scaled(0.05, (0.6,)),
        Adam(decay()),
        SGD(0.05, name="another"),
        optimizers.LossScaleOptimizer(SGD(0.05)),
        lambda: optimizers.LossScaleOptimizer(Halved(0.05, 0.5)),
        lambda: optimizers.LossScaleOptimizer(Halved(0.05, 0.6)),
    ]
    first, again = (
        [_optimizers.Candidate("one", as_candidate("f", optimizer=one).make) for one in given]
        for _ in range(2)
    )
    found = [one.identity() for one in first]
    assert found == [one.identity() for one in again] and None not in found
    assert len(set(found)) == len(found) - 1 and found[10] == found[0]  # a name is no fact
    assert first[0].identity(0.06) == found[1]
    assert _optimizers.Candidate("two", first[0].make).identity() != found[0]


def test_a_checkpoint_is_of_these_optimizers(tmp_path):
    objective, _, _, _ = ground()
    path = tmp_path / "part.npz"
    made = [lambda scale=scale: Scaled(0.05, (scale,)) for scale in (0.5, 0.6)]
    kv.descents.descend(objective, made[0], [START], 2, checkpoint=path)
    kv.descents.descend(objective, made[0], [START], 2, checkpoint=path)
    with pytest.raises(ValueError, match="`descend` expects `checkpoint` to be of the same"):
        kv.descents.descend(objective, made[1], [START], 2, checkpoint=path)


def test_learning_rates_are_told():
    rates = [
        ("adam", 0.001),
        (SGD(0.3), 0.3),
        (SGD(decay()), "ExponentialDecay"),
        (lambda: 3, None),
        (optimizers.LossScaleOptimizer(SGD(0.2)), 0.2),
        (lambda: SGD(lambda: 0.1), "__lambda__"),
    ]
    for given, rate in rates:
        assert as_candidate("descend", optimizer=given).rate() == rate
    scaled = as_candidate("descend", optimizer=optimizers.LossScaleOptimizer(SGD(0.2)))
    assert float(scaled.fresh(0.7).inner_optimizer.learning_rate.numpy()) == pytest.approx(0.7)
