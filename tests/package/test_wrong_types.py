"""What is of a wrong type is told in one sentence, wherever our own types are taken."""

import importlib
import inspect
import re
import typing
import warnings

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.lines import rosette_model
from keras_valleys._checks import KINDS, check_kind

# Words of an annotation, and what they ask for.
WORDS = {
    "objectives.objective.Objective": "objective",
    "measuring.Loss": "objective",
    "surfaces.surface.Surface": "surface",
    "projection.OnPlane": "surface",
    "trajectory.Trajectory": "trajectory",
    "valley.Valleys": "valleys",
    "basin_maps.Territories": "valleys",
    "basin_maps.BasinMap": "basin_map",
    "projection.Projection": "projection",
    "comparisons.Compared": "comparison",
    "models.model.Model": "model",
}
PLANES = ("contour", "surface_3d")


def functions():
    """All public functions, and classes that are called, with their owners' names."""
    for name in kv.__all__:
        door = importlib.import_module(f"keras_valleys.{name}")
        for public in door.__all__:
            value = getattr(door, public)
            if inspect.isfunction(value) or inspect.isclass(value) and _is_written(value):
                yield public, value


def _is_written(kind):
    """Whether it has an `__init__` of its own: what dataclasses make holds what it is given."""
    code = getattr(vars(kind).get("__init__"), "__code__", None)
    return code is not None and code.co_filename == inspect.getfile(kind)


def asked():
    """Triples of a function's name, a parameter, and the kinds that it takes."""
    for name, function in functions():
        for key, parameter in inspect.signature(function).parameters.items():
            text = str(parameter.annotation)
            kinds = {kind for word, kind in WORDS.items() if word in text}
            if kinds and "Callable[[]" not in text:
                yield pytest.param(function, key, kinds, id=f"{name}-{key}")


def takes_none(function, key):
    return inspect.signature(function).parameters[key].default is None


def takes_arrays(function, key):
    return "array_like" in str(inspect.signature(function).parameters[key].annotation)


@pytest.fixture(scope="module")
def good():
    """A value of each kind, and of the other arguments by their names."""
    (x, y), _ = kv.datasets.rosette(num_points=10)
    model = rosette_model()
    objective = kv.objectives.Objective(model, x, y)
    recorder = kv.callbacks.TrajectoryRecorder()
    model.fit(x, y, batch_size=len(x), epochs=2, callbacks=[recorder], verbose=0)
    surface = kv.surfaces.evaluate(objective, coordinates=np.linspace(-1.5, 1.5, 31))
    valleys = kv.valleys.find_valleys(surface)
    x_axis, y_axis = np.linspace(-2, 3, 9), np.linspace(-1, 3, 7)
    plane = kv.surfaces.Surface(
        (x_axis[:, None] - 1) ** 2 + y_axis**2, (x_axis, y_axis), np.eye(2), np.zeros(2)
    )
    starts = np.array([-0.5, 0.5])
    basins = kv.descents.basin_map(objective, "sgd", starts, 2, valleys)
    path = recorder.trajectory
    comparison = kv.comparisons.compare(rosette_model, ["sgd"], x, y, 2, tune=[0.01, 0.1])
    return {
        "objective": objective,
        "objectives": {"train": objective},
        "surface": surface,
        "plane": plane,
        "surfaces": [surface],
        "trajectory": path,
        "trajectories": [path],
        "valleys": valleys,
        "basin_map": basins,
        "projection": kv.trajectories.on_surface(path, surface, objective),
        "comparison": comparison,
        "model": model,
        "recorder": recorder,
        "x": x,
        "y": y,
        "build_model": rosette_model,
        "optimizer": "sgd",
        "optimizers": "sgd",
        "starts": starts,
        "coordinates": starts,
        "start": [0.1],
        "end": [0.5],
        "steps": 2,
        "vectors": [[1.0]],
        "weights": [[0.5]],
        "names": "phi",
        "a": 0,
        "b": 1,
        "paths": "nothing-*.keras",
        "path": "page.html",
        "log_dir": "logs",
    }


def called(function, key, wrong, good):
    """The error of a call with one wrong argument, and the others right."""
    name = getattr(function, "__name__", "")
    arguments = {}
    for other, parameter in inspect.signature(function).parameters.items():
        given = parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD
        if not given and other != key:
            plane = name in PLANES and other == "surface"
            pair = name == "shift" and other in ("a", "b")  # of surfaces, not of valleys
            arguments[other] = good["plane" if plane else "surface" if pair else other]
    if key == "objective" and name == "on_surface":
        arguments.pop("objective", None)
    try:
        function(**arguments, **{key: wrong})
    except (ValueError, TypeError) as error:
        return str(error)
    return "nothing"


