"""The tab "Valleys" of a log directory, asked by WSGI as the browser does."""

import contextlib
import json
import zlib

import numpy as np
from tensorboard.backend import application
from tensorboard.plugins import base_plugin
from tensorboard.plugins.core import core_plugin
from werkzeug.test import Client

from helpers.readers import open_reader
from tensorboard_plugin_valleys.plugin import ValleysPlugin

PREFIX = "/data/plugin/keras_valleys"


def decode(packed):
    """What path.js makes of the bytes: the header, and a dictionary of columns."""
    length = int.from_bytes(packed[:4], "little")
    header = json.loads(packed[4 : 4 + length])
    content, size = zlib.decompress(packed[4 + length :]), header["num_rows"]

    def take(width):
        nonlocal content
        part, content = content[: width * size], content[width * size :]
        return np.frombuffer(part, "u1").reshape(width, size).T.tobytes()

    columns = {"step": np.cumsum(np.frombuffer(take(8), "<i8")).astype("float64")}
    columns["level"] = np.frombuffer(take(1), "u1")
    for name in ("loss", "distance", "valley", *header["coordinates"]):
        bits = np.cumsum(np.frombuffer(take(4), "<i4").astype("int64")).astype("<i4")
        columns[name] = bits.view("<f4")
    assert content == b""
    return header, columns


class Tab:
    """The plugin of a log directory, asked as the browser does."""

    def __init__(self, provider, path_prefix=""):
        context = base_plugin.TBContext(data_provider=provider)
        plugins = [ValleysPlugin(context), core_plugin.CorePlugin(context)]
        app = application.TensorBoardWSGI(plugins, path_prefix, provider)
        self.client, self.prefix = Client(app), path_prefix

    def get(self, route, status=200):
        answer = self.client.get(self.prefix + PREFIX + route)
        assert answer.status_code == status, answer.text
        return answer

    def runs(self):
        return {run["name"]: run for run in self.get("/runs").get_json()["runs"]}

    def surface(self, run):
        return self.get(f"/surface?run={run}").get_json()

    def path(self, run):
        return decode(self.get(f"/path?run={run}").data)

    def moment(self, run, number):
        return decode(self.get(f"/path?run={run}&moment={number}").data)

    def listing(self):
        return self.client.get("/data/plugins_listing").get_json()["keras_valleys"]


@contextlib.contextmanager
def open_tab(kind, log_dir, **options):
    with open_reader(kind, log_dir) as reader:
        yield Tab(reader.provider, **options)
