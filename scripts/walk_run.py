"""What `walk_functions.py` runs: one fit for each optimizer, a table, and pictures."""

import math

import angle_run
import basin_run
import keras
import numpy as np

import keras_valleys as kv

# Learning rates that suit SGD, and those optimizers that scale their steps by themselves.
RATES = {
    "rosenbrock": (0.001, 0.05),
    "beale": (0.01, 0.05),
    "himmelblau": (0.01, 0.1),
    "rastrigin": (0.001, 0.1),
    "saddle": (0.02, 0.05),
    "oblique_valley": (0.015, 0.05),
    "power": (0.05, 0.05),
}


def run(options):
    """Walk, draw and count; returns the new folder, and the lines to print."""
    function = known(options)
    optimizers = named(options)
    models = {
        label: function.build_model(options.start, optimizer=optimizer)
        for label, optimizer in optimizers.items()
    }
    objective = kv.objectives.Objective(function.build_model(), *function.data())
    surface = kv.surfaces.evaluate(objective, coordinates=function.coordinates())
    options.log_dir.mkdir(parents=True, exist_ok=True)
    folder = basin_run.new_folder(options.log_dir, f"walk-{function.name}")
    data = function.data(options.steps)
    paths = [walk(model, label, data, surface, folder) for label, model in models.items()]
    surface.save(folder / "surface.npz")
    save(folder, pictures(surface, paths))
    lines = [*table(function, optimizers, paths), ""]
    if len(function.minima) > 1:
        lines.append(save_basins(folder, objective, surface, optimizers, options.steps))
    return folder, [str(function), *lines, angle_run.save_page(folder, surface, paths)]


def known(options):
    """The function that the options name, with those arguments that it takes."""
    given = {
        "rosenbrock": {"b": options.b},
        "oblique_valley": {"condition": options.condition, "angle": math.radians(options.angle)},
        "power": {"p": options.p},
    }
    make = getattr(kv.functions, options.function)
    return make(**given.get(options.function, {}))


def named(options):
    """A dictionary of labels to optimizers; "momentum" is SGD with it."""
    found = {}
    for name in options.optimizers.lower().split(","):
        name = name.strip()
        rate = options.learning_rate or RATES[options.function][name not in ("sgd", "momentum")]
        if name == "momentum":
            found["SGD, momentum 0.9"] = keras.optimizers.SGD(rate, momentum=0.9)
        else:
            optimizer = angle_run.optimizer_class(name)
            found[optimizer.__name__] = optimizer(rate)
    return found


def walk(model, label, data, surface, folder):
    """One real `model.fit`, recorded and shown in TensorBoard; returns its path."""
    recorder = kv.callbacks.TrajectoryRecorder(label=label)
    name = label.lower().replace(", ", "-").replace(" ", "-")
    board = kv.callbacks.SurfaceBoard(folder / name, surface)
    model.fit(*data, batch_size=1, shuffle=False, callbacks=[recorder, board], verbose=0)
    recorder.trajectory.save(folder / name / "trajectory.npz")
    return recorder.trajectory


def pictures(surface, paths):
    """The paths on the surface, and their losses over the steps."""
    if surface.losses.ndim == 1:
        figures = {"1_curve": kv.plots.curve(surface, paths)}
    else:
        figures = {
            "1_contour": kv.plots.contour(surface, paths),
            "2_surface": kv.plots.surface_3d(surface, paths),
        }
    return {**figures, "3_loss": kv.plots.loss_by_step(paths)}


def save_basins(folder, objective, surface, optimizers, steps):
    """The map of which start ends in which valley; what there is to say of it."""
    valleys = kv.valleys.find_valleys(surface)
    ends = zip(surface.coordinates, (81, 71), strict=True)
    starts = [np.linspace(axis[0], axis[-1], num) for axis, num in ends]
    try:
        basins = kv.descents.basin_map(objective, optimizers, starts, steps, valleys)
    except ValueError as error:  # an optimizer for which many starts cannot go side by side
        return f"There is no map of basins: {error}"
    basins.save(folder / "basins.npz")
    save(folder, {"4_basins": kv.plots.basins(basins, valleys)})
    place = ", ".join(f"{c:.3g}" for c in valleys[0].position)
    shares = zip(optimizers, 100 * basins.share(0), strict=True)
    shares = [f"{label} {share:.0f} %" for label, share in shares]
    return f"Of {basins.indices[0].size} starts end in valley 0, at ({place}): {', '.join(shares)}."


def save(folder, figures):
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(kv.plots.encode(figure))


def table(function, optimizers, paths):
    """Where each optimizer ended."""
    head = (
        f"{'optimizer':<20} {'learning rate':>13} {'final loss':>12} {'to the nearest minimum':>23}"
    )
    lines = ["", head]
    for optimizer, path in zip(optimizers.values(), paths, strict=True):
        end = path.weights[-1]
        distances = np.linalg.norm(function.minima - end, axis=1)
        nearest = f"{distances.min():.3g}" if len(distances) else "has none"
        rate = float(optimizer.learning_rate)
        lines.append(f"{path.label:<20} {rate:>13g} {float(function(end)):>12.4g} {nearest:>23}")
    return lines
