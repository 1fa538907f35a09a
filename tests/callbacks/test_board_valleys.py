"""A board shows the valleys that it is given, and calls the lowest point of a border so."""

import json
import pathlib

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.util import tensor_util

import keras_valleys as kv
from helpers.boards import report, shown
from helpers.fits import some_data
from helpers.lines import rosette_model
from keras_valleys.callbacks import SurfaceBoard
from tensorboard_plugin_valleys.metadata import PLUGIN_NAME, SURFACE_INFO_TAG

PHI = np.linspace(-0.4, 1.1, 301)
# The weight begins at pi / 4, near the end, to which the surface falls.
SLOPE = kv.surfaces.Surface(
    np.cos(12 * PHI) - 0.8 * PHI + 0.02 * np.cos(90 * PHI), [PHI], [[1.0]], [0.0], ["phi"]
)


def info_of(board):
    (file,) = pathlib.Path(board.log_dir).glob("events*")
    for event in LegacyEventFileLoader(str(file)).Load():
        for value in event.summary.value:
            if value.tag == SURFACE_INFO_TAG:
                assert value.metadata.plugin_data.plugin_name == PLUGIN_NAME
                return json.loads(tensor_util.make_ndarray(value.tensor).tobytes())
    raise AssertionError("no surface")


def fit(folder, **options):
    x, y = some_data()
    board = SurfaceBoard(folder, SLOPE, images=2, **options)
    rosette_model().fit(x, y, batch_size=len(x), epochs=2, callbacks=[board], verbose=0)
    return board


def test_the_tab_and_the_report_show_the_given_valleys(tmp_path):
    all_of_them = kv.valleys.find_valleys(SLOPE)
    few = kv.valleys.find_valleys(SLOPE, persistence=0.3)
    assert 1 < len(few) < len(all_of_them)
    infos = []
    for name, options in (("a", {"valleys": few}), ("b", {"persistence": 0.3})):
        board = fit(tmp_path / name, **options)
        infos.append(info_of(board))
        (rings,) = [k for k in board._frames._axes.lines if k.get_gid() == "valleys"]
        assert len(rings.get_xdata()) == sum(not valley.on_border for valley in few)
        found = shown(board)
        indices = {index for _, index in found["scalars"]["valley/index"]}
        assert indices <= set(range(len(few)))
    assert infos[0] == infos[1]
    assert [valley["loss"] for valley in infos[0]["valleys"]] == [v.loss for v in few]
    assert [valley["on_border"] for valley in infos[0]["valleys"]] == [v.on_border for v in few]
    assert [valley["depth"] is None for valley in infos[0]["valleys"]] == [
        v.on_border or not np.isfinite(v.depth) for v in few
    ]
    marks = [valley["on_border"] for valley in info_of(fit(tmp_path / "c"))["valleys"]]
    assert marks == [valley.on_border for valley in all_of_them] and any(marks)


def test_the_report_names_the_border(tmp_path):
    end = kv.surfaces.Surface(-PHI, [PHI], [[1.0]], [0.0], ["phi"], units="rad")
    x, y = some_data()
    board = SurfaceBoard(tmp_path / "run", end, images=0)
    rosette_model().fit(x, y, batch_size=len(x), callbacks=[board], verbose=0)
    rows, _ = report(shown(board))
    assert rows["valleys visited"].startswith("lowest at the border (63.0")
    assert rows["derailments"] == "0"


def test_what_does_not_fit_is_refused_when_the_board_is_made(tmp_path):
    few = kv.valleys.find_valleys(SLOPE, persistence=0.3)
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="`SurfaceBoard` expects `persistence` to be a number"):
            SurfaceBoard(tmp_path, SLOPE, persistence=bad)
    with pytest.raises(ValueError, match="`SurfaceBoard` expects `valleys` or `persistence`"):
        SurfaceBoard(tmp_path, SLOPE, valleys=few, persistence=0.1)
    other = kv.surfaces.Surface(PHI**2, [PHI], [[1.0]], [0.0])
    with pytest.raises(ValueError, match="`SurfaceBoard` expects the `valleys` of its surface"):
        SurfaceBoard(tmp_path, other, valleys=few)
    for options in ({"valleys": few}, {"persistence": 0.1}):
        with pytest.raises(ValueError, match="a `surface` where `valleys` or `persistence` is"):
            SurfaceBoard(tmp_path, **options)
