"""One interactive HTML file that needs no server: to mail, or for the page of a course."""

import base64
import hashlib
import html
import json
import os
import pathlib
from collections.abc import Iterable

import numpy as np

from keras_valleys._checks import as_labels, check_kind, refusal
from keras_valleys._files import local_path, write_whole
from keras_valleys._tab import path_rows, surface_info
from keras_valleys.plots import optimizer_color
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectories, as_trajectories, on_surface
from keras_valleys.valleys import Valleys, closed, shown_range, shown_valleys
from tensorboard_plugin_valleys import assets, payload

__all__ = ["write_html"]


def __dir__():
    return __all__


TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:;
 style-src '{style_hash}'; script-src '{script_hash}'">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<script type="application/json" id="valleys-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def write_html(
    path: str | os.PathLike,
    surface: Surface,
    trajectories: Trajectories = (),
    *,
    title: str | None = None,
    labels: str | Iterable[str] | None = None,
    valleys: Valleys | None = None,
    persistence: float | None = None,
) -> pathlib.Path:
    """Write a surface with the paths on it as one HTML file that moves.

    It shows what the tab "Valleys" shows in TensorBoard: the surface flat and in space, the paths
    up to a step that a slider moves, the valleys, the steps at which a path was derailed, and the
    loss against the step, recorded or true as the path has it. The path lies on the surface. All
    that it needs is in the file, it loads nothing from elsewhere, and no other script runs in it. A
    path of more than 4096 rows is thinned so that the picture looks the same, its extremes and
    derailments kept.

    Args:
        path: Path of the file; an older file there is replaced, whole or not at all.
        surface: A `keras_valleys.surfaces.Surface`. Radians are shown in degrees, and a curve with
            a period also wrapped round a circle.
        trajectories: A `keras_valleys.trajectories.Trajectory` over the same weights, or a list of
            them.
        title: Heading of the page; `None` takes the name of the loss.
        labels: Names of the trajectories; `None` takes their own labels, or "path 1", "path 2"
            where they have none. Of equal names the later ones get a number.
        valleys: What `keras_valleys.valleys.find_valleys` found on the surface, such as with an
            objective; `None` finds them.
        persistence: As for `find_valleys`, where `valleys` is `None`.

    Returns:
        The path of the file.

    Raises:
        ValueError: The surface or a trajectory is none, the weights do not match, there are not
            as many labels as trajectories, `persistence` is negative or given with `valleys`, or
            these are another surface's.
        OSError: The file cannot be written; an older file is then still there.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0], ["x"])
    >>> steps = keras_valleys.trajectories.Trajectory([0, 1], [[-0.2], [0.3]], [0.8, 0.6], "SGD")
    >>> page = keras_valleys.pages.write_html(tempfile.mkdtemp() + "/wave.html", wave, steps)
    >>> page.name, page.stat().st_size < 150_000
    ('wave.html', True)
    """
    path = local_path("write_html", path=path)
    paths = _checked(surface, trajectories)
    found = shown_valleys("write_html", surface, valleys, persistence)
    surface = found.surface
    names = _names(paths, labels)
    title = f"{surface.loss_name.replace('_', ' ')}" if title is None else str(title)
    drawn = closed(surface)
    below = drawn.losses, surface_info(drawn, found)
    packed = [_packed(*pair, surface, found, below) for pair in zip(names, paths, strict=True)]
    data = {
        "title": title,
        "surface": payload.surface_payload(*below),
        "runs": [
            {"name": name, "number": k, "color": optimizer_color(name), "surface": "surface"}
            for k, name in enumerate(names)
        ],
        "paths": {
            name: base64.b64encode(each).decode() for name, each in zip(names, packed, strict=True)
        },
    }
    # In a script "<" could begin the tag that ends it.
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    style = (assets.STATIC / assets.STYLE).read_text("utf-8")
    script = assets.one_script("page.js")
    page = TEMPLATE.format(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        data=text,
        script=script,
        script_hash=_hash(script),
    )
    write_whole(path, page)
    return pathlib.Path(path)


def _hash(text):
    """As a policy names a script or a style that may be in the page; no other one runs."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _checked(surface, trajectories):
    check_kind("write_html", "surface", surface=surface)
    return as_trajectories("write_html", trajectories)


def _names(trajectories, labels):
    """A name of its own for each trajectory."""
    given = [trajectory.label for trajectory in trajectories] if labels is None else labels
    given = as_labels("write_html", given)
    if len(given) != len(trajectories):
        raise refusal(
            "write_html",
            "one label per trajectory",
            f"{len(given)} labels for {len(trajectories)} trajectories",
            "Use labels=None for their own.",
        )
    names = []
    for number, name in enumerate(given, 1):
        name = unique = name or f"path {number}"
        count = 1
        while unique in names:
            count += 1
            unique = f"{name} {count}"
        names.append(unique)
    return names


def _packed(name, trajectory, surface, found, below):
    """The path as the browser takes it."""
    beside = on_surface(trajectory, surface)
    inside = surface.origin.size == surface.losses.ndim
    distances = np.full(len(trajectory), np.nan) if inside else beside.distances
    known = trajectory.losses, beside.coordinates, distances, found
    rows, past = path_rows(trajectory.steps, *known, no_steps=trajectory.no_steps)
    shown = shown_range(found, past.heights)
    options = {"surface": below, "units": surface.units, "loss_kind": trajectory.loss_kind}
    return payload.path_payload(rows, surface.labels, name, shown, **options)
