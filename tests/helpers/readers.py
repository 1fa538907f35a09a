"""Read a log directory as TensorBoard does, through either of its two readers.

`open_reader("python" | "rust", log_dir)` gives a `Reader`. The sampling is that of a plain
`tensorboard --logdir`, which keeps 10 images of a tag, but for scalars, of which all are kept.
"""

import contextlib
import pathlib
import subprocess
import tempfile
import threading

from tensorboard import context
from tensorboard.backend.event_processing import (
    data_ingester,
    data_provider,
    plugin_event_multiplexer,
)
from tensorboard.data import provider, server_ingester
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.util import grpc_util

READERS = ("python", "rust")


class Reader:
    """What TensorBoard's plugins see of a log directory.

    `reload()` reads what was written since; runs are named by their path below the log directory.
    """

    def __init__(self, provider, reload):
        self.provider = provider
        self.reload = reload

    def runs(self):
        return sorted(run.run_name for run in self._ask("list_runs"))

    def tags(self, run, plugin):
        """All tags of a plugin, sorted, whatever their data class."""
        kinds = ("list_scalars", "list_tensors", "list_blob_sequences")
        found = [self._ask(kind, plugin_name=plugin).get(run, ()) for kind in kinds]
        return sorted(tag for tags in found for tag in tags)

    def scalars(self, run, tag):
        """[(step, value), ...], all of them."""
        points = self._series("read_scalars", run, tag, "scalars", downsample=10**9)
        return [(point.step, point.value) for point in points]

    def images(self, run, tag):
        """[(step, encoded bytes), ...], as many as TensorBoard shows."""
        data = self._series("read_blob_sequences", run, tag, "images", downsample=10)
        return [
            (datum.step, self._ask("read_blob", experiment=None, blob_key=reference.blob_key))
            for datum in data
            for reference in datum.values[2:]  # before them, width and height
        ]

    def image_size(self, run, tag):
        """(width, height) of the first image, as written."""
        first = self._series("read_blob_sequences", run, tag, "images", downsample=10)[0]
        keys = [reference.blob_key for reference in first.values[:2]]
        return tuple(int(self._ask("read_blob", experiment=None, blob_key=key)) for key in keys)

    def tensors(self, run, tag, plugin):
        """[(step, numpy array), ...]; the texts of plugin "text" are byte strings in it."""
        data = self._series("read_tensors", run, tag, plugin, downsample=10**9)
        return [(datum.step, datum.numpy) for datum in data]

    def texts(self, run, tag):
        """[(step, str), ...]."""
        return [(step, text.item().decode()) for step, text in self.tensors(run, tag, "text")]

    def metadata(self, run, tag, plugin, kind="tensors"):
        """TensorBoard's time series, with `plugin_content`, `description` and `max_step`."""
        return self._series(f"list_{kind}", run, tag, plugin)

    def hparams(self, run):
        """{name: value}."""
        series = self.metadata(run, hparams_metadata.SESSION_START_INFO_TAG, "hparams")
        start = hparams_metadata.parse_session_start_info_plugin_data(series.plugin_content)
        return {
            name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
        }

    def _series(self, method, run, tag, plugin, **arguments):
        only = provider.RunTagFilter(runs=[run], tags=[tag])
        found = self._ask(method, plugin_name=plugin, run_tag_filter=only, **arguments)
        return found[run][tag]

    def _ask(self, method, experiment="", **arguments):
        if experiment is not None:
            arguments["experiment_id"] = experiment
        return getattr(self.provider, method)(context.RequestContext(), **arguments)


@contextlib.contextmanager
def open_reader(kind, log_dir):
    """The reader "python" or "rust" of `log_dir`, with everything read that is there now."""
    with {"python": _python_provider, "rust": _rust_provider}[kind](str(log_dir)) as opened:
        yield Reader(*opened)


@contextlib.contextmanager
def _python_provider(log_dir):
    sizes = {**data_ingester.DEFAULT_TENSOR_SIZE_GUIDANCE, "scalars": 0}
    multiplexer = plugin_event_multiplexer.EventMultiplexer(
        size_guidance=data_ingester.DEFAULT_SIZE_GUIDANCE, tensor_size_guidance=sizes
    )

    def reload():
        multiplexer.AddRunsFromDirectory(log_dir)
        multiplexer.Reload()

    reload()
    yield data_provider.MultiplexerDataProvider(multiplexer, log_dir), reload


@contextlib.contextmanager
def _rust_provider(log_dir):
    # What SubprocessServerDataIngester does, which has no way to end its server, and none to tell
    # when the server has read the files: its log does.
    with tempfile.TemporaryDirectory() as folder:
        port_file = pathlib.Path(folder, "port")
        command = [
            server_ingester.get_server_binary().path,
            f"--logdir={log_dir}",
            "--reload=1",
            "--samples-per-plugin=scalars=all",
            "--port=0",
            f"--port-file={port_file}",
            "--die-after-stdin",
            "--verbose",
        ]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stderr=pipe, text=True) as server:
            cycles = _LoadCycles(server.stderr)
            try:
                cycles.wait_for_next()
                ingester = server_ingester.ExistingServerDataIngester(
                    f"localhost:{port_file.read_text().strip()}",
                    channel_creds_type=grpc_util.ChannelCredsType.LOCAL,
                )
                yield ingester.data_provider, cycles.wait_for_whole
            finally:
                server.stdin.close()
                server.wait(timeout=30)
                cycles.join()


class _LoadCycles(threading.Thread):
    """Counts the load cycles that the log of the data server reports."""

    def __init__(self, log):
        super().__init__(daemon=True)
        self._log, self._count, self._changed = log, 0, threading.Condition()
        self.start()

    def run(self):
        for line in self._log:
            if "Finished load cycle" in line:
                with self._changed:
                    self._count += 1
                    self._changed.notify_all()

    def wait_for_next(self, number=1):
        with self._changed:
            goal = self._count + number
            if not self._changed.wait_for(lambda: self._count >= goal, timeout=60):
                raise TimeoutError("TensorBoard's data server did not read the log directory.")

    def wait_for_whole(self):
        """Wait for a cycle that begins after now: the next one may be under way."""
        self.wait_for_next(2)
