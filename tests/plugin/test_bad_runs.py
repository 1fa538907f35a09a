"""Event files that nobody should have written: no answer is an error of the server, and one bad run
hides no other."""

import json
import logging

import numpy as np
import pytest
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2

import keras_valleys as kv
from helpers.fits import fit, some_data
from helpers.lines import rosette_model
from helpers.readers import READERS
from helpers.tab import open_tab
from keras_valleys.events import EventWriter, frame
from tensorboard_plugin_valleys import reading
from tensorboard_plugin_valleys.metadata import (
    COLUMNS,
    PLUGIN_NAME,
    SHOWN_TAG,
    SURFACE_INFO_TAG,
    SURFACE_TAG,
    path_tag,
)

CONTENT = {"columns": COLUMNS, "coordinates": ["phi"], "units": ["rad"], "label": "bad"}
WIDTH = len(COLUMNS) + 1
ROWS = np.column_stack([np.arange(5.0), *np.ones((WIDTH - 1, 5))])
INFO = {
    "labels": ["phi"],
    "loss_name": "loss",
    "coordinates": [[0.0, 1.0, 2.0]],
    "periods": [None],
    "units": [""],
    "num_weights": 1,
    "statistics": "",
    "valleys": [{"position": [1.0], "loss": 0.5, "depth": None, "width": 1.0}],
    "shown": [0.0, 1.0],
}
NESTED = b"[" * 100_000 + b"]" * 100_000


def with_column(name, *values):
    rows = ROWS.copy()
    rows[: len(values), COLUMNS.index(name)] = values
    return rows


def of_dtype(dtype, content=bytes(12), shape=(3,)):
    dims = [{"size": size} for size in shape]
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape={"dim": dims}, tensor_content=content)


# What a chunk of a path may be, and how many rows of it are shown.
CHUNKS = {
    "good": (ROWS, 5),
    "nan_steps": (with_column("step", np.nan, 1, np.inf, -np.inf), 2),
    "huge_steps": (with_column("step", 1e300, 2**60, -1e17), 2),
    "nan_valleys": (with_column("valley", np.nan, np.inf), 3),
    "nan_left": (with_column("left", np.nan, np.inf, 1e200), 2),
    "nan_left_at": (with_column("left_at", np.nan, np.inf, 1e200), 2),
    "nan_strides": (with_column("stride", np.nan, np.inf), 3),
    "nan_event_strides": (with_column("event_stride", np.nan, -np.inf), 3),
    "all_nan": (np.full((5, WIDTH), np.nan), 0),
    "nan_losses": (with_column("loss", np.nan, np.inf, -np.inf, 1e300), 5),
    "texts": (ROWS.astype(str).astype(bytes), 0),
    "booleans": (ROWS.astype(bool), 0),
    "complex": (ROWS.astype(complex), 0),
    "whole": (ROWS.astype("int64"), 5),
    "single": (ROWS.astype("float16"), 5),
    "narrow": (ROWS[:, :7], 0),
    "a_number": (np.float64(3.0), 0),
    "cube": (ROWS[None], 0),
    "empty": (ROWS[:0], 0),
    "unknown_dtype": (of_dtype(types_pb2.DT_RESOURCE), 0),
    "no_dtype": (of_dtype(types_pb2.DT_INVALID), 0),
    "variant": (of_dtype(types_pb2.DT_VARIANT), 0),
    "dtype_of_tomorrow": (of_dtype(777), 0),
    "too_short": (of_dtype(types_pb2.DT_DOUBLE, bytes(8), (5, WIDTH)), 0),
    "enormous": (of_dtype(types_pb2.DT_DOUBLE, bytes(8), (10**9, 10**9)), 0),
    "negative": (of_dtype(types_pb2.DT_DOUBLE, bytes(8), (-5, WIDTH)), 0),
}
CONTENTS = {
    "content_nothing": b"",
    "content_nested": NESTED,
    "content_torn": b'{"columns": [',
    "content_bytes": bytes(range(256)),
    "content_number": b"3",
    "content_huge_number": b'{"label": 1' + b"0" * 5000 + b"}",
    "content_names_nested": json.dumps({**CONTENT, "coordinates": [["phi"]]}).encode(),
    "content_names_text": json.dumps({**CONTENT, "coordinates": "p"}).encode(),
    "content_units_few": json.dumps({**CONTENT, "units": []}).encode(),
    "content_units_number": json.dumps({**CONTENT, "units": 3}).encode(),
    "content_columns_other": json.dumps({**CONTENT, "columns": ["a"]}).encode(),
    "content_columns_number": json.dumps({**CONTENT, "columns": 5}).encode(),
    "content_label_long": json.dumps({**CONTENT, "label": "x" * 10**6}).encode(),
    "content_label_nested": json.dumps({**CONTENT, "label": {"a": [1]}}).encode(),
    "content_surrogate": json.dumps({**CONTENT, "label": "\ud800"}).encode(),
}


def text(info):
    return np.frombuffer(info if isinstance(info, bytes) else json.dumps(info).encode(), "uint8")


LOSSES = np.array([1.0, 0.5, 2.0])
SURFACES = {
    "surface_nested": (LOSSES, text(NESTED)),
    "surface_torn": (LOSSES, text(b"{")),
    "surface_list": (LOSSES, text(b"[1]")),
    "surface_no_bytes": (LOSSES, np.array([1e9, -3.0])),
    "surface_texts": (np.array([b"a", b"b", b"c"]), text(INFO)),
    "surface_complex": (LOSSES + 1j, text(INFO)),
    "surface_cube": (LOSSES.reshape(3, 1, 1), text(INFO)),
    "surface_none": (LOSSES[:0], text({**INFO, "coordinates": [[]]})),
    "surface_unknown_dtype": (of_dtype(777), text(INFO)),
    "surface_other_size": (LOSSES[:2], text(INFO)),
    "surface_falls": (LOSSES, text({**INFO, "coordinates": [[0.0, 0.0, 2.0]]})),
    "surface_words": (LOSSES, text({**INFO, "coordinates": [["a", "b", "c"]]})),
    "surface_deep_axis": (LOSSES, text({**INFO, "coordinates": [[[0.0], [1.0], [2.0]]]})),
    "surface_nan_valley": (
        LOSSES,
        text({**INFO, "valleys": [{**INFO["valleys"][0], "loss": np.nan}]}),
    ),
    "surface_border": (
        LOSSES,
        text({**INFO, "valleys": [{**INFO["valleys"][0], "on_border": "yes"}]}),
    ),
    "surface_not_counted": (LOSSES, text({**INFO, "not_counted": 3})),
    "surface_no_position": (LOSSES, text({**INFO, "valleys": [{"loss": 0.5}]})),
    "surface_valleys_number": (LOSSES, text({**INFO, "valleys": 3})),
    "surface_shown_nan": (LOSSES, text({**INFO, "shown": [np.nan, 1.0]})),
    "surface_shown_text": (LOSSES, text({**INFO, "shown": "ab"})),
    "surface_period": (LOSSES, text({**INFO, "periods": [-1.0]})),
    "surface_units": (LOSSES, text({**INFO, "units": [3]})),
    "surface_label": (LOSSES, text({**INFO, "labels": [None]})),
    "surface_extra_nan": (LOSSES, text({**INFO, "extra": [np.nan]})),
    "surface_huge": (
        LOSSES,
        text(
            json.dumps({**INFO, "num_weights": 0})[:-1].encode() + b', "n": 1' + b"0" * 5000 + b"}"
        ),
    ),
} | {
    f"surface_without_{key}": (LOSSES, text({k: v for k, v in INFO.items() if k != key}))
    for key in ("labels", "loss_name", "coordinates", "periods", "num_weights", "valleys")
}
SHOWN = {
    "shown_nan": np.array([np.nan, 1.0]),
    "shown_text": np.array([b"a", b"b"]),
    "shown_long": np.arange(5.0),
    "shown_number": np.float64(1.0),
    "shown_unknown": of_dtype(777),
}


