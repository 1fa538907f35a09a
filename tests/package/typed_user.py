"""The public names as users call them, for the type checker alone: nothing of this is run.

`assert_type` says what a call returns. A call that is wrong bears the error that a user must see:
mypy complains of each `type: ignore` under which it finds none.
"""

import concurrent.futures
import pathlib
from collections.abc import Callable
from typing import Any, assert_type

import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import keras_valleys as kv
from keras_valleys.callbacks import SurfaceBoard, TrajectoryRecorder
from keras_valleys.comparisons import Comparison, Run, Summary
from keras_valleys.descents import BasinMap, Descents
from keras_valleys.directions import Directions
from keras_valleys.functions import Function
from keras_valleys.gradients import Sharpness
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Projection, Trajectory
from keras_valleys.valleys import Derailment, Valley, Valleys


def who_teaches(build_model: Callable[[], keras.Model], folder: pathlib.Path) -> None:
    """One weight, five valleys, a lecture."""
    assert_type(kv.objectives.load_model(folder / "a.h5", "mean_squared_error"), keras.Model)
    (x, y), (x_test, y_test) = kv.datasets.rosette(num_lines=5)
    assert_type(x, np.ndarray)
    steps = kv.datasets.repeat(x, y, 100)
    model = build_model()
    model.compile(loss=kv.losses.RootError(4), metrics=[kv.metrics.StepLoss(kv.losses.RootError())])
    objective = Objective(model, x, y)
    phi = np.linspace(-1.5, 1.5, 601)
    surface = kv.surfaces.evaluate(objective, coordinates=phi, refine=1e-4)
    assert_type(surface, Surface)
    recorder = TrajectoryRecorder(every=2, label="SGD")
    board = SurfaceBoard(folder / "run", surface, images=3, hparams={"note": "a", "rate": 0.1})
    model.fit(*steps, callbacks=[recorder, board])
    assert_type(recorder.trajectory, Trajectory)
    hparams = {"learning_rate": 0.05}
    assert_type(kv.callbacks.write_run(folder / "b", surface, recorder, hparams=hparams), str)
    assert_type(kv.surfaces.reach(objective, rise=3, num_points=9), tuple[np.ndarray, ...])
    valleys = kv.valleys.find_valleys(surface, objective=objective)
    assert_type(valleys, Valleys)
    assert_type(valleys[0], Valley)
    assert_type([valley.loss for valley in valleys], list[float])
    assert_type(kv.valleys.derailments(recorder.trajectory, valleys), list[Derailment])
    assert_type(kv.valleys.barrier(valleys, 0, valleys[1]), float)
    assert_type(kv.plots.circle(surface, recorder.trajectory, theme="dark"), Figure)
    assert_type(kv.plots.curve(surface, [recorder.trajectory]), Figure)
    assert_type(kv.plots.encode(kv.plots.data(x, y)), bytes)
    assert_type(kv.plots.SurfaceFrames(surface).image([[0.1]], [2.0], 0), Image.Image)
    kv.pages.write_html(folder / "page.html", surface, [recorder.trajectory], title="Five valleys")
    kv.plots.fit((x_test, y_test), model.predict(x_test)).savefig(folder / "fit.png")


def who_teaches_optimizers(folder: pathlib.Path) -> None:
    """Two weights, and where the minima are."""
    function = kv.functions.oblique_valley(condition=20, angle=0.3)
    assert_type(function, Function)
    model = function.build_model([1, 2.5], optimizer=keras.optimizers.SGD(0.01))
    assert_type(model, keras.Model)
    model.fit(*function.data(100), batch_size=1)
    objective = Objective(function.build_model(), *function.data())
    surface = kv.surfaces.evaluate(objective, coordinates=function.coordinates((31, 21)))
    assert_type(function([[0.5, 1.0]]), np.ndarray)
    assert_type(function.gradient(function.minima), np.ndarray)
    bowl = Function("bowl", lambda x, y: x**2 + 3 * y**2, [(-1, 2), (-2, 3)], [1, 2])
    assert_type(bowl.start, np.ndarray)
    assert_type(kv.functions.power(1.5).limits, np.ndarray)
    kv.plots.contour(surface).savefig(folder / "valley.png")


