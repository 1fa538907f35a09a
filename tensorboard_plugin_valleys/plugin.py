"""The server side of the tab: lists the runs, and serves surfaces, paths and the view itself."""

import json
import math
from collections.abc import Callable
from wsgiref.types import WSGIApplication

import numpy as np
from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.data import provider
from tensorboard.plugins import base_plugin
from tensorboard.util import tb_logging
from werkzeug import exceptions, wrappers

from tensorboard_plugin_valleys import assets, live, metadata, old_files, payload, reading

logger = tb_logging.get_logger()

TYPES = {".js": "text/javascript", ".css": "text/css"}


class ValleysPlugin(base_plugin.TBPlugin):
    """The tab "Valleys", shown where a run holds data of `keras_valleys.callbacks.SurfaceBoard`.

    Args:
        context: A `tensorboard.plugins.base_plugin.TBContext` with a data provider.
    """

    plugin_name = metadata.PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        folders = live.folders_of(context.flags)
        self._provider = live.LiveProvider(context.data_provider, folders)

    def is_active(self) -> bool:
        return False  # TensorBoard itself finds the plugins with data, and asks only for the others

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        return base_plugin.FrontendMetadata(
            es_module_path="/index.js", tab_name=metadata.TAB_NAME, disable_reload=False
        )

    def get_plugin_apps(self) -> dict[str, WSGIApplication]:
        # One route for each file that is there now: no path in a request is ever opened.
        files = [path for path in sorted(assets.STATIC.iterdir()) if path.suffix in TYPES]
        apps = {f"/{path.name}": _file_app(path) for path in files}
        routes = {
            "/runs": self._runs,
            "/surface": self._surface,
            "/path": self._path,
        }
        return apps | {route: _app(function) for route, function in routes.items()}

    def _runs(self, request: wrappers.Request) -> wrappers.Response:
        """Every run with data, in TensorBoard's order of runs, which gives them their colors."""
        listed = self._list(request)
        order = {name: number for number, name in enumerate(self._run_names(request))}
        runs = []
        for name in sorted(listed):
            moments = _moments(listed[name])
            tags = moments[max(moments)] if moments else listed[name]
            chunks = [tag for tag in tags if tag.startswith(metadata.PATH_PREFIX)]
            one = {
                "name": name,
                "number": order.get(name, len(order)),
                "surface": f"moments of {name}" if moments else _surface_id(name, tags),
                "last_step": max((tags[tag].max_step for tag in chunks), default=-1),
                "num_chunks": len(chunks),
            }
            if moments:
                one["moments"] = [
                    {"number": k, "step": moments[k][metadata.SURFACE_TAG].max_step}
                    for k in sorted(moments)
                ]
            runs.append(one)
        return _json(request, {"runs": runs})

    def _surface(self, request: wrappers.Request) -> wrappers.Response:
        losses, info = self._read_surface(request, *self._find_run(request))
        return _json(request, payload.surface_payload(losses, info))

    def _path(self, request: wrappers.Request) -> wrappers.Response:
        run, tags, moment = self._find_run(request)
        chunks = sorted(tag for tag in tags if tag.startswith(metadata.PATH_PREFIX))
        known = (reading.described(tags[tag].plugin_content) for tag in chunks)
        described = next((one for one in known if one is not reading.NOTHING), reading.NOTHING)
        columns, names, units, label = described
        wanted = [*chunks, metadata.SHOWN_TAG]
        found = self._read(request, run, wanted, moment) if chunks else {}
        parts = [found[tag] for tag in chunks if tag in found]
        rows = reading.table(parts, columns, len(names))
        surface = self._surface_below(request, run, tags, moment)
        shown = reading.shown(found.get(metadata.SHOWN_TAG))
        if surface is not None and columns == reading.OLD_COLUMNS:
            shown = np.array(old_files.shown_with(surface[0], surface[1], rows))
        kinds = {reading.loss_kind(tags[tag].plugin_content) for tag in chunks}
        kind = "true" if kinds == {"true"} else "recorded"
        options = {"surface": surface, "units": units, "loss_kind": kind}
        packed = payload.path_payload(rows, names, label, shown, **options)
        return http_util.Respond(request, packed, "application/octet-stream")

    def _surface_below(self, request, run, tags, moment):
        """The surface that a path is drawn on; `None` where there is none."""
        try:
            losses, info = self._read_surface(request, run, tags, moment)
        except errors.NotFoundError:
            return None
        if "shown" not in info:
            info = {**info, "shown": old_files.shown_range(losses, info["valleys"])}
        return losses, info

    def _read_surface(self, request, run, tags, moment):
        """The losses and the info of a run's surface."""
        if _surface_id(run, tags) is None:
            raise errors.NotFoundError(f"run {run!r} has no surface")
        names = [metadata.SURFACE_TAG, metadata.SURFACE_INFO_TAG]
        found = self._read(request, run, names, moment)
        try:
            return reading.surface(*(found.get(name) for name in names))
        except ValueError as error:
            raise errors.NotFoundError(f"the surface of run {run!r} is not readable") from error

    def _find_run(self, request):
        """The run that a request names, its tags, and the number of the moment they are of.

        Of a run with moments that is the one that is asked for, or the last; else `None`.
        """
        run = request.args.get("run")
        if run is None:
            raise errors.InvalidArgumentError("expected ?run=NAME")
        tags = self._list(request).get(run)
        if tags is None:
            raise errors.NotFoundError(f"run {run!r}")
        moments, number = _moments(tags), request.args.get("moment", type=int)
        if not moments and number is None:
            return run, tags, None
        number = max(moments, default=-1) if number is None else number
        if number not in moments:
            raise errors.NotFoundError(f"run {run!r} has no moment {number}")
        return run, moments[number], number

    def _run_names(self, request):
        where = _where(request)
        runs = self._provider.list_runs(**where)
        runs = sorted(runs, key=lambda run: (run.start_time or math.inf, run.run_name))
        return [run.run_name for run in runs]

    def _list(self, request):
        return self._provider.list_tensors(**_where(request), plugin_name=self.plugin_name)

    def _read(self, request, run, tags, moment=None):
        """The last array of each tag, of a moment if one is given; what cannot be read is left out.

        The keys are the tags as they are without a moment.
        """
        if moment is not None:
            names = {metadata.moment_tag(moment, tag): tag for tag in tags}
            found = self._read(request, run, list(names))
            return {names[tag]: array for tag, array in found.items()}
        try:
            return self._read_all(request, run, tags)
        except errors.PublicError:
            raise
        except Exception:  # of a tensor that is none: TensorBoard has many ways to fail
            if len(tags) == 1:
                return {}
        alone = [self._read(request, run, [tag]) for tag in tags]
        return {tag: array for found in alone for tag, array in found.items()}

    def _read_all(self, request, run, tags):
        found = self._provider.read_tensors(
            **_where(request),
            plugin_name=self.plugin_name,
            downsample=1,
            run_tag_filter=provider.RunTagFilter(runs=[run], tags=tags),
        )
        return {tag: data[-1].numpy for tag, data in found.get(run, {}).items() if data}


