"""Losses, metrics and losses of classes on one plane, against `model.evaluate` at each point."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_valleys as kv
from helpers import models
from helpers.weights import weights_of
from keras_valleys._weights import to_numpy
from keras_valleys.objectives import Objective, data

PACKAGE = "keras_valleys_tests"
X, Y = np.linspace(-0.4, 0.7, 3), np.array([-0.6, 0.2])


@keras.saving.register_keras_serializable(package=PACKAGE)
class Reach(keras.metrics.Metric):
    """Highest minus lowest prediction, and how many batches: begins at infinities, is no mean."""

    def __init__(self, name="reach", **options):
        super().__init__(name=name, **options)
        self.low = self.add_weight(name="low", initializer="zeros")
        self.high = self.add_weight(name="high", initializer="zeros")
        self.batches = self.add_weight(name="batches", initializer="zeros", dtype="int32")
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.low.assign(ops.minimum(self.low, ops.min(y_pred)))
        self.high.assign(ops.maximum(self.high, ops.max(y_pred)))
        self.batches.assign(self.batches + 1)

    def reset_state(self):
        self.low.assign(1e6)
        self.high.assign(-1e6)
        self.batches.assign(0)

    def result(self):
        return ops.cast(self.batches, "float32") * (self.high - self.low)


def classifier(loss="categorical_crossentropy", **options):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, "tanh", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", loss, **options)
    return model


def rows(number=23, one_hot=True):
    random = np.random.RandomState(0)
    x, y = random.normal(size=(number, 4)).astype("float32"), random.randint(0, 3, number)
    y[:3] = [0, 1, 2]
    weights = random.uniform(0.5, 2, number).astype("float32")
    return x, keras.utils.to_categorical(y) if one_hot else y, weights


def states_of(model):
    """What the metrics of a model have counted."""
    return [np.array(to_numpy(variable)) for variable in model.metrics_variables]


def plane_of(objective):
    vectors = np.random.RandomState(4).normal(size=(2, objective.size))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def twin_of(objective, plane, evaluate):
    """What `evaluate()` says after the model's weights were really set, at each point."""
    origin = objective.point().astype("float64")
    found = {}
    for i, j in itertools.product(range(len(X)), range(len(Y))):
        point = origin + X[i] * plane[0] + Y[j] * plane[1]
        for variable, value in zip(objective.variables, objective.split(point), strict=True):
            variable.assign(value)
        for name, value in evaluate().items():
            flat = np.asarray(value, "float64")
            for index in np.ndindex(flat.shape):
                key = f"{name}{list(index)}" if index else name
                found.setdefault(key, np.full((len(X), len(Y)), np.nan))[i, j] = flat[index]
    for variable, value in zip(objective.variables, objective.split(origin), strict=True):
        variable.assign(value)
    return found


def check(objective, evaluate, *, classes=None, **options):
    plane = plane_of(objective)
    given = dict(coordinates=(X, Y), classes=classes is not None, verbose=0, **options)
    found = kv.surfaces.evaluate_all({"train": objective}, plane, **given)
    expected = twin_of(objective, plane, evaluate)
    loss = kv.surfaces.evaluate(objective, plane, coordinates=(X, Y), verbose=0)
    np.testing.assert_allclose(found["train"].losses, loss.losses, rtol=1e-6, atol=1e-6)
    assert found["train"].loss_name == loss.loss_name and found["train"].labels == loss.labels
    names = [name for name in expected if name != "loss"]
    by_class = [] if classes is None else [f"class {one}" for one in classes]
    assert next(iter(found)) == "train"
    assert set(found) == {"train", *(("train", name) for name in [*names, *by_class])}
    for name in expected:
        surface = found["train"] if name == "loss" else found["train", name]
        np.testing.assert_allclose(
            surface.losses, expected[name], rtol=2e-6, atol=1e-6, err_msg=name
        )
        assert name == "loss" or surface.loss_name == name
        assert np.ptp(surface.losses) > 0
    if classes is not None:
        own = twin_of(objective, plane, classes_told(classes))
        for one in classes:
            losses = found["train", f"class {one}"].losses
            np.testing.assert_allclose(losses, own[str(one)], rtol=3e-6, atol=1e-6)
    return found


