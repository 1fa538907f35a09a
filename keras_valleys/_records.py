"""Event files: a folder of their own, and records in TensorFlow's TFRecord framing."""

import contextlib
import functools
import os
import socket
import struct
import time

import google_crc32c


def local_path(log_dir):
    """The absolute path of a log directory."""
    if not isinstance(log_dir, str | os.PathLike) or not str(log_dir) or "://" in str(log_dir):
        raise ValueError(
            "`EventWriter` and `SurfaceBoard` expect a local path. "
            f"Received: log_dir={log_dir!r}. Use a local folder, and copy it."
        )
    return os.path.abspath(log_dir)


def claim(log_dir):
    """Make the first free folder of log_dir, log_dir-2, ..., and an open event file in it."""
    folder, number = log_dir, 1
    while True:
        with contextlib.suppress(FileExistsError):
            return folder, _create_event_file(folder)
        number += 1
        folder = f"{log_dir}-{number}"


def _create_event_file(folder):
    os.makedirs(folder, exist_ok=True)
    _check_free(folder)
    # Of all who found the folder free, one at a time makes the claim, and looks again.
    mark = os.path.join(folder, ".event_writer")
    open(mark, "xb").close()
    try:
        _check_free(folder, besides=mark)
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}"
        return open(os.path.join(folder, name), "xb", buffering=0)
    finally:
        os.remove(mark)


def _check_free(folder, besides=None):
    with os.scandir(folder) as entries:
        if any(entry.path != besides and not entry.is_dir() for entry in entries):
            raise FileExistsError(folder)


def frame(data):
    """A record of an event file: length and bytes, each with its checksum."""
    return b"".join((_head(len(data)), data, _masked_crc(data)))


@functools.lru_cache(maxsize=64)  # the points of a curve are of few lengths
def _head(length):
    length = struct.pack("<Q", length)
    return length + _masked_crc(length)


def _masked_crc(data):
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
