"""Run the published optimization with model.fit; write its pictures and its TensorBoard run."""

import argparse
import math
import os
import pathlib
import shlex

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on CUDA and the CPU


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: error: {' '.join(str(message).split())}\n")


def number(text):
    if not math.isfinite(float(text)):
        raise ValueError
    return float(text)


def parse():
    parser = Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--optimizer", default="sgd", help="any optimizer of keras.optimizers, by name")
    add("--learning-rate", type=number, default=0.05, help="greater than 0")
    add("--phi", type=number, default=45.0, help="angle to start from, in degrees")
    add("--steps", type=int, default=100, help="number of updates")
    add("--root", type=number, default=4.0, help="1: squared error, 2: absolute error")
    add("--num-lines", type=int, default=5, help="lines in the rosette")
    add("--noise", type=number, default=0.0, help="standard deviation of the noise on y")
    add("--seed", type=int, default=314, help="of the data and of the batches")
    add("--batch-size", type=int, help="rows of a step; all where it is not given")
    add("--log-dir", type=pathlib.Path, default="logs", help="the run is a new folder in it")
    options = parser.parse_args()
    if options.learning_rate <= 0:
        parser.error(f"--learning-rate must be greater than 0, not {options.learning_rate:g}")
    return parser, options


def main():
    parser, options = parse()  # before Keras is imported: what is wrong is told at once
    import angle_run

    import keras_valleys as kv

    try:
        data = kv.datasets.rosette(options.num_lines, noise=options.noise, seed=options.seed)
        train, _ = data
        steps = kv.datasets.repeat(*train, options.steps, options.batch_size, options.seed)
        model = angle_run.angle_model(options, options.root)
        options.log_dir.mkdir(parents=True, exist_ok=True)
    except (MemoryError, OSError, ValueError) as error:
        parser.error(error)
    surface = angle_run.surface_over_phi(model, *train)
    name = f"{options.optimizer.lower()}-{options.learning_rate:g}-from-{options.phi:g}"
    recorder = kv.callbacks.TrajectoryRecorder()
    board = kv.callbacks.SurfaceBoard(options.log_dir / name, surface)
    batch_size = options.batch_size or len(train[0])
    model.fit(*steps, batch_size=batch_size, shuffle=False, callbacks=[recorder, board])
    folder, path = pathlib.Path(board.log_dir), recorder.trajectory
    try:
        angle_run.save_files(folder, options, surface, path)
        angle_run.save_pictures(folder, data, model, surface, path)
        angle_run.save_teaser(folder, data, options)
        angle_run.save_predecessor(folder)
        page = angle_run.save_page(folder, surface, path)
    except OSError as error:
        parser.exit(1, f"{parser.prog}: error: {error}. Choose another --log-dir.\n")
    loss = kv.objectives.Objective(model, *train)(path.weights[-1])
    print(*angle_run.report(surface, path, loss), f"Files and pictures: {folder}", page, sep="\n")
    print(f"\nInspect the run:\n\n    tensorboard --logdir {shlex.quote(str(options.log_dir))}")


if __name__ == "__main__":
    main()