def classes_told(classes):
    """A function of no arguments that says the loss of each class, by its own rows."""
    return lambda: {str(one): evaluate() for one, evaluate in classes.items()}


def test_everything_that_evaluate_returns():
    metrics = ["accuracy", keras.metrics.AUC(name="auc"), keras.metrics.F1Score(), Reach()]
    model = classifier(metrics=metrics, weighted_metrics=["mae", keras.metrics.Precision(name="p")])
    x, y, weights = rows()
    model.fit(x, y, verbose=0)  # moves the statistics, and leaves states in the metrics
    before = [weights_of(model), *states_of(model)]
    objective = Objective(model, x, y, weights, batch_size=9)

    def own(k):
        kept = y.argmax(axis=1) == k
        return lambda: model.evaluate(x[kept], y[kept], sample_weight=weights[kept], verbose=0)[0]

    def evaluate():
        options = dict(batch_size=9, verbose=0, return_dict=True)
        return model.evaluate(x, y, sample_weight=weights, **options)

    given = dict(coordinates=(X, Y), classes=True, verbose=0)
    kv.surfaces.evaluate_all({"train": objective}, plane_of(objective), **given)
    for ours, theirs in zip(before, [weights_of(model), *states_of(model)], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    found = check(objective, evaluate, classes={k: own(k) for k in range(3)})
    assert {"auc", "f1_score[2]", "reach", "mae", "p"} <= {
        key[1] for key in found if key != "train"
    }


def test_a_model_that_has_seen_no_data_fits_afterwards_as_without_it():
    x, y, _ = rows()
    histories = []
    for looks in (False, True):
        model, other = (
            classifier(metrics=["accuracy", keras.metrics.F1Score(), Reach()]) for _ in range(2)
        )

        def evaluate(model=model, other=other):  # of another model: the first sees nothing
            for ours, theirs in zip(other.variables, model.variables, strict=True):
                ours.assign(np.array(to_numpy(theirs)))
            return other.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)

        if looks:
            check(Objective(model, x, y, batch_size=8), evaluate)
        keras.utils.set_random_seed(7)
        histories.append(model.fit(x, y, batch_size=8, epochs=2, verbose=0).history)
    assert histories[0].keys() == histories[1].keys()
    for name, values in histories[0].items():
        np.testing.assert_array_equal(values, histories[1][name])


def test_several_outputs_with_metrics_of_their_own():
    keras.utils.set_random_seed(2)
    model, x, y = models.several_inputs_and_outputs()
    model.compile(
        "sgd",
        {"u": "mean_squared_error", "v": "mean_absolute_error"},
        loss_weights={"u": 2, "v": 0.3},
        metrics={"u": ["mae", Reach()], "v": ["mse"]},
        weighted_metrics={"v": [keras.metrics.RootMeanSquaredError(name="root")]},
    )
    objective = Objective(model, x, y, batch_size=7)
    options = dict(batch_size=7, verbose=0, return_dict=True)
    found = check(objective, lambda: model.evaluate(x, y, **options))
    assert ("train", "u_loss") in found and ("train", "v_root") in found
    with pytest.raises(ValueError, match="targets of one class per row.*2 arrays"):
        kv.surfaces.evaluate_all(
            {"a": objective}, plane_of(objective)[0], coordinates=X, classes=True
        )


@pytest.mark.parametrize("make", [models.own_test_step, models.nothing_but_add_loss, models.masked])
def test_other_kinds_of_models(make):
    keras.utils.set_random_seed(3)
    model, x, y = make()
    if make is models.masked:
        model.compile("sgd", "mean_squared_error", metrics=["mae"])
    objective = Objective(model, x, y, batch_size=9)
    options = dict(batch_size=9, verbose=0, return_dict=True)
    check(objective, lambda: model.evaluate(x, y, **options))


