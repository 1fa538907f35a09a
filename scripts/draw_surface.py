"""Draw the loss surface of any saved Keras model around its weights."""

import argparse
import os
import pathlib
import shlex
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on CUDA and the CPU

EPILOG = """\
DATA.npz holds the arrays x and y, and sample_weight if there is one: numpy.savez("DATA.npz", x=x,
y=y). Several inputs or outputs are x/NAME for each NAME, or x/0, x/1, ... in the model's order.
principal needs --paths, between needs --to."""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: error: {' '.join(str(message).split())}\n")


def numbers(text):
    """The axes of "51x41", at least two points each."""
    points = tuple(int(part) for part in text.lower().split("x"))
    if len(points) not in (1, 2) or min(points) < 2:
        raise ValueError
    return points


def ranges(text):
    """The axes of "-1:1" or "-1:1,-2:0.5"."""
    axes = [tuple(float(end) for end in part.split(":")) for part in text.split(",")]
    if len(axes) not in (1, 2) or any(len(axis) != 2 or not axis[0] < axis[1] for axis in axes):
        raise ValueError
    return axes


def parse(arguments):
    parser = Parser(description=__doc__, epilog=EPILOG)
    add = parser.add_argument
    add("model", type=pathlib.Path, help="a .keras or .h5 file of a whole model")
    add("data", type=pathlib.Path, help="an .npz file of the arrays to evaluate it on")
    kinds = ("random", "principal", "hessian", "between")
    add(
        "--directions",
        choices=kinds,
        default="random",
        help="filter-normalized random ones; the "
        "principal plane of the paths; the leading eigenvectors of the Hessian; towards --to",
    )
    add("--points", type=numbers, default=(51, 41), metavar="51x41", help="one number for a line")
    add("--range", type=ranges, metavar="-1:1,-1:1", help="of each axis, in units of its direction")
    add(
        "--paths",
        nargs="+",
        default=[],
        metavar="FILE",
        help="trajectories to draw: .npz files "
        "of TrajectoryRecorder, or one series of .weights.h5 files of ModelCheckpoint",
    )
    add("--to", nargs="+", default=[], metavar="FILE", help="one or two .weights.h5 files")
    add("--normalization", choices=("filter", "layer", "none"), default="filter", help="of random")
    add(
        "--one-dimensional",
        choices=("zero", "keep"),
        help="whether random directions leave out biases and scales, as Li et al. did, or not",
    )
    add("--loss", metavar="NAME", help="of a file without one, or instead of it")
    add("--weights", nargs="+", metavar="NAME", help="only these layers or weights")
    add("--batch-size", type=int, help="rows that the model sees at once")
    add("--seed", type=int, default=0, help="of the directions")
    add("--workers", type=int, default=0, help="processes to spread the points over")
    add("--module", action="append", default=[], help="to import first: it registers own classes")
    add(
        "--log-dir", type=pathlib.Path, default="logs", help="the pictures go to a new folder in it"
    )
    return parser, parser.parse_args(arguments)


def run(*arguments):
    parser, options = parse(
        [str(one) for one in arguments]
    )  # before Keras is imported: what is wrong is told at once
    import surface_run

    try:
        prepared = surface_run.prepare(options)
    except (ImportError, KeyError, MemoryError, OSError, TypeError, ValueError) as error:
        parser.error(error)
    for line in surface_run.draw(prepared):
        print(line)
    print(f"\nInspect the run:\n\n    tensorboard --logdir {shlex.quote(str(options.log_dir))}")


if __name__ == "__main__":
    run(*sys.argv[1:])
