"""What the benchmarks share: fair timing of alternatives, tables, targets and result files."""

import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import statistics
import time

RESULTS = pathlib.Path(__file__).parent / "results"
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "matplotlib", "pillow")


def alternate(functions, repeats):
    """Run the functions in turn, A B A B ...; the samples of each, in seconds of wall and CPU.

    A function that measures itself returns its {"wall": ..., "cpu": ...}.
    """
    samples = {name: {"wall": [], "cpu": []} for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            wall, cpu = time.perf_counter(), cpu_time()
            own = function()
            spent = {"cpu": cpu_time() - cpu, "wall": time.perf_counter() - wall}
            for clock, seconds in (own if isinstance(own, dict) else spent).items():
                samples[name][clock].append(seconds)
    return samples


def cpu_time():
    """CPU seconds of this process and of its finished children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def best(samples, clock="wall"):
    """The least of each function's samples: what is left when others disturb the least."""
    return {name: min(clocks[clock]) for name, clocks in samples.items()}


def median(samples, clock="wall"):
    return {name: statistics.median(clocks[clock]) for name, clocks in samples.items()}


def table(title, header, rows):
    """Print rows of strings and numbers under a header."""
    rows = [[f"{x:.4g}" if isinstance(x, float) else str(x) for x in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}")
    for row in [header, *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells]))


def target(what, value, limit, *, at_least=False):
    """Print whether a target holds; for the result file."""
    holds = value >= limit if at_least else value <= limit
    word = "at least" if at_least else "at most"
    print(f"{what}: {value:.3g}, {word} {limit:g}: {'holds' if holds else 'DOES NOT HOLD'}")
    return {"what": what, "value": value, word: limit, "holds": bool(holds)}


def write(name, figures):
    """Keep the figures, with what they depend on, in results/NAME.json."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg(), "python": platform.python_version()}
    content = {**machine, "versions": versions, **figures}
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(content, indent=1, default=float)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(f"\nLoad {machine['load'][0]:.2f} on {machine['cpus']} CPUs; results/{name}.json")
