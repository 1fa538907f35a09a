"""Scalars, images, texts, hyperparameters and tensors, as TensorBoard reads them."""

import io
import os
import re
import struct

import numpy as np
import pytest
from PIL import Image
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

from helpers.processes import STRICT, start_python
from helpers.readers import open_reader
from helpers.records import read, scalar_steps, written
from keras_valleys import events
from keras_valleys.events import EventWriter


def encode(format, size=(7, 5), frames=1):
    images = [Image.new("RGB", size, (40 * number, 9, 200)) for number in range(frames)]
    file = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    images[0].save(file, format=format, **more)
    return file.getvalue()


# What TensorBoard reads


@pytest.mark.parametrize(
    "value", [0.75, -3, np.float64(1.5), np.float16(2.0), np.array(0.25), True]
)
def test_scalars_are_read_back(writer, kind, value):
    for step in (2, 3, np.int64(7), 2**40):
        writer.scalar("valley/phi", value, step)
    with read(kind, writer) as (reader, run):
        assert reader.runs() == [run]
        expected = [(2, value), (3, value), (7, value), (2**40, value)]
        assert reader.scalars(run, "valley/phi") == expected


def test_all_of_many_scalars_are_read_back(writer, kind):
    values = np.linspace(-1, 3, 2345, dtype="float32")
    for step, value in enumerate(values, 5):
        writer.scalar("loss", value, step)
    with read(kind, writer) as (reader, run):
        assert reader.scalars(run, "loss") == list(enumerate(values.tolist(), 5))


def test_nonfinite_scalars_stay_what_they_are(writer, kind):
    values = [np.nan, np.inf, -np.inf, 1e300, 0.5]
    for step, value in enumerate(values):
        writer.scalar("loss", value, step)
    with read(kind, writer) as (reader, run):
        found = [value for _, value in reader.scalars(run, "loss")]
    np.testing.assert_array_equal(found, [np.nan, np.inf, -np.inf, np.inf, 0.5])


def test_scalars_of_a_step_are_one_event(writer, kind):
    writer.scalar("phi", -1, 1)
    for step in (2, 2**40):
        writer.scalars({"phi": step / 4, "loss": np.nan, "valley": 1e300}, step)
    writer.scalars({"valley": -1e300, "other": True}, 2**40 + 1)
    writer.scalar("phi", 0.5, 2**41)
    assert scalar_steps(writer.path) == [1, 2, 2**40, 2**40 + 1, 2**41]
    with read(kind, writer) as (reader, run):
        assert reader.scalars(run, "phi") == [(1, -1), (2, 0.5), (2**40, 2**38), (2**41, 0.5)]
        assert np.isnan([value for _, value in reader.scalars(run, "loss")]).tolist() == [True] * 2
        valley = reader.scalars(run, "valley")
        assert valley == [(2, np.inf), (2**40, np.inf), (2**40 + 1, -np.inf)]
        assert reader.scalars(run, "other") == [(2**40 + 1, 1)]


def test_backend_tensors_are_scalars(writer, kind):
    from keras import ops

    writer.scalar("loss", ops.convert_to_tensor(0.625), 1)
    with read(kind, writer) as (reader, run):
        assert reader.scalars(run, "loss") == [(1, 0.625)]


@pytest.mark.parametrize(("format", "frames"), [("PNG", 1), ("JPEG", 1), ("GIF", 3), ("PNG", 3)])
def test_encoded_images_are_read_back(writer, kind, format, frames):
    encoded = encode(format, frames=frames)
    writer.image("path", encoded, 3, description="the *way*")
    writer.image("path", bytearray(encoded), 4)
    with read(kind, writer) as (reader, run):
        assert reader.images(run, "path") == [(3, encoded), (4, encoded)]
        assert reader.image_size(run, "path") == (7, 5)
        assert reader.metadata(run, "path", "images", "blob_sequences").description == "the *way*"


@pytest.mark.parametrize("channels", [3, 4])
def test_array_images_are_read_back(writer, kind, channels):
    array = np.arange(5 * 7 * channels, dtype="uint8").reshape(5, 7, channels)
    writer.image("path", array[::-1], 0)
    with read(kind, writer) as (reader, run):
        assert reader.image_size(run, "path") == (7, 5)
        ((_, encoded),) = reader.images(run, "path")
    np.testing.assert_array_equal(Image.open(io.BytesIO(encoded)), array[::-1])


def test_ten_images_of_a_tag_are_all_shown(writer, kind):
    images = [encode("PNG", (9, 4 + step)) for step in range(10)]
    for step, image in enumerate(images):
        writer.image("path", image, 50 * step)
    with read(kind, writer) as (reader, run):
        assert reader.images(run, "path") == [
            (50 * step, image) for step, image in enumerate(images)
        ]