def who_studies(build_model: Callable[[], keras.Model], surface: Surface, x: np.ndarray) -> None:
    """Optimizers side by side."""
    optimizers = {"sgd": keras.optimizers.SGD(0.05), "adam": "adam"}
    y = np.zeros_like(x)
    found = kv.comparisons.compare(
        build_model, optimizers, x, y, 100, seeds=3, starts=[[0.1], [0.5]], surface=surface, tune=3
    )
    assert_type(found, Comparison)
    assert_type(found.runs, tuple[Run, ...])
    assert_type(found.summaries, tuple[Summary, ...])
    assert_type(found.summaries[0].success_rate, float)
    assert_type(found.trajectories, list[Trajectory])
    assert_type(found.surface, Surface | None)
    assert_type(kv.comparisons.success_interval(4, 5), tuple[float, float])
    assert_type(kv.plots.success(found), Figure)
    objective = Objective(build_model(), x, y)
    ends = kv.descents.descend(objective, "adam", [[0.1], [0.2]], 50, paths=10)
    assert_type(ends, Descents)
    assert_type(ends.paths, np.ndarray | None)
    valleys = kv.valleys.find_valleys(surface)
    basins = kv.descents.basin_map(objective, ["sgd", "adam"], np.linspace(-1, 1, 9), 50, valleys)
    assert_type(basins, BasinMap)
    assert_type(basins.share(0), np.ndarray)
    assert_type(kv.plots.basins(basins, valleys), Figure)
    assert_type(kv.gradients.sharpness(objective, num_eigenvalues=1), Sharpness)
    assert_type(kv.gradients.gradient(objective, [[0.1], [0.2]]), np.ndarray)


def who_wonders(model: keras.Model, x: np.ndarray, y: np.ndarray, path: Trajectory) -> None:
    """Their own network: its path on its principal plane."""
    objective = Objective(model, {"image": x}, y, batch_size=32)
    plane = kv.directions.principal(path)
    assert_type(plane, Directions)
    assert_type(kv.directions.random(objective, seed=1).labels, tuple[str, ...])
    assert_type(kv.directions.coordinate(objective, ["kernel[0, 1]"])[0], np.ndarray)
    axes = kv.trajectories.span(path, plane, objective.point(), num_points=21)
    assert_type(axes, tuple[np.ndarray, ...])
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        surface = kv.surfaces.evaluate(objective, plane, coordinates=axes, executor=executor)
    surface.save("surface.npz")
    assert_type(Surface.load(pathlib.Path("surface.npz")), Surface)
    assert_type(surface == Surface.load("surface.npz"), bool)
    assert_type({surface: 1}[surface], int)
    assert_type(surface.losses, np.ndarray)
    assert_type(surface.coordinates, tuple[np.ndarray, ...])
    assert_type(surface.details, dict[str, Any])
    assert_type(kv.trajectories.on_surface(path, surface, objective), Projection)
    assert_type(kv.trajectories.project(path.weights, surface), np.ndarray)
    assert_type(kv.trajectories.from_checkpoints(model, "epoch-*.weights.h5"), Trajectory)
    assert_type(kv.plots.contour(surface, [path]), Figure)
    with kv.events.EventWriter("logs/mine") as writer:
        writer.scalar("loss", 0.5, step=0)
        writer.scalars({"a/x": 1.0, "a/y": 2}, 1)


def what_a_result_is_made_of() -> None:
    """Lists and arrays go in, arrays come out."""
    surface = Surface([4.0, 1.0], [[0.0, 1.0]], [[1.0]], [0.0], ["x"], details={"by": "hand"})
    path = Trajectory([0, 1], [[0.5], [0.25]], [0.25, np.nan], "SGD")
    assert_type(path.losses, np.ndarray)
    assert_type(path.label, str)
    assert_type(len(path), int)
    assert_type(Trajectory.load("path.npz"), Trajectory)
    assert_type(Directions([[1, 0], [0, 2]], ["a", "b"]).vectors, np.ndarray)
    surface.losses = path.losses  # type: ignore[misc]


def what_is_wrong(objective: Objective, surface: Surface, path: Trajectory) -> None:
    """What the type checker tells a user before anything runs."""
    kv.surfaces.evaluate()  # type: ignore[call-arg]
    kv.surfaces.evaluate(objective, refine="fine")  # type: ignore[arg-type]
    kv.plots.contour(path)  # type: ignore[arg-type]
    kv.plots.ring(surface)  # type: ignore[attr-defined]
    assert kv.nothing  # type: ignore[attr-defined]
    kv.directions.random(objective, normalization="layers")  # type: ignore[arg-type]
    Trajectory([0], [[1.0]])  # type: ignore[call-arg]
    surface.save(3)  # type: ignore[arg-type]
