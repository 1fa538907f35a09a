"""Full disks, killed processes, deleted files: what was written stays, and one warning tells."""

import gc
import os
import shutil
import signal
import time
import warnings

import pytest
from tensorboard.compat.tensorflow_stub import errors

from helpers.disks import fill, small_disk
from helpers.processes import STRICT, run_threads, start_python
from helpers.readers import open_reader
from helpers.records import read, scalar_steps, written
from keras_valleys.events import EventWriter

LOOP = """
import sys, itertools
from keras_valleys.events import EventWriter
writer = EventWriter(sys.argv[1])
for step in itertools.count():
    writer.scalar("loss", step / 2, step)
    print(step, flush=True)
"""


def test_a_killed_process_loses_nothing(tmp_path, kind):
    with start_python(LOOP, tmp_path / "adam", flags=STRICT) as process:
        for _ in range(500):
            line = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        last = [line, *process.stdout.readlines()][-1]
    with open_reader(kind, tmp_path) as reader:
        points = reader.scalars("adam", "loss")
    assert len(points) >= int(last) + 1 >= 500
    assert points == [(step, step / 2) for step in range(len(points))]


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
