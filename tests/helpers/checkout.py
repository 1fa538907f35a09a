"""The checkout, and its scripts as a user runs them."""

import contextlib
import io
import pathlib
import runpy
import subprocess
import sys
from unittest import mock

ROOT = pathlib.Path(__file__).parents[2]


def start_script(name, *options, cwd=None):
    """Run a script in a process of its own, as a user does."""
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, options)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def run_script(name, *options, cwd="."):
    """Run a script in this process, which saves importing a backend.

    Returns:
        What `start_script` returns.
    """
    out, error, script = io.StringIO(), io.StringIO(), ROOT / "scripts" / name
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
        mock.patch.object(sys, "argv", [str(script), *map(str, options)]),
        mock.patch.object(sys, "path", [str(script.parent), *sys.path]),
    ):
        code = 0
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), error.getvalue())
