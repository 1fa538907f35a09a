"""What `draw_surface.py` runs: a saved model, its directions, surface, pictures and event file."""

import concurrent.futures
import contextlib
import dataclasses
import importlib
import json
import math
import multiprocessing
import pathlib
import sys

import numpy as np
from angle_run import save_page

import keras_valleys as kv


@dataclasses.dataclass
class Run:
    objective: kv.objectives.Objective
    paths: list
    directions: kv.directions.Directions
    origin: np.ndarray
    coordinates: tuple
    workers: int
    writer: kv.events.EventWriter


def prepare(options):
    """All that can be wrong with the input comes up here, before the work."""
    sys.path.insert(0, "")
    for module in options.module:
        importlib.import_module(module)
    model = kv.objectives.load_model(options.model, options.loss)
    x, y, sample_weight = (read_arrays(options.data, name) for name in ("x", "y", "sample_weight"))
    objective = kv.objectives.Objective(
        model, x, y, sample_weight, variables=options.weights, batch_size=options.batch_size
    )
    if options.workers < 0:
        raise ValueError("--workers must be at least 0")
    paths = read_paths(model, options)
    origin = objective.point()
    directions = find_directions(objective, paths, origin, options)
    coordinates = axes_of(objective, directions, paths, options)
    options.log_dir.mkdir(parents=True, exist_ok=True)
    writer = kv.events.EventWriter(options.log_dir / f"{options.model.stem}-{options.directions}")
    return Run(objective, paths, directions, origin, coordinates, options.workers, writer)


def read_arrays(path, name):
    """The array `name` of a file, or a dictionary or list of the arrays `name/...`."""
    with np.load(path, allow_pickle=False) as file:
        if name in file:
            return file[name]
        parts = {
            key.removeprefix(f"{name}/"): file[key] for key in file if key.startswith(f"{name}/")
        }
    if name == "x" and not parts:
        raise ValueError(f"{path} must hold the array x. Write it with numpy.savez(..., x=x, y=y)")
    if parts and all(key.isdigit() for key in parts):
        return [parts[key] for key in sorted(parts, key=int)]
    return parts or None


def read_paths(model, options):
    series = [path for path in options.paths if not path.endswith(".npz")]
    paths = [kv.trajectories.Trajectory.load(p) for p in options.paths if p.endswith(".npz")]
    if series:
        paths.append(kv.trajectories.from_checkpoints(model, series, label="checkpoints"))
    return paths


def find_directions(objective, paths, origin, options):
    count = len(options.points)
    if options.directions == "random":
        kind = None if options.normalization == "none" else options.normalization
        flat = options.one_dimensional
        return kv.directions.random(
            objective, count, normalization=kind, one_dimensional=flat, seed=options.seed
        )
    if options.directions == "hessian":
        return kv.directions.hessian(objective, count, seed=options.seed)
    if options.directions == "principal":
        if not paths:
            raise ValueError("--directions principal needs --paths")
        return kv.directions.principal(paths, count)
    if len(options.to) != count:
        raise ValueError(f"--directions between needs one file for each axis: {count} after --to")
    others = kv.trajectories.from_checkpoints(objective.model, options.to).weights
    return kv.directions.between(origin, *others)


def axes_of(objective, directions, paths, options):
    """Where the surface is evaluated: the given range, or one that holds the paths."""
    if options.range is not None:
        if len(options.range) != len(options.points):
            raise ValueError("--range must have as many axes as --points")
        return tuple(
            np.linspace(*ends, n) for ends, n in zip(options.range, options.points, strict=True)
        )
    origin = objective.point()
    marks = [path.weights for path in paths]
    if options.directions == "between":
        marks.append(origin + np.asarray(directions.details["coordinates"]) @ directions.vectors)
    if marks:
        rows = np.concatenate([origin[None], *marks])
        path = kv.trajectories.Trajectory(np.arange(len(rows)), rows, np.full(len(rows), np.nan))
        axes = kv.trajectories.span(path, directions, origin, num_points=options.points)
        return axes if options.directions == "random" else widened(axes)
    ends = lengths(objective, directions, origin)
    return tuple(np.linspace(-e, e, n) for e, n in zip(ends, options.points, strict=True))


def widened(axes):
    """Orthonormal axes, none less than half as long as another: a strip shows no valley."""
    longest = max(np.ptp(axis) for axis in axes)
    more = [max(longest / 2 - np.ptp(axis), 0) / 2 for axis in axes]
    return tuple(np.linspace(a[0] - m, a[-1] + m, len(a)) for a, m in zip(axes, more, strict=True))


def lengths(objective, directions, origin):
    """How far to go along each direction, where nothing tells it."""
    curvatures = directions.details.get("eigenvalues")
    if curvatures:  # three times as far as a parabola needs to add the present loss
        rise = max(abs(float(objective(origin))), 1e-3)
        return [3 * math.sqrt(2 * rise / max(abs(c), 1e-3)) for c in curvatures]
    if directions.details.get("normalization"):
        return [1.0] * len(directions)
    return [0.5 * float(np.linalg.norm(origin)) or 1.0] * len(directions)


def draw(run):
    """Evaluate the surface, write everything, and return the lines to print."""
    folder = pathlib.Path(run.writer.log_dir)
    with workers(run.workers) as executor:
        surface = kv.surfaces.evaluate(
            run.objective,
            run.directions,
            coordinates=run.coordinates,
            origin=run.origin,
            executor=executor,
            checkpoint=folder / "surface.partial.npz",
        )
    surface.save(folder / "surface.npz")
    (folder / "surface.partial.npz").unlink()
    for number, path in enumerate(run.paths, 1):
        kv.callbacks.write_run(folder / f"path-{number}", surface, path)
    lines = describe(surface, run)
    figures = pictures(surface, run)
    for name, figure in figures.items():
        picture = kv.plots.encode(figure)
        (folder / f"{name}.png").write_bytes(picture)
        run.writer.image(f"valley/{name.split('_', 1)[1]}", picture, 0)
    run.writer.text("valley/report", "\n\n".join(lines))
    run.writer.close()
    return [*lines, f"Files and pictures: {folder}", save_page(folder, surface, run.paths)]


def pictures(surface, run):
    if surface.losses.ndim == 1:
        figures = {"1_curve": kv.plots.curve(surface, run.paths)}
    else:
        figures = {
            "1_contour": kv.plots.contour(surface, run.paths),
            "2_surface": kv.plots.surface_3d(surface, run.paths),
        }
    if run.paths:
        # Recorded losses are those of batches; the surface's are of all rows.
        paths = [dataclasses.replace(p, losses=np.full(len(p), np.nan)) for p in run.paths]
        shown = [kv.trajectories.on_surface(path, surface, run.objective) for path in paths]
        figures["3_honesty"] = kv.plots.honesty(shown)
    return figures


def describe(surface, run):
    here = float(run.objective(run.origin))
    place = np.unravel_index(np.nanargmin(surface.losses), surface.losses.shape)
    low = ", ".join(f"{axis[i]:.4g}" for axis, i in zip(surface.coordinates, place, strict=True))
    lines = [
        f"{run.objective.size} weights, {run.objective.num_rows} rows, {surface.loss_name}.",
        f"Loss at the model's weights {here:.6g}; lowest on the surface "
        f"{surface.losses[place]:.6g}, at ({low}).",
        f"Directions: {json.dumps(run.directions.details)}",
    ]
    diverged = int(np.sum(~np.isfinite(surface.losses)))
    return lines + ([f"{diverged} points diverged."] if diverged else [])


@contextlib.contextmanager
def workers(number):
    if not number:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(number, mp_context=context) as executor:
        yield executor
