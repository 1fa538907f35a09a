"""Modules as one script: the same as the modules themselves, in a real Chromium."""

import json
import re

import pytest

from helpers.browser import chromium, console_errors, wait
from helpers.served import served
from tensorboard_plugin_valleys import assets, bundle

# Statements in all the forms that people and formatters write, and texts that look like some.
MODULES = {
    "main.js": """\
import first, {
  number, // the import of "a comment"
  title as heading,
  default as /* from "./nothing.js" */ again,
}
  from
  "./words.js";
import * as solids from './deep/solids.js'; import "./effects.js"
import {} from "./effects.js";
import plain from "./plain.js";
import Shape, * as shapes from "./shapes.js";
import{minified}from"./minified.js";
const local = "main";
globalThis.log.push("main");
globalThis.result = [
  first(1), again === first, number, heading("x"), local, solids.local(), solids.default,
  Object.keys(solids).sort(), plain, new Shape().name, shapes.Round.sides, minified(2),
  Object.keys(shapes).sort(), globalThis.log,
];
""",
    "words.js": r"""// import { number } from "./nothing.js";
/* export const local = 0;
export default 3; */
import { local as other, ratio } from "./deep/solids.js";
export const number = 8 / 2 / ratio, text = `
import { a } from "./nothing.js";
export const hidden = ${[`${"}"}`, { a: 1 }["a"], /[`/"}]/.test("`")].join(`
export default 1;
`)};
`;
const local = /^import ['"`{]/.exec("import {") ? "words" : 'no "import"\
export { local };';
function title(name) {
  const exports = { import: 1, export: "2" };
  return [name, local, other(), text, exports.import, exports
    .export, await_(3)];
}
function await_(value) { return value; }
export { title, local as
  mine, await_, };
export default function (value) {
  return value + number;
}
[1, 2].forEach((value) => globalThis.log.push(value / 1 /* / */ / 2));
""",
    "deep/solids.js": """import * as effects from "../effects.js"
const local = () => "solids";
export { local, effects as default }
export const ratio = 2
export async function later() {}
export function* several() {}
globalThis.log.push("solids")
""",
    "effects.js": "(globalThis.log ??= []).push('effects');\nlet local = 5;\nlocal += 1;\n",
    "plain.js": "const exported = 1;\nexport default\n  [exported, 'plain'].join();",
    "shapes.js": """\
export class Round { static sides = 0; static make = () => import.meta && new Round(); }
export default class extends Round { get name() { return "shape"; } }
""",
    "minified.js": "const a=(b)=>b/2;export{a as minified};",
}


def write(folder, texts):
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def test_the_script_does_what_the_modules_do(tmp_path):
    write(tmp_path, MODULES)
    page = '<!DOCTYPE html><link rel="icon" href="data:,"><script type="module"'
    (tmp_path / "modules.html").write_text(f'{page} src="main.js"></script>', "utf-8")
    script = bundle.one_script(tmp_path, "main.js")
    (tmp_path / "script.html").write_text(f"{page}>\n{script}\n</script>", "utf-8")
    results, ask = [], "return globalThis.result && JSON.stringify(globalThis.result)"
    with served(tmp_path) as url, chromium() as browser:
        for name in ("modules", "script"):
            browser.get(f"{url}/{name}.html")
            results.append(wait(lambda: browser.execute_script(ask), f"the result of {name}"))
            assert console_errors(browser) == []
    assert results[0] == results[1]
    values = json.loads(results[0])
    assert values[:3] == [3, True, 2] and values[3][:3] == ["x", "words", "solids"]
    assert values[-1] == ["effects", "solids", 0.5, 1, "main"]


def names(folder, entry):
    return [module.name for module in bundle.modules_of(folder, entry)]


def test_each_module_stands_after_those_that_it_imports(tmp_path):
    write(tmp_path, MODULES)
    found = names(tmp_path, "main.js")
    expected = ["effects.js", "deep/solids.js", "words.js", "plain.js", "shapes.js"]
    assert found == [*expected, "minified.js", "main.js"]
    assert names(tmp_path, "words.js") == ["effects.js", "deep/solids.js", "words.js"]


def test_the_view_is_in_the_order_of_its_imports():
    found = names(assets.STATIC, "page.js")
    assert {path.name for path in assets.STATIC.glob("*.js")} == {*found, "index.js"}
    for place, name in enumerate(found):
        text = (assets.STATIC / name).read_text("utf-8")
        assert set(re.findall(r'^import [^;]*"\./(.*)";', text, re.MULTILINE)) <= set(found[:place])


def refuse(folder, message, **texts):
    write(folder, {f"{name}.js": text for name, text in texts.items()})
    with pytest.raises(ValueError, match=re.escape(message)):
        bundle.one_script(folder, "a.js")


def test_a_circle_is_refused_with_its_modules(tmp_path):
    texts = {"a": 'import "./b.js"', "b": 'import { x } from "./c.js"', "c": 'import "./b.js"'}
    message = "import each other in a circle. Received: b.js -> c.js -> b.js. "
    refuse(tmp_path, message, **texts)
    refuse(tmp_path, "Received: a.js -> a.js. ", a='import "./a.js";')


def test_modules_may_be_imported_twice(tmp_path):
    texts = {"a": 'import "./b.js";import "./c.js";', "b": 'import "./c.js"', "c": ""}
    write(tmp_path, {f"{name}.js": text for name, text in texts.items()})
    assert names(tmp_path, "a.js") == ["c.js", "b.js", "a.js"]


@pytest.mark.parametrize(
    "text, message",
    [
        ('import { x } from "./b.js";', "Received: x of b.js in a.js"),
        ('import x from "./b.js";', "Received: default of b.js in a.js"),
        ('import "./nowhere.js";', "files that are there. Received: a.js -> nowhere.js"),
        ('import x from "elsewhere";', "imports of files. Received: elsewhere in a.js"),
        ('import x from "./b.js" with { type: "json" };', "Received: import x from"),
        ('import { "x y" as z } from "./b.js";', "names in braces"),
        ('export * from "./b.js";', 'Received: export * from "./b.js";'),
        ('export { y } from "./b.js";', 'Received: export { y } from "./b.js";'),
        ("export let x = 1;", "Received: export let x = 1;"),
        ("export const { x } = {};", "Received: export const { x } = {};"),
        ("let x = 1; export { x };", "exports that do not change. Received: the variable x"),
        ("const x = await y;", "modules that wait for nothing. Received: await in a.js"),
    ],
)
def test_what_one_script_cannot_hold_is_refused(tmp_path, text, message):
    refuse(tmp_path, message, a=text, b="export const y = 1;")


def test_a_variable_within_a_function_is_no_export(tmp_path):
    text = "export function low() { let low = 1; return low; }"
    write(tmp_path, {"a.js": text})
    assert "({}) => {" not in bundle.one_script(tmp_path, "a.js")
    assert "return { low };" in bundle.one_script(tmp_path, "a.js")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a / b / c", "a / b / c"),
        ("(a) / 'b' / c", "(a) / ' ' / c"),
        ("x = /'/", "x = / /"),
        ("return /[/']/g", "return /    /g"),
        ("returned /'b'/ 2", "returned /' '/ 2"),
        ("`a${b}` / '`'", "`     ` / ' '"),
        ("`${`}`}` + '}'", "`      ` + ' '"),
        ("'\\'' // '", "'  '     "),
        ("a /* ' \n*/ / 'b'", "a      \n   / ' '"),
    ],
)
def test_what_is_no_code_is_blank(text, expected):
    assert bundle.blanked(text) == expected
