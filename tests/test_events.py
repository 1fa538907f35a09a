import contextlib
import gc
import io
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from PIL import Image
from readers import READERS, open_reader
from tensorboard.compat.proto import event_pb2
from tensorboard.compat.tensorflow_stub import errors, pywrap_tensorflow

from keras_valleys import events
from keras_valleys.events import EventWriter


@pytest.fixture(params=READERS)
def kind(request):
    return request.param


@pytest.fixture
def writer(tmp_path):
    with EventWriter(tmp_path / "logs" / "adam") as writer:
        yield writer


@contextlib.contextmanager
def read(kind, writer):
    """The reader of the folder that holds the writer's run, and the name of the run."""
    folder, run = os.path.split(writer.log_dir)
    with open_reader(kind, folder) as reader:
        yield reader, run


def written(path):
    """Every event of a file, through TensorBoard's pure Python reader, which checks all CRCs."""
    reader, found = pywrap_tensorflow.PyRecordReader_New(str(path)), []
    with reader.file_handle:
        while True:
            try:
                reader.GetNext()
            except errors.OutOfRangeError:
                return found
            found.append(event_pb2.Event.FromString(reader.record()))


def scalar_steps(path):
    return [event.step for event in written(path)[1:]]


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


# Folders


def test_the_folder_and_its_parents_are_created(tmp_path):
    with EventWriter(tmp_path / "a" / "b") as writer:
        assert writer.log_dir == str(tmp_path / "a" / "b")
        assert os.listdir(writer.log_dir) == [os.path.basename(writer.path)]


def test_an_occupied_folder_is_left_alone(tmp_path):
    log_dir = tmp_path / "adam"
    for name in ("adam", "adam-2", "adam-3"):
        with EventWriter(f"{log_dir}/") as writer:
            assert writer.log_dir == str(tmp_path / name)
            writer.scalar("loss", 0.5, 1)
    assert [len(written(*folder.iterdir())) for folder in tmp_path.iterdir()] == [2, 2, 2]


def test_a_foreign_file_occupies_a_folder(tmp_path):
    (tmp_path / "adam").mkdir()
    (tmp_path / "adam" / "notes.txt").write_text("mine")
    (tmp_path / "adam-2").write_text("mine too")
    (tmp_path / "adam-3").symlink_to(tmp_path / "nowhere")
    with EventWriter(tmp_path / "adam") as writer:
        assert writer.log_dir == str(tmp_path / "adam-4")
    assert [path.name for path in (tmp_path / "adam").iterdir()] == ["notes.txt"]
    assert (tmp_path / "adam-2").read_text() == "mine too"


def test_a_folder_of_folders_is_free(tmp_path):
    (tmp_path / "adam" / "train").mkdir(parents=True)
    (tmp_path / "adam" / "train" / "events.out.tfevents.1").write_text("keras")
    with EventWriter(tmp_path / "adam") as writer:
        assert writer.log_dir == str(tmp_path / "adam")


def test_relative_paths_survive_a_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with EventWriter(pathlib.Path("logs")) as writer:
        monkeypatch.chdir("/")
        writer.scalar("loss", 0.5, 1)
    assert writer.log_dir == str(tmp_path / "logs")
    assert scalar_steps(writer.path) == [1]


RACE = """
import sys
from keras_valleys.events import EventWriter
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    with EventWriter(f"{sys.argv[1]}/run{number}") as writer:
        writer.scalar("loss", 0.5, 0)
"""


def run_python(script, *arguments, **options):
    command = [sys.executable, "-W", "error:::keras_valleys", "-c", script, *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_processes_that_start_at_once_never_share_a_folder(tmp_path):
    for number in range(40):
        (tmp_path / f"run{number}" / "train").mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        racers = [stack.enter_context(run_python(RACE, tmp_path)) for _ in range(3)]
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            racer.stdin.write("\n")
            racer.stdin.flush()
        assert [racer.wait(timeout=120) for racer in racers] == [0, 0, 0]
    check_one_file_per_folder(tmp_path, 3 * 40)


def test_threads_that_start_at_once_never_share_a_folder(tmp_path):
    (tmp_path / "run" / "train").mkdir(parents=True)
    barrier = threading.Barrier(8)

    def race():
        barrier.wait()
        with EventWriter(tmp_path / "run") as writer:
            writer.scalar("loss", 0.5, 0)

    run_threads([race] * 8)
    check_one_file_per_folder(tmp_path, 8)


def check_one_file_per_folder(folder, number):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == number
    assert len({path.parent for path in files}) == number
    assert all(len(written(path)) == 2 for path in files)


def run_threads(targets):
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)


# Loss and damage


LOOP = """
import sys, itertools
from keras_valleys.events import EventWriter
writer = EventWriter(sys.argv[1])
for step in itertools.count():
    writer.scalar("loss", step / 2, step)
    print(step, flush=True)
"""


def test_a_killed_process_loses_nothing(tmp_path, kind):
    with run_python(LOOP, tmp_path / "adam") as process:
        for _ in range(500):
            line = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        last = [line, *process.stdout.readlines()][-1]
    with open_reader(kind, tmp_path) as reader:
        points = reader.scalars("adam", "loss")
    assert len(points) >= int(last) + 1 >= 500
    assert points == [(step, step / 2) for step in range(len(points))]


@contextlib.contextmanager
def small_disk(folder, *, options="size=64k"):
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("needs `mount`, to make a small disk")
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small disk: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: the python reader keeps its files open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)


def fill(disk):
    with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)


def test_a_full_disk_costs_one_warning_and_what_it_refused(tmp_path, kind):
    with small_disk(tmp_path / "disk") as disk, EventWriter(disk / "logs" / "adam") as writer:
        for step in range(10):
            writer.scalar("loss", step / 4, step)
        with read(kind, writer) as (live, run):
            fill(disk)
            with pytest.warns(RuntimeWarning, match="expects to write .*No space left") as caught:
                for step in range(10, 400):
                    writer.scalar("loss", step / 4, step)
                writer.text("refused", "whole")
            assert len(caught) == 1
            torn = os.path.getsize(writer.path)
            assert torn % 4096 == 0  # the last page is full, in the midst of a record
            live.reload()
            before = live.scalars(run, "loss")
            os.remove(disk / "filler")
            for step in range(400, 405):
                writer.scalar("loss", step / 4, step)
            writer.text("refused", "again")
            live.reload()
            after = live.scalars(run, "loss")
            assert live.texts(run, "refused") == [(0, "again")]
        # The torn record was completed: it is the one that came after what could be read before.
        assert len(before) > 10
        kept = list(range(len(before) + 1)) + list(range(400, 405))
        assert after == [(step, step / 4) for step in kept]
        with read(kind, writer) as (fresh, run):
            assert fresh.scalars(run, "loss") == after
            assert fresh.texts(run, "refused") == [(0, "again")]


def test_a_writer_closed_on_a_full_disk_leaves_whole_records(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        writer = EventWriter(disk / "adam")
        fill(disk)
        with pytest.warns(RuntimeWarning, match="No space left"):
            for step in range(200):
                writer.scalar("loss", 0.5, step)
        with pytest.raises(errors.DataLossError, match="truncated"):
            written(writer.path)
        writer.close()
        steps = scalar_steps(writer.path)
    assert steps == list(range(len(steps)))
    assert 20 < len(steps) < 200


def test_a_disk_that_is_full_from_the_beginning(tmp_path, kind):
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        with pytest.warns(RuntimeWarning, match="No space left") as caught:
            writer = EventWriter(disk / "logs" / "adam")
            writer.scalar("loss", 0.5, 1)
        assert len(caught) == 1
        os.remove(disk / "filler")
        writer.scalar("loss", 0.25, 2)
        writer.close()
        assert written(writer.path)[0].file_version == "brain.Event:2"
        with read(kind, writer) as (reader, run):
            assert reader.scalars(run, "loss") == [(2, 0.25)]


class Trickle:
    """A file that takes at most 7 bytes at once, and breaks down after `limit` bytes."""

    def __init__(self, file, limit=10**9):
        self._file, self.limit = file, limit

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data):
        if self.limit <= 0:
            raise OSError(5, "Input/output error")
        count = self._file.write(data[: min(7, self.limit)])
        self.limit -= count
        return count


