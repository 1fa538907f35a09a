"""Files that are written whole or not at all."""

import os

import pytest

from keras_valleys._files import write_whole


@pytest.mark.parametrize(
    "content, expected",
    [
        ("Größe\n1,2\r\n", "Größe\n1,2\r\n".encode()),
        (b"\x00\r\n", b"\x00\r\n"),
        (lambda file: file.write(b"written"), b"written"),
        ("", b""),
    ],
)
def test_text_bytes_and_functions(content, expected, tmp_path):
    for path in (tmp_path / "file", os.fspath(tmp_path / "file")):
        write_whole(path, content)
        assert (tmp_path / "file").read_bytes() == expected
    assert os.listdir(tmp_path) == ["file"]


def test_what_fails_half_way_leaves_the_old_file(tmp_path, monkeypatch):
    write_whole(tmp_path / "file", "old")

    def fail(file):
        file.write(b"half")
        raise RuntimeError("cable")

    with pytest.raises(RuntimeError, match="cable"):
        write_whole(tmp_path / "file", fail)
    with pytest.raises(TypeError):
        write_whole(tmp_path / "file", 5)

    def full(*paths):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old" and os.listdir(tmp_path) == ["file"]
