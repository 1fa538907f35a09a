"""What was just written, before TensorBoard looks for it again: paths are seen while they grow.

TensorBoard reads its log directory every five seconds, or as `--reload_interval` says, for all of
its dashboards. `LiveProvider` asks it as ever, and adds the last tensors of this plugin from the
event files that are being written: it reads only what is new in them, and only while somebody asks.
"""

import math
import os
import pathlib
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

from tensorboard.compat.proto import event_pb2
from tensorboard.data import provider
from tensorboard.util import tensor_util

from tensorboard_plugin_valleys.metadata import PLUGIN_NAME

RECENT = 60.0  # seconds since its last change for which a file counts as being written
PAUSE = 0.25  # seconds between two looks into files
LOOK = 1.0  # seconds between two looks for files
SHARE = 0.05  # of the time that may be spent looking for files in a large log directory
HEAD, FOOT = 12, 4  # bytes before and after a record: its length, and checksums
MARK = PLUGIN_NAME.encode()


def folders_of(flags: Any) -> dict[str, str]:
    """Log directories by the name that their runs begin with; none that is not on this disk."""
    if flags is None or (getattr(flags, "reload_interval", None) or 0) <= 0:
        return {}  # nobody wants it to look again
    if spec := getattr(flags, "logdir_spec", ""):
        pairs = [part.split(":", 1) for part in spec.split(",")]
        found = {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[0] and pair[1]}
    else:
        found = {"": getattr(flags, "logdir", "") or ""}
    paths = {name: os.path.expanduser(path) for name, path in found.items()}
    return {name: path for name, path in paths.items() if path and os.path.isdir(path)}


class EventFile:
    """The last tensors of this plugin in a file that grows.

    Attributes:
        series: From each tag to `(step, wall time, tensor, plugin content)`.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path, self.series = path, {}  # type: ignore[var-annotated]
        self._place = 0

    def read(self) -> None:
        """Take what is new; of a record that is not whole yet, nothing."""
        with open(self.path, "rb") as file:
            file.seek(self._place)
            while True:
                head = file.read(HEAD)
                if len(head) < HEAD:
                    return
                (length,) = struct.unpack_from("<Q", head)
                if length > os.fstat(file.fileno()).st_size - file.tell() - FOOT:
                    return
                self._take(file.read(length))
                file.seek(FOOT, os.SEEK_CUR)
                self._place = file.tell()

    def _take(self, record):
        known = MARK in record or any(tag.encode() in record for tag in self.series)
        if not known:
            return
        event = event_pb2.Event.FromString(record)
        for value in event.summary.value:
            plugin = value.metadata.plugin_data
            if not value.HasField("tensor") or not (
                plugin.plugin_name == PLUGIN_NAME or value.tag in self.series
            ):
                continue
            content = self.series[value.tag][3] if value.tag in self.series else plugin.content
            self.series[value.tag] = event.step, event.wall_time, value.tensor, content


class LiveProvider:
    """TensorBoard's data provider, with what was just written.

    Args:
        base: TensorBoard's data provider.
        folders: What `folders_of` returns.
    """

    def __init__(self, base: provider.DataProvider, folders: dict[str, str]) -> None:
        self._base, self._folders = base, folders
        self._files: dict[pathlib.Path, tuple[str, EventFile]] = {}
        self._lock, self._due, self._look = threading.Lock(), 0.0, 0.0

    def list_runs(self, **where: Any) -> list[provider.Run]:
        found = list(self._base.list_runs(**where))
        known = {run.run_name for run in found}
        new = sorted(self._series().keys() - known)
        return found + [provider.Run(run_id=name, run_name=name, start_time=None) for name in new]

    def list_tensors(self, *, plugin_name: str, **where: Any) -> dict[str, Any]:
        listed = self._base.list_tensors(plugin_name=plugin_name, **where)
        found = {run: dict(tags) for run, tags in listed.items()}
        for run, series in self._series().items():
            tags = found.setdefault(run, {})
            for tag, (step, wall_time, _, content) in series.items():
                if tag not in tags or tags[tag].max_step < step:
                    tags[tag] = provider.TensorTimeSeries(
                        max_step=step,
                        max_wall_time=wall_time,
                        plugin_content=tags[tag].plugin_content if tag in tags else content,
                        description="",
                        display_name="",
                    )
        return found

    def read_tensors(self, *, run_tag_filter: provider.RunTagFilter, **where: Any) -> Any:
        found = self._base.read_tensors(run_tag_filter=run_tag_filter, **where)
        read = {run: dict(tags) for run, tags in found.items()}
        for run, series in self._series().items():
            if run_tag_filter.runs is not None and run not in run_tag_filter.runs:
                continue
            for tag, (step, wall_time, tensor, _) in series.items():
                if run_tag_filter.tags is not None and tag not in run_tag_filter.tags:
                    continue
                older = read.get(run, {}).get(tag) or []
                if not older or older[-1].step <= step:
                    array = tensor_util.make_ndarray(tensor)
                    datum = provider.TensorDatum(step=step, wall_time=wall_time, numpy=array)
                    read.setdefault(run, {})[tag] = [datum]
        return read

    def _series(self):
        """The last tensors of each run that is being written, by tag."""
        if not self._folders:
            return {}
        with self._lock:
            now = time.monotonic()
            if now >= self._look:
                self._find()
                spent = time.monotonic() - now
                self._look = now + max(LOOK, spent / SHARE)
            if now >= self._due:
                self._read()
                self._due = time.monotonic() + PAUSE
            found: dict = {}
            for run, file in self._files.values():
                if file.series:
                    found.setdefault(run, {}).update(file.series)
            return found

    def _find(self):
        """Files that changed lately; others are forgotten."""
        found = {}
        for run, path in self._recent():
            found[path] = self._files.get(path) or (run, EventFile(path))
        self._files = found

    def _recent(self) -> Iterator[tuple[str, pathlib.Path]]:
        since = time.time() - RECENT
        for prefix, folder in self._folders.items():
            for where, _, names in os.walk(folder, followlinks=True):
                for name in names:
                    path = pathlib.Path(where, name)
                    if "tfevents" in name and _changed(path) > since:
                        below = os.path.relpath(where, folder)
                        yield os.path.join(prefix, below) if prefix else below, path

    def _read(self):
        for path, (_, file) in list(self._files.items()):
            try:
                file.read()
            except FileNotFoundError:
                del self._files[path]
            except Exception:  # of what is no event file: TensorBoard itself says what it is
                file.series.clear()


def _changed(path):
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf
