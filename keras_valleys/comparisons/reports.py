"""A comparison as text, tables, files and a page."""

import csv
import hashlib
import io
import math

from keras_valleys._files import write_whole
from keras_valleys.valleys import BORDER, dropped_text

DIGEST = "comparison.sha256"
COLUMNS = {  # of the table of optimizers: what each shows of a `Summary`
    "optimizer": lambda one: one.optimizer,
    "learning rate": lambda one: one.learning_rate,
    "success": lambda one: f"{one.num_successes}/{one.num_runs}",
    "95 % interval": lambda one: f"{100 * one.interval[0]:.0f} - {100 * one.interval[1]:.0f} %",
    "final loss": lambda one: one.final_loss,
    "best loss": lambda one: one.best_loss,
    "derailed": lambda one: one.derailments,
    "steps to floor": lambda one: one.steps_to_floor,
    "seconds": lambda one: f"{one.seconds:.2f}",
}


def as_text(comparison):
    """The optimizers as a table, then what each note and each failed run has to say."""
    parts = [text_table(list(COLUMNS), _summary_rows(comparison)), "\n".join(comparison.notes)]
    parts.append("\n".join(_failure(*group) for group in _failures(comparison.runs)))
    if comparison.tuning:
        parts.append(tuning_text(comparison))
    return "\n\n".join(part for part in parts if part)


def _summary_rows(comparison):
    return [[show(one) for show in COLUMNS.values()] for one in comparison.summaries]


def tuning_text(comparison):
    """All learning rates that were tried, with the median of the final losses of each."""
    chosen = {one.optimizer: one.learning_rate for one in comparison.summaries}
    groups: dict = {}
    for run in comparison.tuning:
        groups.setdefault((run.optimizer, run.learning_rate), []).append(run)
    rows = []
    for (label, rate), runs in groups.items():
        finals = sorted(r.final_loss if r.status == "finished" else math.inf for r in runs)
        middle = (finals[(len(finals) - 1) // 2] + finals[len(finals) // 2]) / 2
        lost = sum(run.status != "finished" for run in runs)
        rows.append((label, rate, middle, lost, "taken" if rate == chosen[label] else ""))
    return "All learning rates tried:\n" + text_table(
        ("optimizer", "learning rate", "final loss", "diverged or failed", ""), rows
    )


def notes_on(runs, valleys, tolerance, *, tuned, is_random):
    """How the table of some runs is to be read."""
    starts, seeds = len({run.start for run in runs}), len({run.seed for run in runs})
    aim = f"the final loss is within {tolerance:g} of the lowest of all runs"
    floor = "the lowest final loss of all runs"
    if valleys is not None and len(valleys):
        near = sum(valley.loss <= valleys[0].loss + tolerance for valley in valleys)
        others = f", or in one of {near - 1} within {tolerance:g} of it" if near > 1 else ""
        best = "in the best valley" if not valleys[0].on_border else f"where the loss is {BORDER}"
        aim = f"it ends {best}, of loss {valleys[0].loss:.4g}{others}"
        floor = "the floor of the valley it ends in"
    said = [
        f"{_count(starts, 'start')}, {_count(seeds, 'seed')}. A run succeeds if {aim}.",
        "Losses are true: of all rows, in evaluation mode. Losses and steps are medians over the "
        "runs; steps to floor: until the loss is within "
        f"{tolerance:g} of {floor}.",
    ]
    if valleys is not None and valleys.dropped:
        said.append(f"Valleys: {dropped_text(valleys)}.")
    if seeds > 1 and not is_random:
        said.append(
            "All rows make each step and no layer is random: seeds repeat a run, and one counts."
        )
    if tuned:
        said.append("Each learning rate was chosen on these very runs, which flatters all alike.")
    return tuple(said)


def as_csv(rows, path):
    """Rows as CSV text, written to a file where there is a path."""
    text = csv_table(rows)
    if path is not None:
        write_whole(path, text)
    return text


def publish(comparison, files, digests):
    """A TensorBoard run of the whole, with its table and pictures; once for the same runs."""
    from keras_valleys.events import EventWriter

    rows = [{k: v for k, v in row.items() if "seconds" not in k} for row in comparison.to_dicts()]
    known = repr((sorted(map(str, digests)), rows, comparison.notes))
    digest = hashlib.sha256(known.encode()).hexdigest()
    if any(digest in file.read_text() for file in files.log_dir.glob(f"*/{DIGEST}")):
        return
    images = pictures(comparison)
    with EventWriter(files.log_dir / "comparison") as writer:
        writer.text("comparison/table", _markdown(comparison))
        for name, picture in images.items():
            writer.image(f"comparison/{name}", picture, 0)
    texts = {"comparison.csv": as_csv(comparison.to_dicts(), None), DIGEST: digest + "\n"}
    files.publish(writer.log_dir, texts, {f"{name}.png": png for name, png in images.items()})


def pictures(comparison):
    """All pictures that a comparison allows, as PNG."""
    from keras_valleys import plots  # matplotlib only where it draws

    paths, figures = comparison.trajectories, {}
    if paths and comparison.surface is not None:
        figures["paths"] = plots.path_panels(comparison.surface, paths, valleys=comparison.valleys)
    if paths:
        figures["loss"] = plots.loss_panels(paths)
    figures["success"] = plots.success(comparison)
    if comparison.tuning:
        figures["learning_rates"] = plots.learning_rates(comparison)
    return {name: plots.encode(figure) for name, figure in figures.items()}


def _markdown(comparison):
    rows = [list(COLUMNS), ["---"] * len(COLUMNS), *_summary_rows(comparison)]
    lines = [" | ".join(map(cell_text, row)) for row in rows]
    table = "\n".join(f"| {line} |" for line in lines)
    failures = [_failure(label, runs) for label, runs in _failures(comparison.runs)]
    return "\n\n".join([table, *comparison.notes, *failures])


def _failures(runs):
    """Runs of one optimizer that ended for the same reason, together."""
    groups: dict = {}
    for run in runs:
        if run.status != "finished":
            groups.setdefault((run.optimizer, run.status, run.reason), []).append(run)
    return list(groups.items())


def _failure(key, runs):
    label, status, reason = key
    where = f"start {runs[0].start}, seed {runs[0].seed}" if len(runs) == 1 else f"{len(runs)} runs"
    return f"{label} {status} ({where}): {reason}"


def _count(number, noun):
    return f"{number} {noun}{'s' * (number != 1)}"


def text_table(header, rows):
    """Columns side by side, numbers to the right, under a line."""
    rows = [[cell_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    right = [all(_is_number(row[k]) for row in rows) for k in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            text.rjust(width) if side else text.ljust(width)
            for text, width, side in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def csv_table(rows):
    """Dictionaries of the same keys as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def cell_text(value):
    """A value in print; `None` is a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(text):
    return text[:1] in "-0123456789i"
