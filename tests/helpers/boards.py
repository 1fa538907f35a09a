"""What both of TensorBoard's readers show of the run of a `SurfaceBoard`."""

import io
import os

import numpy as np
from PIL import Image

from helpers.readers import READERS, open_reader

SIZE = (640, 480)
IMAGES, REPORT = ["valley/path", "valley/surface"], ["valley/report"]


def read(kind, log_dir):
    """All that a reader shows of the run in `log_dir`."""
    folder, run = os.path.split(log_dir)
    with open_reader(kind, folder) as reader:
        tags = {name: reader.tags(run, name) for name in ("scalars", "images", "text", "hparams")}
        return {
            "scalars": {tag: reader.scalars(run, tag) for tag in tags["scalars"]},
            "images": {tag: reader.images(run, tag) for tag in tags["images"]},
            "texts": {tag: reader.texts(run, tag) for tag in tags["text"]},
            "hparams": reader.hparams(run) if tags["hparams"] else {},
        }


def shown(board):
    """What both readers show of the board's run: the same."""
    found = [read(kind, board.log_dir) for kind in READERS]
    np.testing.assert_equal(found[0], found[1])
    return found[0]


def check_scalars(found, path, names=("phi",), rows=slice(None)):
    """Every row of the trajectory is there, with the recorder's own numbers."""
    steps, weights, losses = path.steps[rows], path.weights[rows], path.losses[rows]
    seen = np.append(np.ones(len(steps) - 1, bool), np.isfinite(losses[-1]))  # no loss at the end
    expected = {"loss": (steps[seen], losses[seen])}
    expected |= {name: (steps, weights[:, k]) for k, name in enumerate(names)}
    tags = found["scalars"].keys() - {"valley/index"}  # has a test of its own
    assert tags == {f"valley/{name}" for name in expected}
    for name, columns in expected.items():
        points = np.array(found["scalars"][f"valley/{name}"])
        np.testing.assert_allclose(points, np.stack(columns, 1), rtol=1e-7, err_msg=name)


def image_steps(found, tag="valley/surface"):
    return [step for step, _ in found["images"].get(tag, [])]


def check_pictures(found):
    """Whole PNGs of the same size, no two alike."""
    encoded = [data for _, data in found["images"]["valley/surface"]]
    for data in encoded:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert (picture.format, picture.size, picture.n_frames) == ("PNG", SIZE, 1)
    assert len(set(encoded)) == len(encoded)


def check_animation(found, step, num_frames):
    ((last, data),) = found["images"]["valley/path"]
    with Image.open(io.BytesIO(data)) as movie:
        assert (movie.format, movie.size, movie.n_frames) == ("GIF", SIZE, num_frames)
        assert movie.info["loop"] == 0
        movie.seek(num_frames - 1)
        movie.load()
    assert last == step


def check_animation_is_made_of(movie, pictures):
    with Image.open(io.BytesIO(movie)) as movie:
        for number, picture in enumerate(pictures):
            movie.seek(number)
            with Image.open(io.BytesIO(picture)) as still:
                assert np.array_equal(*(np.asarray(i.convert("RGB")) for i in (movie, still)))


def report(found):
    """The rows of the report's table, and the step it was written at."""
    ((step, text),) = found["texts"]["valley/report"]
    header, line, *rows = [row.strip("|").split("|") for row in text.splitlines()]
    assert line == ["---", "---"]
    return {name.strip(): value.strip() for name, value in (header, *rows)}, step
