"""Modules of JavaScript as one script, for a page that is a single file."""

import dataclasses
import json
import os
import pathlib
import posixpath
import re
from typing import TypeAlias

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
STRING = re.compile(r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)
REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/")
# A "/" after a value divides; after all else, and after these words, it begins a REGEX.
VALUE = re.compile(r"[\w$)\]'\"`/]$")
WORDS = re.compile(r"(?<![\w$.])(?:return|typeof|case|in|of|delete|void|throw|new|else|do)$")

# Statements, of which comments and the insides of strings are blank.
TOKENS = re.compile(
    r"[()\[\]{}]|(?<![\w$.])(?:import(?!\s*[(.])|export|await|(?:let|var)\s+(?P<name>[\w$]+))(?![\w$])"
)
NAMES = r"\{(?P<names>[^}]*)\}"
FILE = r"""(?P<quote>['"])(?P<file>\s*)(?P=quote)\s*?(?:;|\n|$)"""
IMPORT = re.compile(
    r"import\b\s*(?:(?P<default>[\w$]+)?\s*,?\s*"
    rf"(?:\*\s*as\s+(?P<all>[\w$]+)|{NAMES})?\s*from\s*)?{FILE}"
)
EXPORT_NAMES = re.compile(rf"export\s*{NAMES}(?!\s*from\b)\s*?(?:;|\n|$)")
EXPORT_DEFAULT = re.compile(
    r"export\s+default\b\s*(?P<kind>(?:async\s+)?function\b\s*\*?|class\b)?"
    r"(?P<name>\s*(?!extends\b)[\w$]+)?"
)
EXPORT_HERE = re.compile(
    r"export\s+(?=(?:const\s|class\s|(?:async\s+)?function\b\s*\*?)\s*(?P<name>[\w$]+))"
)
PAIR = re.compile(r"([\w$]+)(?:\s+as\s+([\w$]+))?")


Taken: TypeAlias = list[tuple[str, str]] | str  # pairs of names, or one for all


@dataclasses.dataclass
class Module:
    """A module whose imports and exports are noted, and cut out of its code.

    Attributes:
        name: Its file.
        code: What is left of its text.
        imports: Pairs of a file and what is taken from it: pairs of its name there and its name
            here, or one name for all that the file exports.
        exports: From the name of an export to its name here.
    """

    name: str
    code: str = ""
    imports: list[tuple[str, Taken]] = dataclasses.field(default_factory=list)
    exports: dict[str, str] = dataclasses.field(default_factory=dict)


def one_script(folder: str | os.PathLike[str], entry: str) -> str:
    """The module `entry`, and all that it imports, as one script.

    Each module becomes a function that is called once, after those that it imports: its names are
    its own, and what it exports is what its function returns.

    Args:
        folder: Folder of the modules.
        entry: File name of the module in it that is run last.

    Returns:
        Text of a script of type "module".

    Raises:
        ValueError: Modules import each other in a circle, a module or an export is missing, or a
            statement is of a kind that such a script cannot hold.
    """
    lines = ["const modules = {};"]
    for module in modules_of(folder, entry):
        files = [f"modules[{json.dumps(file)}]" for file, _ in module.imports]
        patterns = [_braces(taken) for _, taken in module.imports]
        lines += [
            f"modules[{json.dumps(module.name)}] = (({', '.join(patterns)}) => {{",
            short(module.code),
            f"return {_braces(module.exports.items())};",
            f"}})({', '.join(files)});",
        ]
    return "\n".join(lines)


def _braces(pairs):
    """Pairs of names as an object, or as a pattern that takes it apart."""
    if isinstance(pairs, str):
        return pairs
    names = (there if there == here else f"{there}: {here}" for there, here in pairs)
    return f"{{ {', '.join(names)} }}"


def modules_of(folder: str | os.PathLike[str], entry: str) -> list[Module]:
    """The `Module` of `entry` and of all that it imports, each after those that it imports."""
    found: dict = {}
    chain: list = []

    def visit(name):
        if name in chain:
            circle = " -> ".join([*chain[chain.index(name) :], name])
            raise _refusal("modules that do not import each other in a circle", circle)
        if name in found:
            return
        chain.append(name)
        path = pathlib.Path(folder, name)
        if not path.is_file():
            raise _refusal("imports of files that are there", " -> ".join(chain))
        module = read_module(name, path.read_text("utf-8"))
        for file, taken in module.imports:
            visit(file)
            for there, _ in taken if isinstance(taken, list) else ():
                if there not in found[file].exports:
                    raise _refusal("imports of what is exported", f"{there} of {file} in {name}")
        chain.pop()
        found[name] = module

    visit(entry)
    return list(found.values())


def _refusal(expected, received):
    return ValueError(
        f"`one_script` expects {expected}. Received: {received}. Change the text of the module."
    )


