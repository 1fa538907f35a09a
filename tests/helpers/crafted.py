"""Files that are made to break who reads them."""

import io
import zipfile

import numpy as np


def member(array):
    """The bytes of an array in an npz file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return file.getvalue()


def declared(header, content=b""):
    """The bytes of an array whose header says what it likes."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def header(descr="'<f8'", shape="(3,)", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def content_of(path):
    """The members of an npz file, as bytes by name."""
    with zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}


def write(path, members, packing=zipfile.ZIP_DEFLATED):
    """Write an npz file of bytes by name; what is `None` is left out."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(f"{name}.npy", content)
    return path


def zeros(path, name, members, shape, dtype="float64"):
    """Write an npz file one of whose arrays is nothing but zeros, without holding them."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for other, content in members.items():
            archive.writestr(f"{other}.npy", content)
        with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
            stream.write(declared(header(f"'{np.dtype(dtype).str}'", str(tuple(shape)))))
            block = bytes(2**20)
            for start in range(0, size, len(block)):
                stream.write(block[: size - start])
    return path


NEST = 100_000

# What an array may be replaced by: members that no reader may trip over.
UNFIT = {
    "10^12 numbers": declared(header(shape=f"({10**12},)")),
    "10^30 numbers": declared(header(shape=f"({10**30},)")),
    "10^12 texts of nothing": declared(header("'<U0'", f"({10**12},)")),
    "texts of 10^12 characters": declared(header(f"'<U{10**12}'", "()")),
    "texts of 10^30 characters": declared(header(f"'<U{10**30}'", "()")),
    "none of 10^30": declared(header(shape=f"(0, {10**30})")),
    "fewer than none": declared(header(shape="(-3,)"), bytes(24)),
    "more than there are": declared(header(shape="(4,)"), bytes(24)),
    "fewer than there are": declared(header(shape="(2,)"), bytes(24)),
    "a broken header": declared("{'descr': '<f8', 'shape': (3"),
    "a header of words": declared("no header at all"),
    "a nested header": declared("(" * 900),
    "a header of minus signs": declared("-" * 1000 + "1"),
    "a long header": declared(header() + " " * 50_000),
    "a header of calls": declared("__import__('os').getcwd()"),
    "half a header": declared(header())[:30],
    "a header of another version": b"\x93NUMPY\x09\x00" + declared(header())[8:],
    "a dtype of nothing": declared(header("'nothing'")),
    "objects": declared(header("'|O'"), b"cos\nsystem\n."),
    "parts": declared(header("[('a', '<f8'), ('b', '<i4')]", "(1,)"), bytes(12)),
    "arrays in arrays": declared(header("('<f8', (3,))", "(1,)"), bytes(24)),
    "no array": b"this is no array",
    "nothing": b"",
    "complex numbers": member(np.zeros(3, complex)),
    "dates": member(np.zeros(3, "datetime64[s]")),
    "durations": member(np.zeros(3, "timedelta64[s]")),
    "bytes": member(np.array([b"ab", b"c"])),
    "texts": member(np.array(["1.5", "2", "x"])),
    "booleans": member(np.array([True, False])),
    "a number": member(np.float64(2.0)),
    "a whole number": member(np.int64(2)),
    "a text": member(np.array("a text")),
    "characters that are none": declared(header("'<U1'", "()"), b"\xff\xff\xff\xff"),
    "steps that turn negative": member(np.array([1, 2**63 + 5], "uint64")),
    "five dimensions": member(np.zeros((1, 2, 1, 3, 1))),
    "nested JSON": member(np.array("[" * NEST + "]" * NEST)),
    "nested dictionaries": member(np.array('{"a":' * 900 + "1" + "}" * 900)),
    "torn JSON": member(np.array('{"a": [1, 2')),
    "JSON of a number": member(np.array("3")),
    "huge JSON": member(np.array('{"a": 1' + "0" * 5000 + "}")),
    "periods of 10^400": member(np.array("[1" + "0" * 400 + "]")),
}