def test_texts_are_read_back(writer, kind):
    writer.text("summary", "# Tal\n**tiefer** ↓")
    writer.text("summary", "after", step=4)
    with read(kind, writer) as (reader, run):
        assert reader.texts(run, "summary") == [(0, "# Tal\n**tiefer** ↓"), (4, "after")]


def test_hparams_are_read_back(writer, kind):
    values = {"optimizer": "adam", "rate": np.float32(0.5), "epochs": 3, "nesterov": False}
    writer.hparams(values)
    with read(kind, writer) as (reader, run):
        found = reader.hparams(run)
    assert found == values
    assert found["nesterov"] is False


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (0, 4)])
def test_tensors_are_read_back(writer, kind, dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape[::-1]).T.astype(dtype)
    writer.tensor("surface", array, 6, "valleys", content=b'{"version": 1}')
    writer.tensor("surface", array, 8, "valleys")
    with read(kind, writer) as (reader, run):
        (first, second) = reader.tensors(run, "surface", "valleys")
        content = reader.metadata(run, "surface", "valleys").plugin_content
    assert (first[0], second[0], content) == (6, 8, b'{"version": 1}')
    assert first[1].dtype == array.dtype
    np.testing.assert_array_equal(first[1], array)


def test_only_the_first_event_of_a_tag_has_metadata(writer):
    for step in range(3):
        writer.scalar("loss", 0.5, step)
        writer.text("note", "word", step)
    version, *rest = written(writer.path)
    assert version.file_version == "brain.Event:2"
    assert [event.summary.value[0].HasField("metadata") for event in rest] == [True] * 2 + [
        False
    ] * 4


# The format, and what it costs


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 255, 4096, 70001])
def test_the_checksum_is_tensorboards(length):
    data = np.random.default_rng(length).bytes(length)
    assert events._masked_crc(data) == struct.pack("<I", pywrap_tensorflow.masked_crc32c(data))


ALONE = """
import sys
import keras_valleys
before = set(sys.modules)
from keras_valleys.events import EventWriter
slow = "tensorflow", "matplotlib", "tensorboard.plugins", "tensorboard.util", "tensorboard.backend"
assert not [name for name in set(sys.modules) - before if name.startswith(slow)]
import numpy as np
with EventWriter(sys.argv[1]) as writer:
    writer.scalar("a", 0.5, 1)
    writer.image("b", np.zeros((3, 4, 3), "uint8"), 1)
    writer.text("c", "word")
    writer.hparams({"rate": 0.5})
    writer.tensor("d", np.zeros((2, 3)), 1, "valleys")
assert "tensorflow" in before or "tensorflow" not in sys.modules  # the backend in use
assert not [name for name in set(sys.modules) - before if name.startswith("matplotlib")]
"""


def test_neither_tensorflow_nor_matplotlib_is_imported(tmp_path):
    with start_python(ALONE, tmp_path / "adam", flags=STRICT) as process:
        assert process.wait(timeout=120) == 0
    assert len(list((tmp_path / "adam").iterdir())) == 1


def test_many_sets_of_tags_are_written_and_not_all_kept(writer):
    rng, expected = np.random.default_rng(0), {}
    for step in range(1000):
        tags = rng.permutation(12)[:7]
        values = {f"curve/{tag}": float(np.float32(rng.normal())) for tag in tags}
        writer.scalars(values, step)
        for tag, value in values.items():
            expected.setdefault(tag, []).append((step, value))
    assert len(writer._curves) <= 100
    writer.close()
    with open_reader("rust", os.path.dirname(writer.log_dir)) as reader:
        (run,) = reader.runs()
        assert {tag: reader.scalars(run, tag) for tag in expected} == expected


# Wrong arguments


@pytest.mark.parametrize("log_dir", [None, 3, "", b"logs", "gs://bucket/logs"])
def test_a_log_dir_that_is_no_local_path_is_refused(log_dir):
    with pytest.raises(
        ValueError, match="`EventWriter` and `SurfaceBoard` expect a local path. Received: log_dir="
    ):
        EventWriter(log_dir)


