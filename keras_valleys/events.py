"""TensorBoard event files, written without TensorFlow."""

import contextlib
import functools
import io
import os
import socket
import struct
import threading
import time
import warnings
import weakref
from collections.abc import Mapping
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import ArrayLike
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2

from keras_valleys._checks import is_kind, refusal, shortened
from keras_valleys._files import drawn, local_path

__all__ = ["EventWriter", "hparams_value"]


def __dir__():
    return __all__


MOST_CURVES = 100  # combinations of tags whose event is kept
HParam = bool | float | str  # what TensorBoard lists; an integer is a float to type checkers
SECONDS = 0.1  # between two looks at the file, each of which takes as long as writing an event


class EventWriter:
    """Writes the scalars, images, texts and hyperparameters of one run for TensorBoard.

    One writer is one new folder with one event file: one run. An occupied `log_dir`, which is a
    file or directly contains one, is left alone, and `log_dir-2`, `log_dir-3`, ... taken; one that
    holds only folders is free, so that `keras.callbacks.TensorBoard(log_dir)` may share it.

    Each event is with the operating system when its method returns: a killed process loses none.
    What a failing disk refuses is lost with one warning per writer, never an error; the rest stays
    readable, and writing resumes with the disk. Wrong arguments are errors, as is a step that falls
    within a tag, for which TensorBoard would erase the later points; of equal steps it shows the
    last. Threads may share a writer.

    Args:
        log_dir: Path of the local folder to create, with its parents.

    Attributes:
        log_dir: Absolute path of the folder in use, or the one asked for if none could be made.
        path: Absolute path of the event file, or `None` if none could be made.

    Raises:
        ValueError: `log_dir` is not a local path; in the methods, wrong arguments.

    Example:

    >>> import os, tempfile
    >>> with keras_valleys.events.EventWriter(tempfile.mkdtemp()) as writer:
    ...     writer.scalar("valley/loss", 0.25, step=1)
    >>> len(os.listdir(writer.log_dir))
    1

    Source: TensorFlow, "TFRecords format details", and `tensorboard.compat.proto.event_pb2`.
    """

    def __init__(self, log_dir: str | os.PathLike) -> None:
        self.log_dir = absolute_path(log_dir)
        self.path: str | None = None
        self._file: Any = None  # none where it could not be made
        self._lock, self._warned = threading.RLock(), False
        self._tags: dict = {}  # tag: (plugin, last step)
        self._curves: dict = {}  # tags: an event with a point of each, and where their numbers go
        self._record, self._sent = b"", 0  # the last record, and how much of it is in the file
        self._due = 0.0  # when to look whether the file is still there
        try:
            self.log_dir, self._file = claim(self.log_dir)
        except OSError as error:
            self._warn("create", self.log_dir, error)
        else:
            self.path = self._file.name
            weakref.finalize(self, self._file.close)
            first = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
            self._append(first.SerializeToString())

    def scalar(self, tag: str, value: ArrayLike, step: int) -> None:
        """Write a point of a curve.

        Args:
            tag: Name of the curve; what stands before its first "/" groups curves.
            value: Number or rank-0 tensor; stored as float32, NaN and infinity too.
            step: Integer, not less than before.
        """
        check_tag(tag)  # also one that no dictionary takes
        self.scalars({tag: value}, step)

    def scalars(self, values: Mapping[str, ArrayLike], step: int) -> None:
        """Write a point of each of several curves, in one event.

        Args:
            values: Dictionary of tags to numbers, as for `scalar`.
            step: Integer, not less than before.
        """
        if not isinstance(values, dict) or not values:
            expected = "a dictionary of tags to numbers as `values`"
            raise unfit(
                expected, shortened(values), "Name each number, such as {'valley/loss': 0.5}."
            )
        numbers = [v if type(v) is float else as_number(v) for v in values.values()]
        check_step(step)
        with self._lock:
            event, places = self._event_of(tuple(values))
            for place, number in zip(places, numbers, strict=True):
                place[0] = number
            self._write(values, event, step, "scalars")

    def image(self, tag: str, image: Any, step: int, description: str = "") -> None:
        """Write an image. TensorBoard keeps 10 of a tag, at random if there are more.

        Args:
            tag: Name of the series of images.
            image: A matplotlib figure, such as those of `keras_valleys.plots`; an image of Pillow;
                an encoded PNG, APNG, JPEG or GIF; or a uint8 array `(height, width, 3 or 4)`.
            step: Integer, not less than before.
            description: Markdown shown above the images; the first of a tag counts.
        """
        tensor = _tensor(types_pb2.DT_STRING, 3, string_val=image_strings(image))
        kind = summary_pb2.DATA_CLASS_BLOB_SEQUENCE
        self._put(tag, tensor, step, _metadata("images", kind, summary_description=description))

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """Write a text.

        Args:
            tag: Name of the text.
            markdown: String, rendered as Markdown.
            step: Integer, not less than before.
        """
        if not isinstance(markdown, str):
            raise unfit("a string as `markdown`", shortened(markdown), "Pass str(markdown).")
        tensor = _tensor(types_pb2.DT_STRING, string_val=[markdown.encode(errors="replace")])
        self._put(tag, tensor, step, _metadata("text", summary_pb2.DATA_CLASS_TENSOR))

    def hparams(self, values: Mapping[str, HParam]) -> None:
        """Write the hyperparameters of the run, once: TensorBoard ignores what follows.

        Args:
            values: Dictionary of names to booleans, numbers or strings.
        """
        value = hparams_value(values, "/".join(self.log_dir.split(os.sep)[-2:]))
        with self._lock:
            if value.tag in self._tags:
                raise unfit(
                    "one call of `hparams`", f"another, {shortened(values)}", "Put all in one."
                )
            self._put(value.tag, value.tensor, 0, value.metadata)

    def tensor(
        self, tag: str, array: ArrayLike, step: int, plugin_name: str, content: bytes = b""
    ) -> None:
        """Write an array for a plugin of TensorBoard.

        Args:
            tag: Name of the series of arrays.
            array: Array of numbers, kept with its dtype.
            step: Integer, not less than before.
            plugin_name: Name of the plugin that reads it.
            content: Bytes for the plugin; the first of a tag count.
        """
        from tensorboard.util.tensor_util import make_tensor_proto  # takes 0.1 s

        try:
            tensor = make_tensor_proto(np.asarray(array))
        except (TypeError, ValueError) as error:
            raise unfit(
                "an array of numbers", shortened(array), "Convert it with astype."
            ) from error
        metadata = _metadata(plugin_name, summary_pb2.DATA_CLASS_TENSOR, content=content)
        self._put(tag, tensor, step, metadata)

    def close(self) -> None:
        """Close the event file. Closing again does nothing, writing is an error."""
        with self._lock:
            if self._file is None or self._file.closed:
                return
            try:
                self._send()
                self._look()
                self._file.close()
            except OSError as error:
                with contextlib.suppress(OSError, ValueError), self._file:
                    self._file.truncate(self._file.tell() - self._sent)
                self._warn("write", self.path, error)

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _put(self, tag, tensor, step, metadata):
        check_step(step)
        with self._lock:
            event = event_pb2.Event(summary={"value": [self._value(tag, tensor, metadata)]})
            self._write((tag,), event, step, metadata.plugin_data.plugin_name)

    def _value(self, tag, tensor, metadata):
        """What an event says of a tag; the first has the metadata."""
        check_tag(tag)
        first = None if tag in self._tags else metadata
        return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=first)

    def _event_of(self, tags):
        """An event with a point of each tag, kept for the next, and the places of the numbers."""
        if tags in self._curves:
            return self._curves[tags]
        tensor = _tensor(types_pb2.DT_FLOAT, float_val=[0])
        metadata = _metadata("scalars", summary_pb2.DATA_CLASS_SCALAR)
        values = [self._value(tag, tensor, metadata) for tag in tags]
        event = event_pb2.Event(summary={"value": values})
        curves = event, [value.tensor.float_val for value in event.summary.value]
        if self._tags.keys() >= set(tags):
            if len(self._curves) >= MOST_CURVES:
                self._curves.clear()
            self._curves[tags] = curves
        return curves

    def _write(self, tags, event, step, plugin):
        """Write an event with values of these tags."""
        if self._file is None:
            return
        self._check_order(tags, step, plugin)
        event.wall_time, event.step = time.time(), step
        if self._append(event.SerializeToString()):
            self._tags.update(dict.fromkeys(tags, (plugin, step)))

    def _check_order(self, tags, step, plugin):
        for tag in tags:
            first_plugin, last_step = self._tags.get(tag, (plugin, 0))
            if self._file.closed:
                raise unfit("to be open", f"tag={tag!r} after `close`", "Make a new writer.")
            if plugin != first_plugin:
                received = f"{plugin} after {first_plugin}, tag={tag!r}"
                raise unfit("one kind of data per tag", received, "Use another tag.")
            if step < last_step:
                received = f"step={step} after step={last_step}, tag={tag!r}"
                raise unfit("steps that do not fall", received, "Count on, or use a new writer.")

    def _append(self, event):
        """Write a serialized event; tell whether it is in the file, or will be in a while."""
        record = frame(event)
        try:
            self._send()
            self._record, self._sent = record, 0
            self._send()
            if time.monotonic() >= self._due:
                self._look()
        except OSError as error:
            self._warn("write", self.path, error)
        return self._record is record

    def _look(self):
        """A deleted file takes every byte, and nobody will ever read it."""
        self._due = time.monotonic() + SECONDS
        found, path = os.fstat(self._file.fileno()), self._file.name
        # Some file systems count no links.
        if not found.st_nlink and not (
            os.path.exists(path) and os.path.samestat(os.stat(path), found)
        ):
            raise FileNotFoundError("the file was deleted")

    def _send(self):
        # A torn record is completed later, not cut off: a running TensorBoard has read its first
        # part, and would take what comes in its place for the second.
        while self._sent < len(self._record):
            self._sent += self._file.write(self._record[self._sent :])

    def _warn(self, verb, path, error):
        if not self._warned:
            self._warned = True
            lost = unfit(
                f"to {verb} {path!r}",
                str(error),
                "TensorBoard will miss events, and show those before; training goes on. Free space "
                "on the disk, or use a `log_dir` you may write to.",
            )
            warnings.warn(
                str(lost),
                RuntimeWarning,
                stacklevel=3,
            )