def _where(request):
    environ = request.environ
    context, experiment = plugin_util.context(environ), plugin_util.experiment_id(environ)
    return {"ctx": context, "experiment_id": experiment}


def _moments(tags):
    """From the number of each moment whose surface is there to its tags, as without a moment."""
    found: dict[int, dict] = {}
    for tag, described in tags.items():
        number, _, rest = tag.removeprefix(metadata.MOMENT_PREFIX).partition("/")
        if tag.startswith(metadata.MOMENT_PREFIX) and number.isdecimal():
            found.setdefault(int(number), {})[f"valleys/{rest}"] = described
    needed = metadata.SURFACE_TAG, metadata.SURFACE_INFO_TAG
    return {k: found[k] for k in found if all(tag in found[k] for tag in needed)}


def _surface_id(run, tags):
    """Equal for runs on the same surface; None where there is none, or not yet."""
    if metadata.SURFACE_TAG not in tags or metadata.SURFACE_INFO_TAG not in tags:
        return None
    digest = tags[metadata.SURFACE_TAG].plugin_content
    return digest.decode(errors="replace") if digest else f"of {run}"


def _json(request, content):
    # Not TensorBoard's own way, which turns None into text where it finds NaN.
    text = json.dumps(content, allow_nan=False)
    return http_util.Respond(request, text, "application/json")


def _app(function: Callable[[wrappers.Request], wrappers.Response]) -> WSGIApplication:
    """A WSGI application that answers GET."""

    @wrappers.Request.application
    def app(request):
        try:
            return function(request)
        except (errors.PublicError, exceptions.HTTPException):
            raise
        except Exception as error:  # no run may be made to look like a broken server
            logger.exception("The tab Valleys cannot answer %s", request.path)
            raise errors.NotFoundError("not readable") from error

    return app


def _file_app(path):
    content = path.read_bytes()
    return _app(lambda request: http_util.Respond(request, content, TYPES[path.suffix]))
