"""The names under which a run keeps its surface and its path in an event file.

A run holds, as tensors of the plugin `PLUGIN_NAME`:

- `SURFACE_TAG`: the losses of the surface, float32 of shape `(n_1,)` or `(n_1, n_2)`; its plugin
  content is a digest, equal for runs on the same surface.
- `SURFACE_INFO_TAG`: what else is known of the surface, JSON as uint8 (see `payload`).
- `path_tag(k)`: chunk k of the path, float64 of shape `(rows, 4 + K)`, its columns `COLUMNS` and
  the K coordinates; its plugin content is JSON with the names and units of the coordinates and the
  run's label. A chunk is written anew, with more rows, until it is full: readers keep the last
  version of each tag, so that no sampling loses a row.
"""

PLUGIN_NAME = "keras_valleys"
TAB_NAME = "Valleys"
FORMAT = 1

SURFACE_TAG = "valleys/surface"
SURFACE_INFO_TAG = "valleys/surface_info"
PATH_PREFIX = "valleys/path/"

COLUMNS = ("step", "loss", "distance", "valley")
CHUNK_ROWS = 512


def path_tag(number):
    """The tag of a chunk; tags sort as their chunks."""
    return f"{PATH_PREFIX}{number:06d}"
