"""The names under which a run keeps its surface and its path in an event file.

A run holds, as tensors of the plugin `PLUGIN_NAME`:

- `SURFACE_TAG`: the losses of the surface, float32 of shape `(n_1,)` or `(n_1, n_2)`; its plugin
  content is a digest, equal for runs on the same surface.
- `SURFACE_INFO_TAG`: what else is known of the surface, JSON as uint8 (see `payload`).
- `path_tag(k)`: chunk k of the path, float64 of shape `(rows, 9 + K)`, its columns `COLUMNS`
  and the K coordinates; its plugin content is JSON with the names of the columns, names and units
  of the coordinates, and the run's label. A chunk is written anew, with more rows, until it is
  full: readers keep the last version of each tag, so that no sampling loses a row.
- `SHOWN_TAG`: the lowest and the highest loss to show of the surface with the path so far, float64
  of shape `(2,)`; written anew where the path needs more. A run without a surface has none.

A run on the planes of its own path holds them once for each moment at which the plane was new, as
`moment_tag(k, tag)` for each of these tags; its surface is written with the step of the moment. The
path there is that of all steps before the next moment, in the coordinates of this moment's plane.
What such a run holds under the tags themselves is the path before its first moment.

The columns:

    step, loss           as recorded; NaN for a loss that is not known
    distance             from the surface; NaN where it is not known
    valley               index of the valley in whose basin the row is, -1 for none
    left, left_at        where the row is in another valley than the last one before it that is in
                         any, and so the path was derailed: index of that valley, and the step of
                         that row, its last one in there; else -1
    stride               of a path with too many rows each s-th is shown and, of each stretch of s
                         rows, the extremes, s a power of three: the largest s at which this row is
    event_stride         the same for the rows on both sides of a derailment, of a way that no step
                         led, or between which a value ceases to be finite or is again; 0 for other
                         rows
    no_step              1 where no step led to the row from the one before: its weights were
                         averaged, restored or set; else 0

Version 0.1 wrote no columns after `valley`, no names of columns and no `SHOWN_TAG`; `old_files`
works them out.
"""

PLUGIN_NAME = "keras_valleys"
TAB_NAME = "Valleys"

SURFACE_TAG = "valleys/surface"
SURFACE_INFO_TAG = "valleys/surface_info"
SHOWN_TAG = "valleys/shown"
PATH_PREFIX = "valleys/path/"
MOMENT_PREFIX = "valleys/moments/"

COLUMNS = (
    *("step", "loss", "distance", "valley", "left", "left_at", "stride", "event_stride"),
    "no_step",
)
CHUNK_ROWS = 729  # a power of three: then strides are those of the whole path


def path_tag(number: int) -> str:
    """The tag of a chunk; tags sort as their chunks."""
    return f"{PATH_PREFIX}{number:06d}"


def moment_tag(number: int, tag: str) -> str:
    """The tag of a moment in place of one of the run; tags sort as their moments.

    Example:

    >>> moment_tag(2, SURFACE_TAG)
    'valleys/moments/002/surface'
    """
    return f"{MOMENT_PREFIX}{number:03d}/{tag.removeprefix('valleys/')}"
