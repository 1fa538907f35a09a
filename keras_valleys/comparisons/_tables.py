"""Rows as text: aligned for print, and as CSV."""

import csv
import io
import math


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
