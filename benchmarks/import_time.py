"""What `import keras_valleys` adds to `import keras`, in fresh processes."""

import importlib.util
import os
import subprocess
import sys

import measure

REPEATS, LIMIT = 7, 0.2
CLOCK = """
import time
start, cpu = time.perf_counter(), time.process_time()
import keras
middle, middle_cpu = time.perf_counter(), time.process_time()
{more}
now, now_cpu = time.perf_counter(), time.process_time()
print("TIMES", middle - start, now - middle, now_cpu - middle_cpu)
"""


def fresh(backend, more):
    """Seconds of `import keras`, and of `more` after it, wall and CPU, in a new process."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", CLOCK.format(more=more)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split("TIMES ")[1].split()]


def main():
    rows, targets, results = [], [], {}
    for backend in ("tensorflow", "jax", "torch"):
        if not importlib.util.find_spec(backend):
            continue
        kinds = {"keras": "pass", "both": "import keras_valleys"}
        whole, inside, cpu = {name: [] for name in kinds}, [], []
        fresh(backend, kinds["both"])  # files into the disk cache
        for _ in range(REPEATS):
            for name, more in kinds.items():
                keras, added, added_cpu = fresh(backend, more)
                whole[name].append(keras + added)
            inside.append(added)
            cpu.append(added_cpu)
        middle = REPEATS // 2
        keras, both = (sorted(whole[name])[middle] for name in kinds)
        added, added_cpu = sorted(inside)[middle], sorted(cpu)[middle]
        rows.append([backend, keras, both, both - keras, added, added_cpu])
        keys = ("keras_s", "both_s", "difference_s", "added_s", "added_cpu_s")
        results[backend] = dict(zip(keys, rows[-1][1:], strict=True))
        # Measured within one process: the difference of two whole processes is mostly noise.
        targets.append(measure.target(f"{backend}: seconds added", added, LIMIT))
    header = ["backend", "keras", "both", "difference", "added within", "its CPU"]
    measure.table(f"Seconds, median of {REPEATS} processes, in turn", header, rows)
    measure.write("import_time", {"targets": targets, "figures": results})


if __name__ == "__main__":
    main()
