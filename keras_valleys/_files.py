"""Files that are whole or not there: text, and arrays in one npz file without pickle."""

import json
import os
import reprlib
import uuid
import zipfile
import zlib

import numpy as np


def write_archive(path, kind, **fields):
    """Write `fields` (arrays, strings, tuples of strings) to `path`, or leave `path` as it was."""
    objects = [name for name, value in fields.items() if np.asarray(value).dtype.hasobject]
    if objects:
        raise ValueError(
            f"`{_class_of(kind)}.save` expects numbers and text. "
            f"Received: other objects in {objects}. Convert them, or use an empty text for None."
        )
    fields["kind"] = np.array(f"keras_valleys.{kind}.1")
    write_whole(path, lambda file: np.savez_compressed(file, **fields))


def write_whole(path, write):
    """Let `write(file)` write a binary file that then takes the place of `path`, or nothing."""
    path = os.fspath(path)
    beside = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        with open(beside, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.remove(beside)


def read_archive(path, kind, names, optional=()):
    """Read the fields `names` of a file that `write_archive` wrote with the same `kind`.

    Those in `optional` are left out where the file, of an older version, has none.
    """
    try:
        # Opened here: np.load leaves the file open where it fails.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            if str(archive["kind"]) != f"keras_valleys.{kind}.1":
                raise ValueError(f"its kind is {archive['kind']}")
            present = [name for name in names if name in archive or name not in optional]
            return {name: archive[name] for name in present}
    except FileNotFoundError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        IndexError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise damaged(path, kind, error) from error


def as_json(kind, details):
    """A dictionary as text, with NumPy's numbers as plain ones."""
    try:
        if not isinstance(details, dict):
            raise TypeError("not a dictionary")
        return json.dumps(details, default=lambda value: value.tolist())
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"`{_class_of(kind)}` expects `details` to be a dictionary of what JSON can hold. "
            f"Received: details={reprlib.repr(details)}. Convert it to numbers and text."
        ) from error


def _class_of(kind):
    return "".join(map(str.capitalize, kind.split("_")))


def damaged(path, kind, error):
    """The one error for a file that is not as `write_archive` left it."""
    return ValueError(
        f"`{_class_of(kind)}.load` expects a file written by `{_class_of(kind)}.save`. "
        f"Received: {os.fspath(path)!r}, which is damaged or of another kind ({error}). "
        "Save it again, or check the path."
    )


def write_text(path, text):
    """Write a file, whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8", newline="")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