PIXELS = np.zeros((4, 5, 3), "uint8")
WRONG = [
    (lambda w: w.scalar("a", "0.5", 1), "a number as `value`"),
    (lambda w: w.scalar("a", None, 1), "a number as `value`"),
    (lambda w: w.scalar("a", [0.5], 1), "a number as `value`"),
    (lambda w: w.scalar("a", np.ones((1,)), 1), "a number as `value`"),
    (lambda w: w.scalar("a", 1j, 1), "a number as `value`"),
    (lambda w: w.scalar("a", 10**400, 1), "a number as `value`"),
    (lambda w: w.scalar("a", 0.5, -1), "an integer >= 0 as `step`"),
    (lambda w: w.scalar("a", 0.5, 1.0), "an integer >= 0 as `step`"),
    (lambda w: w.scalar("a", 0.5, None), "an integer >= 0 as `step`"),
    (lambda w: w.scalar("a", 0.5, 2**63), "an integer >= 0 as `step`"),
    (lambda w: w.scalar("", 0.5, 1), "a string as `tag`"),
    (lambda w: w.scalar(b"a", 0.5, 1), "a string as `tag`"),
    (lambda w: w.scalar(["a"], 0.5, 1), "a string as `tag`"),
    (lambda w: w.scalars({"a": 0.5, "b": None}, 1), "a number as `value`"),
    (lambda w: w.scalars({"a": 0.5, "": 0.5}, 1), "a string as `tag`"),
    (lambda w: w.scalars({"a": 0.5}, -1), "an integer >= 0 as `step`"),
    (lambda w: w.scalars({}, 1), "a dictionary of tags to numbers"),
    (lambda w: w.scalars([("a", 0.5)], 1), "a dictionary of tags to numbers"),
    (lambda w: w.image("a", b"", 1), "a PNG, JPEG or GIF image"),
    (lambda w: w.image("a", b"no image at all", 1), "a PNG, JPEG or GIF image"),
    (lambda w: w.image("a", encode("PNG")[:20], 1), "a PNG, JPEG or GIF image"),
    (lambda w: w.image("a", encode("BMP"), 1), "a PNG, JPEG or GIF image"),
    (lambda w: w.image("a", PIXELS.astype("float32"), 1), "a uint8 image .*dtype float32"),
    (lambda w: w.image("a", PIXELS[:, :, :1], 1), r"a uint8 image .*shape \(4, 5, 1\)"),
    (lambda w: w.image("a", PIXELS[0], 1), r"a uint8 image .*shape \(5, 3\)"),
    (lambda w: w.image("a", PIXELS[:0], 1), r"a uint8 image .*shape \(0, 5, 3\)"),
    (lambda w: w.image("a", "path.png", 1), "a uint8 image"),
    (lambda w: w.text("a", b"word"), "a string as `markdown`"),
    (lambda w: w.text("a", 3), "a string as `markdown`"),
    (lambda w: w.hparams([("rate", 0.5)]), "a dictionary of names"),
    (lambda w: w.hparams({"rate": None}), "a dictionary of names"),
    (lambda w: w.hparams({"shape": (2, 3)}), "a dictionary of names"),
    (lambda w: w.hparams({3: 0.5}), "a dictionary of names"),
    (lambda w: w.hparams({"rate": 10**400}), "a dictionary of names"),
    (lambda w: w.tensor("a", [object()], 1, "valleys"), "an array of numbers"),
    (lambda w: w.tensor("a", [[1], [1, 2]], 1, "valleys"), "an array of numbers"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_wrong_arguments_are_refused_and_nothing_is_written(writer, call, message):
    with pytest.raises(ValueError, match=f"`EventWriter` expects {message}") as caught:
        call(writer)
    assert re.fullmatch(r"(?s).* expects .+\. Received: .+\. [A-Z].+\.", str(caught.value))
    assert len(written(writer.path)) == 1


def test_a_falling_step_is_refused(writer, kind):
    for step in (3, 3, 5):
        writer.scalar("loss", step / 4, step)
    with pytest.raises(ValueError, match="steps that do not fall. Received: step=4 after step=5"):
        writer.scalar("loss", 0.5, 4)
    writer.scalar("phi", 0.5, 4)
    with read(kind, writer) as (reader, run):
        assert reader.scalars(run, "loss")[-2:] == [(3, 0.75), (5, 1.25)]


def test_one_tag_holds_one_kind_of_data(writer):
    writer.scalar("loss", 0.5, 1)
    with pytest.raises(ValueError, match="one kind of data per tag. Received: text after scalars"):
        writer.text("loss", "word", 2)


def test_hparams_are_written_once(writer):
    writer.hparams({"rate": 0.5})
    with pytest.raises(ValueError, match=r"one call of `hparams`. Received: another, {'rate': 1}"):
        writer.hparams({"rate": 1})


def test_a_closed_writer_refuses_events(writer):
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="to be open. Received: tag='loss' after `close`"):
        writer.scalar("loss", 0.5, 1)