def test_states_of_layers_go_on_as_well():
    keras.utils.set_random_seed(3)
    parts = [keras.Input(batch_shape=(5, 4, 3)), layers.LSTM(4, stateful=True), layers.Dense(2)]
    model = keras.Sequential(parts)
    model.compile("sgd", "mean_squared_error", metrics=["mae", Reach()])
    random = np.random.RandomState(1)
    x, y = random.normal(size=(15, 4, 3)), random.normal(size=(15, 2))
    objective = Objective(model, x, y, batch_size=5)

    def evaluate():
        model.layers[0].reset_states()
        return model.evaluate(x, y, batch_size=5, verbose=0, return_dict=True)

    check(objective, evaluate)


@pytest.mark.parametrize("statistics", ["batch", "reestimated"])
def test_with_statistics_of_the_data(statistics, monkeypatch):
    """Reestimated ones are those of one batch of all rows; the twin takes them from there."""
    model = classifier(metrics=["accuracy", "mae"])
    x, y, _ = rows()
    model.fit(x, y, verbose=0)
    objective = Objective(model, x, y, batch_size=9, statistics=statistics)
    whole = Objective(model, x, y, statistics="batch") if statistics == "reestimated" else None
    plane = plane_of(objective)
    given = dict(coordinates=(X, Y), classes=True, verbose=0)
    found = kv.surfaces.evaluate_all({"a": objective}, plane, **given)
    loss = kv.surfaces.evaluate(objective, plane, coordinates=(X, Y), verbose=0)
    np.testing.assert_allclose(found["a"].losses, loss.losses, rtol=1e-6)
    counts = y.sum(axis=0)
    parts = sum(counts[k] * found["a", f"class {k}"].losses for k in range(3)) / len(y)
    np.testing.assert_allclose(parts, loss.losses, rtol=1e-5)
    if whole is not None:
        other = kv.surfaces.evaluate_all({"a": whole}, plane, **given)
        for key, surface in found.items():
            np.testing.assert_allclose(surface.losses, other[key].losses, rtol=1e-4, atol=1e-6)
    assert found["a", "mae"].statistics_sentence == loss.statistics_sentence != ""


