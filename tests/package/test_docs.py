"""The pages of the documentation: their examples run, their numbers hold, their links lead on."""

import importlib.util
import os
import re
import subprocess
import sys

import keras
import pytest
from PIL import Image

from helpers.checkout import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
IMAGES = sorted((ROOT / "docs" / "images").iterdir())
BACKEND = keras.config.backend()


def blocks_of(page):
    """The blocks that follow one another, and those that are a script of their own."""
    found = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    scripts = [one for one in found if re.search(r"^# \w+ backend|__main__", one, re.MULTILINE)]
    return [one for one in found if one not in scripts], scripts


def promised(code):
    """What the comments behind `print(...)` say that it prints."""
    return re.findall(r"^ *print\(.*\)  # (.*)$", code, flags=re.MULTILINE)


WITH_BLOCKS = [page for page in PAGES if blocks_of(page)[0]]
SCRIPTS = [(page, number) for page in PAGES for number in range(len(blocks_of(page)[1]))]


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_one_after_another(page, tmp_path, monkeypatch, capsys):
    blocks, _ = blocks_of(page)
    needed = set(re.findall(r"^import (\w+)", "\n".join(blocks), flags=re.MULTILINE))
    missing = [name for name in sorted(needed) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{page.name} needs {', '.join(missing)}")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for code in blocks:
        exec(compile(code, page.name, "exec"), names)
        assert capsys.readouterr().out.splitlines() == promised(code)


@pytest.mark.parametrize("page, number", SCRIPTS, ids=lambda one: getattr(one, "stem", None))
def test_a_block_that_is_a_script_runs(page, number, tmp_path):
    code = blocks_of(page)[1][number]
    backend = re.findall(r"^# (\w+) backend", code, flags=re.MULTILINE)
    if backend and backend[0].lower() != BACKEND:
        pytest.skip(f"a block about the {backend[0]} backend")
    if "distributed" in code:
        pytest.importorskip("distributed")
    (tmp_path / "script.py").write_text(code)
    environment = {**os.environ, "KERAS_BACKEND": BACKEND}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1:] == promised(code)


def test_the_last_block_of_a_page_and_every_script_end_in_a_number():
    assert WITH_BLOCKS and SCRIPTS
    for page in PAGES:
        blocks, scripts = blocks_of(page)
        for code in [*blocks[-1:], *scripts]:
            assert re.search(r"\d", promised(code)[-1]), page.name


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_links_and_pictures_of_a_page_are_there(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src(?:set)?="([^"]+)"', text)
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link


def headings(page):
    """The anchors that a repository page gives to its headings."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines]


def test_every_picture_is_small_is_shown_and_can_be_read():
    texts = "".join(page.read_text() for page in [ROOT / "README.md", *PAGES])
    for path in IMAGES:
        assert f"images/{path.name}" in texts, path.name
        assert path.stat().st_size < 150_000, path.name
        with Image.open(path) as picture:
            assert min(picture.size) >= 250
    assert sum(path.stat().st_size for path in IMAGES) < 1_500_000


def test_the_pictures_are_made_by_one_script():
    script = (ROOT / "docs" / "make_pictures.py").read_text()
    for path in IMAGES:
        if path.stem == "tab":  # a photograph of TensorBoard in a browser
            continue
        stem = path.stem.removesuffix("_dark")
        assert re.search(rf'save\(f?"{stem}["{{]', script), path.name