def test_short_writes_are_continued(writer, monkeypatch):
    monkeypatch.setattr(writer, "_file", Trickle(writer._file))
    for step in range(20):
        writer.scalar("loss", 0.5, step)
    assert scalar_steps(writer.path) == list(range(20))


@pytest.mark.parametrize("limit", range(0, 120, 11))
def test_a_record_torn_anywhere_is_completed(writer, monkeypatch, limit):
    file = Trickle(writer._file, limit)
    monkeypatch.setattr(writer, "_file", file)
    with pytest.warns(RuntimeWarning, match="Input/output error") as caught:
        for step in range(6):
            writer.scalar("loss", 0.5, step)
    file.limit = 10**9
    for step in range(6, 9):
        writer.scalar("loss", 0.5, step)
    assert len(caught) == 1
    steps = scalar_steps(writer.path)
    assert steps == [*range(len(steps) - 3), 6, 7, 8]
    assert written(writer.path)[1].summary.value[0].HasField("metadata")


def check_that_nothing_is_written_and_one_warning_given(log_dir):
    with pytest.warns(RuntimeWarning, match="expects to create .*miss events") as caught:
        writer = EventWriter(log_dir)
        with writer:
            writer.scalar("loss", 0.5, 1)
            writer.hparams({"rate": 0.5})
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert (writer.log_dir, writer.path) == (str(log_dir), None)
    writer.close()


def test_a_read_only_disk_costs_one_warning(tmp_path):
    with small_disk(tmp_path / "disk", options="ro") as disk:
        check_that_nothing_is_written_and_one_warning_given(disk)
        check_that_nothing_is_written_and_one_warning_given(disk / "adam")


def test_a_path_below_a_file_costs_one_warning(tmp_path):
    (tmp_path / "file").write_text("mine")
    check_that_nothing_is_written_and_one_warning_given(tmp_path / "file" / "adam")
    check_that_nothing_is_written_and_one_warning_given(tmp_path / "file" / "logs" / "adam")
    check_that_nothing_is_written_and_one_warning_given(tmp_path / ("long" * 100))


def test_a_deleted_file_costs_one_warning(writer):
    writer.scalar("loss", 0.5, 1)
    shutil.rmtree(writer.log_dir)
    with pytest.warns(RuntimeWarning, match="the file was deleted") as caught:
        for step in range(2, 5):
            writer.scalar("loss", 0.5, step)
            time.sleep(0.11)
    assert len(caught) == 1


def test_a_file_deleted_at_the_end_is_missed_when_closing(writer):
    writer.scalar("loss", 0.5, 1)
    shutil.rmtree(writer.log_dir)
    with pytest.warns(RuntimeWarning, match="the file was deleted") as caught:
        writer.scalar("loss", 0.5, 2)
        writer.close()
    assert len(caught) == 1


def test_a_file_replaced_by_another_costs_one_warning(writer):
    writer.scalar("loss", 0.5, 1)
    os.rename(shutil.copy(writer.path, writer.path + ".copy"), writer.path)
    with pytest.warns(RuntimeWarning, match="the file was deleted"):
        writer.close()


def test_a_moved_folder_is_written_on(writer, tmp_path):
    writer.scalar("loss", 0.5, 1)
    os.rename(writer.log_dir, tmp_path / "kept")
    writer.scalar("loss", 0.5, 2)
    assert scalar_steps(tmp_path / "kept" / os.path.basename(writer.path)) == [1, 2]


def test_a_forgotten_writer_closes_its_file(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writer = EventWriter(tmp_path / "adam")
        writer.scalar("loss", 0.5, 1)
        file, path = writer._file, writer.path
        del writer
        gc.collect()
    assert file.closed
    assert scalar_steps(path) == [1]


def test_threads_share_a_writer(writer):
    def write(number):
        for step in range(200):
            writer.scalar(f"loss/{number}", step, step)

    run_threads([lambda number=number: write(number) for number in range(6)])
    found = {f"loss/{number}": [] for number in range(6)}
    for event in written(writer.path)[1:]:
        (value,) = event.summary.value
        found[value.tag].append((event.step, *value.tensor.float_val))
    assert all(points == [(step, step) for step in range(200)] for points in found.values())


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
    with run_python(ALONE, tmp_path / "adam") as process:
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