def test_data_that_are_read_anew(monkeypatch):
    x, y, _ = rows(one_hot=False)

    class Read(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return x[index * 8 :][:8], y[index * 8 :][:8]

    model = classifier("sparse_categorical_crossentropy", metrics=["accuracy"])
    monkeypatch.setattr(data, "KEPT_BYTES", 0)
    objective = Objective(model, Read())
    assert objective.streams

    def own(k):
        return lambda: model.evaluate(x[y == k], y[y == k], verbose=0)[0]

    options = dict(batch_size=8, verbose=0, return_dict=True)
    check(objective, lambda: model.evaluate(x, y, **options), classes={k: own(k) for k in range(3)})


def test_train_beside_test_on_a_line():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    x, y, _ = rows(31)
    train, test = Objective(model, x[:20], y[:20]), Objective(model, x[20:], y[20:])
    line = plane_of(train)[:1]
    given = dict(coordinates=X, origin=train.point() + 0.1, labels=["way"], verbose=0)
    found = kv.surfaces.evaluate_all({"train": train, "test": test}, line, metrics=False, **given)
    assert list(found) == ["train", "test"]
    for name, objective in (("train", train), ("test", test)):
        own = kv.surfaces.evaluate(objective, line, **given)
        assert found[name] == own and own.labels == ("way",)
    both = kv.surfaces.evaluate_all({"train": train, "test": test}, line, **given)
    assert list(both) == ["train", ("train", "accuracy"), "test", ("test", "accuracy")]
    assert both["test", "accuracy"].details["data"] == test.fingerprint
    only = kv.surfaces.evaluate_all({"a": test}, line, metrics=False, classes=True, **given)
    assert list(only) == ["a", *(("a", f"class {k}") for k in range(3))]


def test_the_weights_themselves_are_the_axes():
    (x, y), (tx, ty) = kv.datasets.rosette()
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile(loss=kv.losses.RootError(), metrics=["mae"])
    pair = {"train": Objective(model, x, y), "test": Objective(model, tx, ty)}
    found = kv.surfaces.evaluate_all(pair, coordinates=np.linspace(-1, 1.2, 5))
    assert found["test", "mae"].labels == ("phi",)
    assert found["test"].periods == (np.pi,) and found["test"].units == ("rad",)


@keras.saving.register_keras_serializable(package=PACKAGE)
class InPython(keras.metrics.Metric):
    """Keeps what it counts where no scope of Keras sees it."""

    def __init__(self, how="number", **options):
        super().__init__(**options)
        self.how, self.seen, self.kept = how, 0, []

    def update_state(self, y_true, y_pred, sample_weight=None):
        if self.how == "number":
            self.seen += 1
        else:
            self.kept.append(1)

    def result(self):
        return ops.convert_to_tensor(float(self.seen + len(self.kept)))

    def reset_state(self):
        self.seen = 0
        self.kept.clear()


@pytest.mark.parametrize("how, name", [("number", "seen"), ("list", "kept")])
def test_a_metric_that_counts_in_python_is_refused(how, name):
    model = classifier(metrics=[InPython(how)])
    objective = Objective(model, *rows()[:2])
    line = plane_of(objective)[0]
    with pytest.raises(
        ValueError, match=rf"in variables, made by `add_weight`.*'{name}'.* in Pyth"
    ):
        kv.surfaces.evaluate_all({"a": objective}, line, coordinates=X)
    found = kv.surfaces.evaluate_all({"a": objective}, line, coordinates=X, metrics=False)
    assert list(found) == ["a"]


def coupled(y_true, y_pred):
    """No part of it belongs to one row."""
    return ops.std(y_pred) + 0 * ops.sum(y_true)


@pytest.mark.parametrize(
    "loss, targets, message",
    [
        ("mean_squared_error", np.random.RandomState(1).normal(size=(23, 3)), "one-hot rows"),
        ("binary_crossentropy", np.ones((23, 3)), "one-hot rows, with classes=True"),
        (keras.losses.MeanSquaredError(reduction="sum"), None, "reduction .*'sum'"),
        (coupled, None, "a loss of .* for rows that add"),
    ],
)
def test_losses_and_targets_without_classes_are_refused(loss, targets, message):
    model = classifier(loss)
    x, y, _ = rows()
    objective = Objective(model, x, y if targets is None else targets)
    with pytest.raises(ValueError, match=message):
        kv.surfaces.evaluate_all(
            {"a": objective}, plane_of(objective)[0], coordinates=X, classes=True
        )


def test_what_is_refused():
    model = classifier()
    objective = Objective(model, *rows()[:2])
    line = plane_of(objective)[0]
    small = Objective(model, *rows()[:2], variables=[model.layers[0].bias])

    def fails(message, objectives, **options):
        with pytest.raises(ValueError, match=message):
            kv.surfaces.evaluate_all(objectives, line, **{"coordinates": X, **options})

    fails('a dictionary of names .*Use {"train": objective', objective)
    fails("a dictionary of names", {})
    fails("a dictionary of names", {3: objective})
    fails("an `?keras_valleys.objectives.Objective|Make an Objective", {"a": model})
    fails("over the same weights", {"a": objective, "b": small})
    fails("`metrics` to be True or False", {"a": objective}, metrics="accuracy")
    fails("`classes` to be True or False", {"a": objective}, classes=1)
    fails(
        "`coordinates` to be one array|one or two coordinate arrays",
        {"a": objective},
        coordinates=(X, Y),
    )
    objective.measures()
    model.compile("adam", "categorical_crossentropy", metrics=["mae"])
    fails("compiled anew.*Make a new Objective", {"a": objective})
