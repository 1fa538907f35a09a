"""The pictures of a `SurfaceBoard`: when they are drawn, and what they show."""

import io
import math

import keras
import numpy as np
import pytest
from PIL import Image

import keras_valleys as kv
from helpers.boards import (
    check_animation,
    check_animation_is_made_of,
    check_pictures,
    check_scalars,
    image_steps,
    read,
    shown,
)
from helpers.fits import fit, some_data
from helpers.lines import rosette_model
from keras_valleys.callbacks import SurfaceBoard, TrajectoryRecorder


@pytest.mark.parametrize(
    "images, size, epochs, steps",
    [
        (10, 16, 9, [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]),
        (10, 16, 3, [0, 2, 4, 5, 7, 9, 10, 12, 14, 15]),
        (10, 70, 4, [0, 1, 2, 3, 4]),
        (3, 16, 3, [0, 8, 15]),
        (2, 70, 4, [0, 4]),
        (1, 70, 4, [4]),
        (0, 70, 4, []),
    ],
)
def test_pictures_are_evenly_spaced(tmp_path, surface, images, size, epochs, steps):
    board = SurfaceBoard(tmp_path / "run", surface, images)
    fit(rosette_model(), board, batch_size=size, epochs=epochs)
    found = shown(board)
    assert image_steps(found) == steps
    if images:
        check_pictures(found)
        check_animation(found, steps[-1], min(10, steps[-1] + 1))
        if len(steps) == 10:
            (_, movie), *_ = found["images"]["valley/path"]
            check_animation_is_made_of(
                movie, [data for _, data in found["images"]["valley/surface"]]
            )
    else:
        assert found["images"] == {} and len(found["scalars"]["valley/phi"]) == 5


def test_the_animation_of_many_pictures_is_made_of_some(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=70)
    fit(rosette_model(), recorder, board, epochs=15)
    found, path = read("python", board.log_dir), recorder.trajectory  # 10 pictures, at random
    check_animation(found, 75, 24)
    frames = kv.plots.SurfaceFrames(surface, color=kv.plots.optimizer_color("SGD"))
    coordinates = kv.trajectories.project(path.weights, surface)
    steps = [math.ceil(75 / 69 * n) for n in range(0, 69, 3)] + [75]
    pictures = [frames.png(coordinates[: n + 1], path.losses[: n + 1], n) for n in steps]
    check_animation_is_made_of(found["images"]["valley/path"][0][1], pictures)


def test_pictures_are_evenly_spaced_over_the_epochs_that_are_left(tmp_path, surface):
    board = SurfaceBoard(tmp_path / "run", surface, images=5)
    fit(rosette_model(), board, epochs=10, initial_epoch=6)
    assert image_steps(shown(board)) == [0, 5, 10, 15, 20]


def test_a_picture_is_what_the_plots_draw(tmp_path, surface):
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", surface, images=3)
    fit(rosette_model(keras.optimizers.Adam(0.1)), recorder, board)
    path = recorder.trajectory
    coordinates = kv.trajectories.project(path.weights, surface)
    frames = kv.plots.SurfaceFrames(surface, color=kv.plots.optimizer_color("Adam"))
    pictures = dict(shown(board)["images"]["valley/surface"])
    for step in (0, 5, 10):
        rows = slice(step + 1)
        assert pictures[step] == frames.png(coordinates[rows], path.losses[rows], step)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_a_generator_of_unknown_length(tmp_path, surface):
    x, y = some_data()
    recorder, model = TrajectoryRecorder(), rosette_model()
    board = SurfaceBoard(tmp_path / "run", surface, images=6)
    model.fit(((x, y) for _ in range(40)), verbose=0, callbacks=[board, recorder])
    found = shown(board)
    check_scalars(found, recorder.trajectory)
    steps = image_steps(found)
    assert len(steps) == 6 and steps[0] == 0 and steps[-1] == 40
    check_pictures(found)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", [slice(30, 41), slice(None)])
def test_a_surface_with_losses_that_diverged(tmp_path, surface, value, part):
    losses = surface.losses.copy()
    losses[part] = value
    broken = kv.surfaces.Surface(
        losses, surface.coordinates, surface.directions, surface.origin, surface.labels
    )
    recorder, board = TrajectoryRecorder(), SurfaceBoard(tmp_path / "run", broken, images=3)
    fit(rosette_model(), board, recorder)
    found = shown(board)
    check_scalars(found, recorder.trajectory)
    check_pictures(found)


def test_a_board_draws_in_the_color_of_each_fits_optimizer(tmp_path, surface):
    model, board, found = rosette_model(), SurfaceBoard(tmp_path / "run", surface, images=1), []
    for name in ("SGD", "Adam"):
        model.compile(name.lower(), kv.losses.RootError())
        fit(model, board)
        ((_, data),) = shown(board)["images"]["valley/surface"]
        color = kv.plots.optimizer_color(name)
        rgb = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        found.append([rgb, pixels.reshape(-1, 3)])
    for number in (0, 1):
        for other in (0, 1):
            same = np.all(found[number][1] == found[other][0], axis=-1).sum()
            assert (same > 100) == (number == other)
