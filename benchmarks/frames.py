"""The time of a picture drawn during training, against `savefig` of the same picture."""

import io
import itertools

import measure
import numpy as np

from keras_valleys import plots, surfaces

LIMIT = 0.1  # of savefig's time


def rosette_curve():
    """A surface with the five valleys of the rosette, without Keras."""
    phi = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    lines = np.deg2rad([-72, -36, 0, 36, 72])
    losses = np.mean(np.sqrt(np.abs(np.sin(phi[:, None] - lines))), axis=1)
    angle = {"labels": ["phi"], "periods": np.pi, "units": "rad"}
    return surfaces.Surface(losses, [phi], [[1.0]], [0.0], **angle)


def plane():
    x, y = np.linspace(-3, 4, 61), np.linspace(-2, 3, 51)
    losses = np.sin(2 * x)[:, None] + (x[:, None] - 1) ** 2 + np.cos(3 * y) + y**2
    return surfaces.Surface(losses, [x, y], np.eye(2), [0.0, 0.0])


def walk(num_rows, surface):
    """A path that settles, as an optimizer's does, and its losses."""
    num_axes = surface.losses.ndim
    t = np.linspace(0, 1, num_rows)[:, None]
    noise = np.random.default_rng(0).normal(size=(num_rows, num_axes)) * 0.05
    goals, starts = np.array([0.63, 1.1])[:num_axes], np.array([-1.2, -1.5])[:num_axes]
    path = goals + (starts - goals) * np.exp(-4 * t) + noise * (1 - t)
    heights = surface.losses if num_axes == 1 else surface.losses[:, 25]
    return path, np.interp(path[:, 0], surface.coordinates[0], heights)


def save_whole(frames):
    """What `savefig` takes for the picture that was just drawn, path and all."""
    for artist in frames._artists:
        artist.set_animated(False)
    frames.figure.savefig(io.BytesIO(), format="png", dpi=100)
    for artist in frames._artists:
        artist.set_animated(True)


def main():
    results, rows, targets = {}, [], []
    for kind, surface in (("1-D", rosette_curve()), ("2-D", plane())):
        frames = plots.SurfaceFrames(surface)
        for num_rows in (100, 10_000):
            path, losses = walk(num_rows, surface)
            steps = itertools.count(num_rows)
            size = len(frames.png(path, losses, num_rows))
            functions = {
                "savefig": lambda frames=frames: save_whole(frames),
                # Another step, so that its text is laid out anew, as in training.
                "frame": lambda f=frames, p=path, h=losses, s=steps: f.png(p, h, next(s)),
            }
            samples = measure.alternate(functions, repeats=31)
            wall, cpu = measure.median(samples), measure.median(samples, "cpu")
            ratio = wall["frame"] / wall["savefig"]
            name = f"{kind}, {num_rows} rows"
            times = [1000 * clock[key] for clock in (wall, cpu) for key in ("savefig", "frame")]
            rows.append([name, *times, ratio, size])
            targets.append(measure.target(f"{name}: frame / savefig", ratio, LIMIT))
            keys = ("savefig_ms", "frame_ms", "savefig_cpu_ms", "frame_cpu_ms", "ratio", "bytes")
            results[name] = dict(zip(keys, rows[-1][1:], strict=True))
    header = ["640x480 pixels", "savefig ms", "frame ms", "savefig CPU", "frame CPU", "ratio"]
    measure.table("Median of 31, in turn", [*header, "bytes"], rows)
    measure.write("frames", {"targets": targets, "figures": results})


if __name__ == "__main__":
    main()