@pytest.mark.parametrize("function, key, kinds", list(asked()))
def test_a_wrong_type_is_told_in_one_sentence(function, key, kinds, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # if a file is written all the same
    wrongs = [3, "text", 0.5, np.zeros((2, 3)), object(), keras.optimizers.SGD(), kv, {"a": 1}]
    wrongs += [good[kind] for kind in KINDS if kind in good and kind not in kinds]
    wrongs += [type(good[next(iter(kinds))])]
    wrongs += [] if takes_none(function, key) else [None]
    for wrong in wrongs:
        if isinstance(wrong, np.ndarray) and takes_arrays(function, key):
            continue
        text = called(function, key, wrong, good)
        assert re.match(r"`\w+` expects .*\. Received: .*\. \S.*\.$", text), (wrong, text)
        assert key.rstrip("s") in text.split("Received: ")[0], (wrong, text)


NUMBERS = [2**63, -(2**63) - 1, 10**400, 1j, "text", [1, "a"], {"a": 1}, object()]
# Dictionaries; in Keras' words; and what needs `y` as well.
TAKEN = {"Objective-class_weight", "AngleFit-phi_initializer", "Objective-batch_size"}


def counted():
    """Pairs of a function and a parameter that takes a number, or several."""
    for name, function in functions():
        for key, parameter in inspect.signature(function).parameters.items():
            number = re.search(r"\b(int|float)\b", str(parameter.annotation))
            if number and f"{name}-{key}" not in TAKEN and "HParam" not in str(parameter):
                yield pytest.param(function, key, id=f"{name}-{key}")


@pytest.mark.parametrize("function, key", list(counted()))
def test_no_number_is_too_large_and_nothing_else_is_taken_for_one(
    function, key, good, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    refused = 0
    needed = {"num_steps": 2, "successes": 1, "trials": 2, "y_true": [[1.0]], "y_pred": [[2.0]]}
    needed["value"] = kv.functions.saddle().value
    for wrong in NUMBERS:
        with warnings.catch_warnings():  # of a number that is taken
            warnings.simplefilter("ignore")
            text = called(function, key, wrong, {**good, **needed})
        form = r"(`\w+`|A [\w ]+)( and `\w+`)* expects? .*\. Received: .*\. \S.*\.$"
        assert text == "nothing" or re.match(form, text, re.S), (wrong, text)
        refused += text != "nothing"
    assert refused >= 3


def test_a_batch_size_that_is_none(good):
    for wrong in ("text", [1], 1j, object(), float("nan"), {}):
        with pytest.raises(ValueError, match="`Objective` expects `batch_size` to be an integer"):
            kv.objectives.Objective(good["model"], good["x"], good["y"], batch_size=wrong)
    for wrong in (2**63, -1, 10**400):
        with pytest.raises(ValueError, match="`Objective`|expects"):
            good["objective"].period_and_unit(wrong)


def test_the_walk_reaches_all_rooms():
    names = {parameter.id for parameter in asked()}
    assert len(names) > 45
    assert {"evaluate-objective", "contour-trajectories", "barrier-valleys"} <= names


def test_the_remedy_fits_what_came_instead(good):
    pairs = [
        ("evaluate", "objective", "model", "keras_valleys.objectives.Objective(model, x, y)"),
        ("contour", "surface", "objective", "keras_valleys.surfaces.evaluate(objective"),
        ("contour", "surface", "x", "Surface(losses, coordinates, directions, origin)"),
        ("contour", "surface", "valleys", "`valleys.surface`"),
        ("contour", "valleys", "surface", "find_valleys(surface)"),
        ("span", "trajectory", "comparison", "`comparison.trajectories`"),
        ("span", "trajectory", "model", "`recorder.trajectory`"),
        ("honesty", "projection", "trajectory", "on_surface(trajectory, surface, objective)"),
        ("Objective", "model", "objective", "`objective.model`"),
    ]
    for owner, kind, received, words in pairs:
        with pytest.raises(ValueError, match=re.escape(words)):
            check_kind(owner, kind, **{kind: good[received]})


def test_a_recorder_is_taken_for_its_trajectory(good):
    recorder, path, surface = good["recorder"], good["trajectory"], good["surface"]
    rooms = kv.trajectories
    assert rooms.span(recorder)[0].tolist() == rooms.span(path)[0].tolist()
    assert rooms.span([recorder, path])[0].tolist() == rooms.span(path)[0].tolist()
    assert rooms.on_surface(recorder, surface) == rooms.on_surface(path, surface)
    assert rooms.measured(recorder, good["objective"]) == rooms.measured(path, good["objective"])
    assert kv.valleys.derailments(recorder, surface) == kv.valleys.derailments(path, surface)
    found = [kv.directions.principal(one, 1) for one in (recorder, path, [path.weights])]
    assert found[0] == found[1] == found[2]
    for draw in (kv.plots.curve, kv.plots.circle, kv.plots.path_panels):
        assert len(draw(surface, recorder).axes) == len(draw(surface, path).axes)
    for draw in (kv.plots.loss_by_step, kv.plots.weight_by_step, kv.plots.loss_panels):
        lines = [draw(one).axes[0].lines[0].get_ydata().tolist() for one in (recorder, path)]
        assert lines[0] == pytest.approx(lines[1], nan_ok=True)
    run = good["comparison"].runs[0]  # what has a trajectory
    assert rooms.span(run)[0].tolist() == rooms.span(run.trajectory)[0].tolist()


def test_the_hints_are_those_of_the_walk():
    assert typing.get_type_hints(kv.surfaces.evaluate)["objective"] is kv.objectives.Objective