def write(log_dir, tensors):
    """A run of (tag, array or tensor, plugin content)."""
    with EventWriter(log_dir) as writer:
        for tag, array, content in tensors:
            if isinstance(array, tensor_pb2.TensorProto):
                plugin = {"plugin_name": PLUGIN_NAME, "content": content}
                kind = summary_pb2.DATA_CLASS_TENSOR
                metadata = summary_pb2.SummaryMetadata(data_class=kind, plugin_data=plugin)
                value = summary_pb2.Summary.Value(tag=tag, tensor=array, metadata=metadata)
                event = event_pb2.Event(summary={"value": [value]}, step=3, wall_time=1.0)
                writer._file.write(frame(event.SerializeToString()))
            else:
                writer.tensor(tag, array, 3, PLUGIN_NAME, content)


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    surface = kv.surfaces.evaluate(
        kv.objectives.Objective(rosette_model(), *some_data()), coordinates=np.linspace(-1, 1.2, 31)
    )
    fit(rosette_model(), kv.callbacks.SurfaceBoard(folder / "real", surface, images=0))
    content = json.dumps(CONTENT).encode()
    good = [(SURFACE_TAG, LOSSES, b"same"), (SURFACE_INFO_TAG, text(INFO), b"")]
    for name, (rows, _) in CHUNKS.items():
        # The chunk that follows is a good one.
        write(folder / name, [(path_tag(0), rows, content), (path_tag(1), ROWS + 10, content)])
    for name, bad in CONTENTS.items():
        write(folder / name, [(path_tag(0), ROWS, bad), (path_tag(1), ROWS + 10, content)])
    for name, (losses, info) in SURFACES.items():
        tensors = [(SURFACE_TAG, losses, name.encode()), (SURFACE_INFO_TAG, info, b"")]
        write(folder / name, [*tensors, (path_tag(0), ROWS, content)])
    for name, shown in SHOWN.items():
        write(folder / name, [*good, (path_tag(0), ROWS, content), (SHOWN_TAG, shown, b"")])
    write(folder / "digest", [(SURFACE_TAG, LOSSES, bytes(range(256))), *good[1:]])
    return folder


@pytest.mark.parametrize("kind", READERS)
def test_no_bad_run_hides_another(kind, log_dir, caplog):
    caplog.set_level(logging.ERROR)
    with open_tab(kind, log_dir) as tab:
        runs = tab.runs()
        bad = {*CHUNKS, *CONTENTS, *SURFACES, *SHOWN}
        # What TensorBoard itself drops is not there; what it lists is answered.
        assert {"real", "good"} <= set(runs) and len(bad - set(runs)) < 6
        for name in runs:
            answers = {}
            for route in ("surface", "path"):
                answers[route] = tab.client.get(
                    f"{tab.prefix}/data/plugin/keras_valleys/{route}?run={name}"
                )
                assert answers[route].status_code in (200, 404), (name, route)
            if answers["surface"].status_code == 200:
                json.loads(answers["surface"].data, parse_constant=pytest.fail)
            assert answers["path"].status_code == 200, name
            header, columns = tab.path(name)  # which reads it as the browser does
            assert all(np.isfinite(columns["step"])), name
            if name in CHUNKS and name in runs:
                assert header["num_rows"] == CHUNKS[name][1] + 5, name
            elif name in CONTENTS:
                assert header["num_rows"] == 10, name
            elif name in SURFACES:
                assert answers["surface"].status_code == 404 and header["num_rows"] == 5, name
            elif name in SHOWN:
                assert header["shown"] is None and header["num_rows"] == 5, name
        assert tab.surface("real")["labels"] == ["phi"]
        assert tab.path("real")[0]["num_rows"] == 11
    assert not caplog.records, [record.getMessage() for record in caplog.records]


def test_what_is_good_is_taken_as_it_is():
    losses, info = reading.surface(LOSSES, text(INFO))
    assert losses is LOSSES and info == INFO
    assert reading.shown(np.array([0.5, 1.0])).tolist() == [0.5, 1.0]
    np.testing.assert_array_equal(reading.table([ROWS, ROWS], COLUMNS, 1), [*ROWS, *ROWS])
    expected = (COLUMNS, ["phi"], ["rad"], "bad")
    assert reading.described(json.dumps(CONTENT).encode()) == expected
