"""Where a run is written: each writer has a folder of its own."""

import contextlib
import os
import pathlib
import threading

from helpers.processes import STRICT, run_threads, start_python
from helpers.records import scalar_steps, written
from keras_valleys.events import EventWriter


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


def test_processes_that_start_at_once_never_share_a_folder(tmp_path):
    for number in range(40):
        (tmp_path / f"run{number}" / "train").mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        racers = [stack.enter_context(start_python(RACE, tmp_path, flags=STRICT)) for _ in range(3)]
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
