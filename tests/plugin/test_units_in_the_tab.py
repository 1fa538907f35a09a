"""Units in what the browser gets to see, also of files that version 0.1 wrote."""

import json

import numpy as np
import pytest
from werkzeug.test import Client

from tensorboard_plugin_valleys import metadata, payload, plugin


@pytest.mark.parametrize(
    "names, units, expected",
    [
        (["phi", "w"], None, ["rad", ""]),
        (["phi", "w"], ["", "m"], ["", "m"]),
        (["theta"], ["rad"], ["rad"]),
        ([], None, []),
    ],
)
def test_only_files_without_units_are_read_by_name(names, units, expected):
    assert payload.units_of(names, units) == expected


def header_of(packed):
    return json.loads(packed[4 : 4 + int.from_bytes(packed[:4], "little")])


def test_a_path_says_its_units():
    rows = np.array([[0, 0.5, np.nan, 0, 0.7, 2.0]])
    header = header_of(payload.path_payload(rows, ["phi", "w"], units=["rad", "m"]))
    assert header["units"] == ["rad", "m"]
    assert header_of(payload.path_payload(rows, ["phi", "w"]))["units"] == ["", ""]


INFO = {  # as version 0.1 wrote it
    "labels": ["phi"],
    "loss_name": "loss",
    "coordinates": [[-1.0, 0.0, 1.0]],
    "periods": [np.pi],
    "num_weights": 1,
    "valleys": [],
}


class Datum:
    def __init__(self, numpy):
        self.numpy = numpy


class Series:
    def __init__(self, plugin_content):
        self.plugin_content, self.max_step = plugin_content, 1


class Provider:
    """A data provider of one run, in memory."""

    def __init__(self, info, content):
        text = np.frombuffer(json.dumps(info).encode(), "uint8")
        self.arrays = {
            metadata.SURFACE_TAG: np.array([1.0, 0.0, 1.0], "float32"),
            metadata.SURFACE_INFO_TAG: text,
            metadata.path_tag(0): np.array([[0, 0.5, np.nan, 0, 0.7]]),
        }
        self.content = json.dumps(content).encode()

    def list_tensors(self, **_):
        return {"run": {tag: Series(self.content) for tag in self.arrays}}

    def read_tensors(self, **_):
        return {"run": {tag: [Datum(array)] for tag, array in self.arrays.items()}}


def served(info, content):
    class Context:
        data_provider, flags = Provider(info, content), None

    apps = plugin.ValleysPlugin(Context).get_plugin_apps()
    surface = Client(apps["/surface"]).get("/surface?run=run").get_json()
    path = Client(apps["/path"]).get("/path?run=run").data
    return surface, header_of(path)


def test_files_of_version_0_1_show_phi_in_degrees():
    surface, path = served(INFO, {"coordinates": ["phi"], "label": "SGD"})
    assert surface["units"] == ["rad"] and surface["periods"] == [np.pi]
    assert path["units"] == ["rad"] and path["label"] == "SGD"


def test_files_with_units_are_read_as_they_are():
    info = {**INFO, "units": [""], "periods": [None]}
    surface, path = served(info, {"coordinates": ["phi"], "units": [""], "label": "SGD"})
    assert surface["units"] == [""] and surface["periods"] == [None] and path["units"] == [""]
