"""Paths; whole files or none: text, and arrays in one npz without pickle; figures as PNG."""

import io
import os
import re
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np

from keras_valleys._checks import refusal

REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # pathlib makes one slash of two


def local_path(owner: str | tuple[str, ...], *, is_text: bool = False, **argument: Any) -> str:
    """A path that a user gave as text, with the home folder in place of "~"; or an error.

    Args:
        owner: Name of the asking function or class, or of several.
        is_text: Whether the path is also written as text: then no byte of it may be undecodable.
        **argument: The path by its name.

    Raises:
        ValueError: It is no path, empty, of another machine, or none that the disk can have.
    """
    ((name, given),) = argument.items()
    path = os.fspath(given) if isinstance(given, str | os.PathLike) else ""
    if not isinstance(path, str) or not path or REMOTE.match(path):
        raise refusal(
            owner, "a local path", {name: given}, "Use a local folder, and copy what is there."
        )
    path = os.path.expanduser(path)
    try:
        path.encode() if is_text else os.fsencode(path)
        fits = "\0" not in path
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise refusal(
            owner,
            "a path of characters that a file name can have",
            {name: given},
            "Leave out NUL and what cannot be encoded.",
        )
    return path


def drawn(figure: Any) -> bytes:
    """A figure of matplotlib as the bytes of a PNG of its own size and colors."""
    file = io.BytesIO()
    figure.savefig(
        file,
        format="png",
        facecolor=figure.get_facecolor(),
        dpi=figure.dpi,
        bbox_inches=figure.bbox_inches,
        pad_inches=0,
    )
    return file.getvalue()


def write_archive(path: str | os.PathLike[str], kind: str, **fields: Any) -> None:
    """Write `fields` (arrays, strings, tuples of strings) to `path`, or leave `path` as it was."""
    path = local_path(f"{_class_of(kind)}.save", path=path)
    objects = [name for name, value in fields.items() if np.asarray(value).dtype.hasobject]
    if objects:
        raise refusal(
            f"{_class_of(kind)}.save",
            "numbers and text",
            f"other objects in {objects}",
            "Convert them, or use an empty text for None.",
        )
    fields["kind"] = np.array(f"keras_valleys.{kind}.1")
    write_whole(path, lambda file: np.savez_compressed(file, **fields))


def write_whole(
    path: str | os.PathLike[str], content: str | bytes | Callable[[BinaryIO], object]
) -> None:
    """Write a file that takes the place of `path` when it is complete, or leave `path` as it was.

    Args:
        path: Path of the file.
        content: Text, which is written as UTF-8, bytes, or a function that writes to a binary file.

    Raises:
        OSError: The file cannot be written.
    """
    path = local_path("A file", path=path)
    beside = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    content = content.encode() if isinstance(content, str) else content
    try:
        with open(beside, "xb") as file:
            content(file) if callable(content) else file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.remove(beside)


def read_archive(
    path: str | os.PathLike[str], kind: str, names: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """The fields `names`, or all, of a file that `write_archive` wrote with the same `kind`."""
    path = local_path(f"{_class_of(kind)}.load", path=path)
    try:
        # Opened here: np.load leaves the file open where it fails.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            if str(archive["kind"]) != f"keras_valleys.{kind}.1":
                raise ValueError(f"its kind is {archive['kind']}")
            names = [name for name in archive.files if name != "kind"] if names is None else names
            return {name: archive[name] for name in names}
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


def _class_of(kind: str) -> str:
    return "".join(map(str.capitalize, kind.split("_")))


def damaged(path: str | os.PathLike[str], kind: str, error: Exception) -> Exception:
    """The one error for a file that is not as `write_archive` left it."""
    return refusal(
        f"{_class_of(kind)}.load",
        f"a file written by `{_class_of(kind)}.save`",
        f"{os.fspath(path)!r}, which is damaged or of another kind ({error})",
        "Save it again, or check the path.",
    )
