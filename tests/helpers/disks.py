"""A disk that is small, and one that is full."""

import contextlib
import subprocess

import pytest


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