def hparams_value(values: Mapping[str, HParam], trial_id: str = "") -> summary_pb2.Summary.Value:
    """The hyperparameters of a run as the value of a summary, or a `ValueError`.

    Args:
        values: Dictionary of names to booleans, numbers or strings.
        trial_id: TensorBoard merges runs of equal hyperparameters and equal id into one row.

    Example:

    >>> keras_valleys.events.hparams_value({"learning_rate": 0.05}).tag
    '_hparams_/session_start_info'
    """
    from tensorboard.plugins.hparams import summary_v2  # takes 0.02 s, and 0.2 s at its first time

    try:
        (value,) = summary_v2.hparams_pb(values, trial_id=trial_id).value
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        expected = "a dictionary of names to booleans, numbers or strings"
        raise unfit(expected, shortened(values), "Use str for other values.") from error
    return value


def _tensor(dtype, *shape, **values):
    dims = [{"size": size} for size in shape]
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape={"dim": dims}, **values)


def _metadata(plugin_name, data_class, content=b"", **fields):
    plugin = {"plugin_name": plugin_name, "content": content}
    return summary_pb2.SummaryMetadata(data_class=data_class, plugin_data=plugin, **fields)


def unfit(expected, received, remedy):
    """The error that tells what was expected, what came, and what to do."""
    return refusal("EventWriter", expected, received, remedy)