def read_module(name: str, text: str) -> Module:
    """The `Module` of a text."""
    code, module = blanked(text), Module(name)
    parts, end = [], 0
    variables = set()
    for found in _at_top(code):
        if found[0] == "await":
            raise _refusal("modules that wait for nothing", f"await in {name}")
        if found["name"]:
            variables.add(found["name"])
            continue
        parts.append(text[end : found.start()])
        end, instead = _note(module, text, code, found.start())
        parts.append(instead)
    module.code = "".join([*parts, text[end:]])
    for changing in variables & set(module.exports.values()):
        raise _refusal("exports that do not change", f"the variable {changing} of {name}")
    return module


def blanked(text: str) -> str:
    """The text with blanks for comments and within strings, templates and regular expressions.

    Example:

    >>> blanked("a = 'import b' / 2; // import c")
    "a = '        ' / 2;            "
    """
    code = list(text)
    _blank(text, code, 0)
    return "".join(code)


def short(text: str) -> str:
    r"""The text without comments, indentation and empty lines; what strings hold stays.

    Example:

    >>> short("let a = 'b  // c'; // d\n\n  f(`\n  e`);")
    "let a = 'b  // c';\nf(`\n  e`);"
    """
    spots: list = []
    _blank(text, list(text), 0, spots=spots)
    parts, end = [], 0
    for start, stop in [*spots, (len(text), len(text))]:
        part = re.sub(r"[ \t]*\n\s*", "\n", text[end:start])
        parts.append(part.rstrip(" \t") if text.startswith("//", start) else part)
        if not COMMENT.match(text, start):
            parts.append(text[start:stop])
        elif text.startswith("/*", start):
            parts.append(" ")
        end = stop
    return "".join(parts).strip()


def _blank(text, code, position, nested=False, spots=None):
    """Blank the code from a position on, or a part in braces there; where that ends.

    `spots` takes where what is no code begins and ends.
    """
    depth = 0
    while position < len(text):
        end = _end_of_text(text, code, position)
        if end is None:
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            position += 1
        else:
            if spots is not None:
                spots.append((position, end))
            margin = 0 if COMMENT.match(text, position) else 1  # the quotes stay
            for k in range(position + margin, end - margin):
                code[k] = text[k] if text[k] == "\n" else " "
            position = end
        if nested and depth == 0:
            break
    return position


def _end_of_text(text, code, position):
    """Where what begins here ends, if it is no code."""
    letter = text[position]
    if letter == "`":
        return _end_of_template(text, code, position + 1)
    found = COMMENT.match(text, position) or STRING.match(text, position)
    if letter == "/" and not found:
        before = position
        while before and code[before - 1].isspace():
            before -= 1
        before = "".join(code[max(0, before - 12) : before])
        if not VALUE.search(before) or WORDS.search(before):
            found = REGEX.match(text, position)
    return found.end() if found else None


def _end_of_template(text, code, position):
    while position < len(text) and text[position] != "`":
        if text.startswith("${", position):
            position = _blank(text, code, position + 1, nested=True)
        else:
            position += 2 if text[position] == "\\" else 1
    return position + 1


def _at_top(code):
    """The tokens outside of all brackets."""
    depth = 0
    for found in TOKENS.finditer(code):
        if found[0] in "([{)]}":
            depth += 1 if found[0] in "([{" else -1
        elif depth == 0:
            yield found


def _note(module, text, code, start):
    """Note what a statement imports or exports; where it ends, and what stays in its place."""
    if found := IMPORT.match(code, start):
        file = text[slice(*found.span("file"))]
        if not file.startswith("."):
            raise _refusal("imports of files", f"{file} in {module.name}")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(module.name), file))
        pairs = [("default", found["default"])] if found["default"] else []
        module.imports.append((file, pairs + _pairs(module, found["names"] or "")))
        if found["all"]:
            module.imports.append((file, found["all"]))
        return found.end(), "\n"
    if found := EXPORT_NAMES.match(code, start):
        module.exports |= {there: here for here, there in _pairs(module, found["names"])}
        return found.end(), "\n"
    if found := EXPORT_DEFAULT.match(code, start):
        return _note_default(module, text, found)
    if found := EXPORT_HERE.match(code, start):
        module.exports[found["name"]] = found["name"]
        return found.end(), ""
    line = text[start:].split("\n")[0]
    raise _refusal("imports of names, and exports of const, function or class", line)


def _note_default(module, text, found):
    """A function and a class keep or get a name; another value becomes a constant."""
    new = "exported"
    while new in text:
        new += "_"
    kind, name = found["kind"], found["name"] or ""
    module.exports["default"] = name.strip() if kind and name else new
    if kind is None:
        return found.end() - len(name), f"const {new} = "
    return found.end(), f"{kind} {module.exports['default']}"


def _pairs(module, names):
    """The pairs of names in braces, the same name twice where there is no "as"."""
    parts = [part.strip() for part in names.split(",")]
    found = [PAIR.fullmatch(part) for part in parts if part]
    if not all(found):
        raise _refusal("names in braces", f"{{{names}}} in {module.name}")
    return [(each[1], each[2] or each[1]) for each in found if each]
