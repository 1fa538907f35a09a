"""With which statistics a surface was evaluated is said: in details, in words, below pictures."""

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.pictures import caption

HELD = "statistics held at the model's present ones"


def network(seed, *, norm=True):
    keras.utils.set_random_seed(seed)
    norms = [keras.layers.BatchNormalization()] if norm else []
    layers = [keras.layers.Dense(3, "tanh"), *norms, keras.layers.Dropout(0.2)]
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mean_squared_error")
    return model


@pytest.fixture(scope="module")
def data():
    x = np.random.RandomState(2).normal(size=(20, 2)).astype("float32")
    return x, (x[:, :1] - 2 * x[:, 1:]).astype("float32")


@pytest.fixture(scope="module")
def pair(data):
    """Two fitted networks as objectives, and the recorder of the first."""
    recorder = kv.callbacks.TrajectoryRecorder()
    models = [network(3), network(4)]
    for model, callbacks in zip(models, ([recorder], []), strict=True):
        model.fit(*data, batch_size=5, epochs=2, callbacks=callbacks, verbose=0)
    return [kv.objectives.Objective(model, *data) for model in models], recorder


def evaluated(objective, *arguments, t=(-0.5, 0.0, 1.0), **options):
    return kv.surfaces.evaluate(objective, *arguments, coordinates=np.array(t), **options)


def test_verbose_says_once_that_statistics_are_held(pair, data, capsys):
    (objective, _), _ = pair
    axis = kv.directions.random(objective, 1)
    surface = evaluated(objective, axis, verbose=1, refine=0.01)
    out = capsys.readouterr().out
    assert out.count(f"Evaluated with {HELD}. Away from the model's weights these are not") == 1
    assert surface.details["statistics"] == {"mode": "held", "sentence": HELD, "away": True}
    for verbose in (0, "auto"):
        evaluated(objective, axis, verbose=verbose)
        assert capsys.readouterr().out == ""
    evaluated(objective, axis, t=(0.0,), verbose=1)  # the model's own weights
    assert "Evaluated" not in capsys.readouterr().out
    for mode in ("batch", "reestimated"):
        other = kv.objectives.Objective(objective.model, *data, statistics=mode)
        found = evaluated(other, axis, verbose=1)
        assert "Evaluated" not in capsys.readouterr().out
        assert found.details["statistics"]["mode"] == mode
    plain = kv.objectives.Objective(network(3, norm=False), *data)
    assert "statistics" not in evaluated(plain, kv.directions.random(plain, 1), verbose=1).details
    assert "Evaluated" not in capsys.readouterr().out


def test_another_network_in_this_objective_is_said(pair, capsys):
    (first, second), _ = pair
    a, b = first.point(), second.point()
    cases = [
        (first, kv.directions.between(a, b), a, ["end"]),
        (second, kv.directions.between(a, b), a, ["start"]),
        (first, kv.directions.between(a, b, orthonormal=False), None, ["end"]),
        (second, kv.directions.between(a, b), None, ["start"]),
        (first, kv.directions.between(b, 0.5 * a), b, ["start", "end"]),
        (first, kv.directions.between(a, a + 1), a, ["end"]),
        (first, kv.directions.random(second, 1), b, ["the origin"]),
        (first, (b - a)[None], b, ["the origin"]),
        (first, kv.directions.random(second, 1), None, []),
    ]
    for objective, directions, origin, others in cases:
        surface = evaluated(objective, directions, origin=origin, verbose=1)
        said = surface.details["statistics"]
        assert said.get("others", []) == others
        words = f"{HELD}, which need not be those that the network at {' and '.join(others)} had"
        assert said["sentence"] == (words if others else HELD)
        assert f"Evaluated with {said['sentence']}." in capsys.readouterr().out
        assert f"Evaluated with {said['sentence']}." in " ".join(
            caption(kv.plots.curve(surface)).split()
        )


def test_a_path_without_its_statistics_is_said(pair, data):
    (first, second), recorder = pair
    path = recorder.trajectory
    bare = kv.trajectories.Trajectory(path.steps, path.weights, path.losses)
    true = kv.trajectories.measured(bare, second)
    assert true.loss_source.endswith(f"mode, {HELD}, which need not be those of each step")
    whole = kv.trajectories.measured(path, first)
    assert whole.loss_source == "all 20 rows, evaluation mode, statistics of each step"
    line = evaluated(first, kv.directions.between(path.weights[0], path.weights[-1]))
    found = kv.trajectories.on_surface(path, line, first)
    assert found.loss_source == whole.loss_source and found.plane_source == HELD
    assert kv.trajectories.on_surface(path, line).plane_source == ""
    text = " ".join(caption(kv.plots.honesty(found)).split())
    assert f"True losses: {whole.loss_source}." in text and f"Slice: {HELD}." in text


def test_every_picture_of_a_surface_carries_the_caption(pair):
    (objective, _), _ = pair
    x = np.linspace(-1.0, 2.0, 9)
    line = evaluated(objective, kv.directions.random(objective, 1), t=x)
    plane = kv.surfaces.evaluate(objective, kv.directions.random(objective), coordinates=(x, x + 1))
    valleys = kv.valleys.find_valleys(line)
    starts, shape = np.array([-0.5, 0.5]), (1, 2)
    zeros = np.zeros(shape)
    basins = kv.descents.BasinMap(
        np.zeros(shape, int), zeros, zeros[..., None], zeros, [starts], line.labels, ["SGD"], 5
    )
    figures = [
        kv.plots.curve(line),
        kv.plots.curves([line, line]),
        kv.plots.contour(plane),
        kv.plots.surface_3d(plane),
        kv.plots.basins(basins, valleys),
    ]
    for figure in figures:
        assert caption(figure).count(f"Evaluated with {HELD}.") == 1
