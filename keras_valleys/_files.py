"""Paths; whole files or none: text, and arrays in one npz without pickle; figures as PNG."""

import io
import math
import os
import re
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np

from keras_valleys._checks import refusal

# A file may unpack to so many bytes, or to so many times its own size: measured numbers shrink to a
# half or a tenth, and only zeros to a thousandth.
MOST_UNPACKED, MOST_TIMES = 2**28, 100
MOST_PACKED = 2**25  # bytes that are packed in a second, whatever they are
TRIED = 2**17  # numbers that tell whether more are worth packing
MOST_HEADER = 1024  # characters that describe an array
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
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
    write_whole(path, lambda file: _write_arrays(file, fields))


def _write_arrays(file, fields):
    """Write arrays packed, or as they are where `read_archive` would not unpack them again.

    Many weights are not packed either: it takes a minute for what is hardly smaller then.
    """
    unpacked = sum(np.asarray(value).nbytes for value in fields.values())
    if unpacked > MOST_PACKED and not _shrinks(max(map(np.asarray, fields.values()), key=_size)):
        np.savez(file, **fields)
        return
    np.savez_compressed(file, **fields)
    if unpacked > max(MOST_UNPACKED, MOST_TIMES * file.tell()) / 2:
        file.seek(0)
        file.truncate()
        np.savez(file, **fields)


def _size(array):
    return array.nbytes


def _shrinks(array):
    """Whether the bytes of an array become half as many or fewer when packed; by its first ones."""
    part = np.ascontiguousarray(array).reshape(-1)[:TRIED].tobytes()
    return len(zlib.compress(part, 1)) < len(part) / 2


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
    """The fields `names`, or all, of a file that `write_archive` wrote with the same `kind`.

    What a file says of itself is compared with its size before anything is unpacked.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged or of another kind, whatever was done to it.
    """
    path = local_path(f"{_class_of(kind)}.load", path=path)
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            members = _members(archive, os.fstat(file.fileno()).st_size)
            found = str(_array(archive, members.pop("kind")))
            if found != f"keras_valleys.{kind}.1":
                raise ValueError(f"its kind is {found}")
            names = members if names is None else names
            return {name: _array(archive, members[name]) for name in names}
    except FileNotFoundError:
        raise
    except Exception as error:  # of a file that is made to break zipfile or NumPy: any
        raise damaged(path, kind, error) from error


def _members(archive, size):
    """The members of a zip file of `size` bytes by their names, if it can be what it says."""
    members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(MOST_UNPACKED, MOST_TIMES * size):
        raise ValueError(f"its {size:,} bytes would unpack to {unpacked:,}")
    return {member.filename.removesuffix(".npy"): member for member in members}


def _array(archive, member):
    """The array in a member of a zip file: numbers or text, of just the size that it declares."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is packed in another way")
    with archive.open(member) as stream:
        read_header = HEADERS[np.lib.format.read_magic(stream)]
        with warnings.catch_warnings():  # of how the header is written
            warnings.simplefilter("ignore")
            shape, is_fortran, dtype = read_header(stream, max_header_size=MOST_HEADER)
        if dtype.kind not in "biufU" or not dtype.itemsize:
            raise ValueError(f"{member.filename} holds {dtype}, neither numbers nor text")
        size, there = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
        if min(shape, default=0) < 0 or size != there:
            raise ValueError(f"{member.filename} declares {size:,} bytes and has {there:,}")
        content = stream.read(size)
        if len(content) < size or stream.read(1):  # which also compares the checksum
            raise ValueError(f"{member.filename} has another size than it says")
    array = np.ndarray(shape, dtype, content, order="F" if is_fortran else "C")
    if dtype.kind == "U" and np.any(np.frombuffer(content, f"{dtype.str[0]}u4") > 0x10FFFF):
        raise ValueError(f"{member.filename} holds characters that there are not")
    return array.view("uint8") != 0 if dtype.kind == "b" else array  # other bytes are no booleans


def _class_of(kind: str) -> str:
    return "".join(map(str.capitalize, kind.split("_")))


def damaged(path: str | os.PathLike[str], kind: str, error: Exception) -> Exception:
    """The one error for a file that is not as `write_archive` left it."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return refusal(
        f"{_class_of(kind)}.load",
        f"a file written by `{_class_of(kind)}.save`",
        f"{os.fspath(path)!r}, which is damaged or of another kind ({reason})",
        "Save it again, or check the path.",
    )
