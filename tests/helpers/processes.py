"""Python in processes and threads of its own."""

import os
import subprocess
import sys
import threading

STRICT = "-W", "error:::keras_valleys"  # the package's own warnings are errors


def start_python(code, *arguments, flags=(), **options):
    """Start a process that runs `code`, and can import whatever this one can.

    Its input and output are pipes; what it writes to its stderr is shown.
    """
    command = [sys.executable, *flags, "-c", code, *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=_environment(), **{**pipes, **options})


def run_python(code, *arguments, flags=(), **options):
    """Run `code` to its end; its stdout and stderr are kept, and it may fail."""
    command = [sys.executable, *flags, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=_environment(), **options)


def _environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def run_threads(targets):
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