def check_tag(tag):
    """Refuse a tag that TensorBoard cannot show."""
    if not isinstance(tag, str) or not tag:
        raise unfit("a string as `tag`", {"tag": tag}, "Name it, such as 'valley/loss'.")


def check_step(step):
    """Refuse a step that TensorBoard cannot show."""
    if not isinstance(step, int | np.integer) or not 0 <= step < 2**63:
        raise unfit("an integer >= 0 as `step`", {"step": step}, "Count steps from 0.")


def as_number(value):
    """A number, also one in a tensor of rank 0, as a float."""
    if isinstance(value, float | np.floating):  # the quick way of almost all
        return float(value)
    with contextlib.suppress(ArithmeticError, TypeError, ValueError):
        if np.ndim(value) == 0 and not isinstance(value, str | bytes):
            return float(value)
    raise unfit("a number as `value`", {"value": value}, "Pass float(value).")


def image_strings(image):
    """Width, height and encoded bytes of an image, as TensorBoard stores it."""
    from PIL import Image  # takes 0.05 s

    if isinstance(image, bytes | bytearray | memoryview):
        try:
            with Image.open(io.BytesIO(image), formats=("PNG", "JPEG", "GIF")) as opened:
                return *(b"%d" % size for size in opened.size), bytes(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise unfit("a PNG, JPEG or GIF image", f"{error}", "Encode it as PNG.") from error
    if _is_figure(image):
        return image_strings(drawn(image))
    if isinstance(image, Image.Image):
        clear = "A" in image.mode or "transparency" in image.info
        image = image.convert("RGBA" if clear else "RGB")
    array = np.asarray(image)
    height, width, channels = array.shape if array.ndim == 3 else (0, 0, 0)
    if array.dtype != np.uint8 or not height * width or channels not in (3, 4):
        raise unfit(
            "a uint8 image (height, width, 3 or 4), or a figure",
            f"dtype {array.dtype}, shape {array.shape}"
            if is_kind("array", image)
            else {"image": image},
            "Convert and reshape an array, give the `figure` that axes belong to, or the bytes of "
            "a PNG.",
        )
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return b"%d" % width, b"%d" % height, file.getvalue()


def _is_figure(image):
    """Whether it is a figure of matplotlib, which need not be installed here."""
    return hasattr(image, "savefig") and hasattr(image, "bbox_inches")


def absolute_path(log_dir):
    """The absolute path of a log directory."""
    owners = ("EventWriter", "SurfaceBoard")
    return os.path.abspath(local_path(owners, is_text=True, log_dir=log_dir))


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
    check_free(folder)
    # Of all who found the folder free, one at a time makes the claim, and looks again.
    mark = os.path.join(folder, ".event_writer")
    open(mark, "xb").close()
    try:
        check_free(folder, besides=mark)
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}"
        return open(os.path.join(folder, name), "xb", buffering=0)
    finally:
        os.remove(mark)


def check_free(folder, besides=None):
    """Raise a `FileExistsError` for a folder that directly contains a file."""
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
