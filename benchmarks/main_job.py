"""The main job as a whole process, against a process that imports Keras and does nothing."""

import ast
import os
import pathlib
import subprocess
import sys
import tempfile

import measure

REPEATS, LIMIT = 3, 3
SCRIPTS = pathlib.Path(__file__).parent.parent / "scripts"
# The same job with a clock around its parts; Keras is imported by what needs it first.
TIMED = """
import sys, time
start = time.perf_counter()
spent, open_parts = {}, []
def timed(part, function):
    def call(*arguments, **options):
        begin = time.perf_counter()
        open_parts.append(0.0)
        try:
            return function(*arguments, **options)
        finally:
            whole = time.perf_counter() - begin
            spent[part] = spent.get(part, 0.0) + whole - open_parts.pop()
            if open_parts:
                open_parts[-1] += whole
    return call
import keras
spent["import keras"] = time.perf_counter() - start
import angle_run, fit_angle
import keras_valleys as kv
from keras_valleys import callbacks, plots
spent["other imports"] = time.perf_counter() - start - spent["import keras"]
keras.Model.fit = timed("fit, board included", keras.Model.fit)
kv.surfaces.evaluate = timed("surfaces", kv.surfaces.evaluate)
for name in ("save_pictures", "save_teaser", "save_predecessor"):
    setattr(angle_run, name, timed("pictures of the job", getattr(angle_run, name)))
fit_angle.main()
spent["all"] = time.perf_counter() - start
spent["the rest"] = 2 * spent["all"] - sum(spent.values())
print("SPENT", repr(spent))
"""


def python(*arguments):
    """The output of a fresh Python process on TensorFlow."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["PYTHONPATH"] = str(SCRIPTS)
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    functions = {
        "import keras": lambda: python("-c", "import keras") and None,
        "main job": lambda: python(SCRIPTS / "fit_angle.py", "--log-dir", folder) and None,
    }
    measure.alternate(functions, 1)  # files into the disk cache
    samples = measure.alternate(functions, REPEATS)
    parts = {}
    for _ in range(REPEATS):
        line = python("-c", TIMED, "--log-dir", folder).split("SPENT ")[1]
        for part, seconds in ast.literal_eval(line).items():
            parts.setdefault(part, []).append(seconds)
    parts = {part: sorted(seconds)[REPEATS // 2] for part, seconds in parts.items()}
    wall, cpu = measure.median(samples), measure.median(samples, "cpu")
    rows = [[name, wall[name], cpu[name]] for name in functions]
    measure.table(f"Median of {REPEATS} processes, in turn", ["process", "s", "CPU s"], rows)
    measure.table("Where the main job's time goes", ["part", "s"], parts.items())
    rest = (wall["main job"] - parts["fit, board included"]) / wall["import keras"]
    targets = [measure.target("(main job - fit) / import keras", rest, LIMIT)]
    measure.write("main_job", {"targets": targets, "wall_s": wall, "cpu_s": cpu, "parts_s": parts})


if __name__ == "__main__":
    main()
