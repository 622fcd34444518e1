"""A script is split into cells, and a parameter's value replaces one right side and nothing else."""

import ast
import re

import pytest

from app.tensors import scripts
from app.tensors.catalogue import DEMOS

TEXT = '''"""A title

A summary that goes
over two lines.
"""

# %% Setup
# It explains,
# and goes on.
import torch

rows = 5  # behind it
word = "é"
rows_again = rows

# %% Second [withheld: x, y] [graph: loss]
# Why.

# A comment of the code.
def double(x: int) -> int:
    """Not a cell."""
    rows = x
    return 2 * rows


print(double(rows))
'''


def test_a_script_becomes_cells() -> None:
    """Title, explanation, code, marks, and the line where the code begins."""
    script = scripts.parse(TEXT)
    assert (script.title, script.summary) == ("A title", "A summary that goes over two lines.")
    first, second = script.cells
    assert (first.title, first.explanation) == ("Setup", "It explains, and goes on.")
    assert first.code.startswith("import torch\n\nrows = 5  # behind it\n")
    assert (first.withheld, first.graph) == (frozenset(), None)
    assert (second.title, second.explanation) == ("Second", "Why.")
    assert second.code.startswith("# A comment of the code.\ndef double(")
    assert second.code.endswith("print(double(rows))")
    assert (second.withheld, second.graph) == (frozenset({"x", "y"}), "loss")
    lines = TEXT.splitlines()
    assert lines[first.first_line - 1] == "import torch"
    assert lines[second.first_line - 1] == "# A comment of the code."


def test_one_right_side_is_replaced() -> None:
    """The comment behind it stays, and so do assignments of the same name in other cells."""
    changed = scripts.replaced(scripts.parse(TEXT), {"rows": "12", "word": '"zwölf"'})
    assert changed.text == TEXT.replace("rows = 5", "rows = 12").replace('"é"', '"zwölf"')
    assert scripts.assigned(changed) == {"rows": "12", "word": "'zwölf'", "rows_again": "rows"}
    assert changed.cells[0].code.splitlines()[2] == "rows = 12  # behind it"


@pytest.mark.parametrize("demo", DEMOS)
def test_every_demo_is_made_for_a_reader(demo: str) -> None:
    """A title, a summary, and in each cell an explanation of two sentences at least; no title comes twice."""
    script = scripts.read(demo)
    assert script.title
    assert not script.title.endswith(".")
    assert script.summary.endswith(".")
    titles = [cell.title for cell in script.cells]
    assert titles[0] == "Setup"
    assert len(set(titles)) == len(titles) >= 5
    for cell in script.cells:
        assert len(re.findall(r"[.?](?: |$)", cell.explanation)) >= 2, cell.title
        assert cell.code, cell.title


@pytest.mark.parametrize("demo", DEMOS)
def test_the_cells_are_the_script(demo: str) -> None:
    """Their code, one after the other, is the program, without its docstring."""
    script = scripts.read(demo)
    whole = ast.parse(script.text)
    del whole.body[0]
    assert ast.dump(ast.parse("\n".join(cell.code for cell in script.cells))) == ast.dump(whole)


@pytest.mark.parametrize("demo", DEMOS)
def test_no_demo_changes_the_process(demo: str) -> None:
    """Whatever sets a seed, an option or a default for everybody is not called."""
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(scripts.read(demo).text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if not isinstance(node.func.value, ast.Call)  # a generator's own manual_seed
    }
    assert not {name for name in called if name.startswith("set_") or name in {"manual_seed", "seed", "chdir"}}


@pytest.mark.parametrize("demo", DEMOS)
def test_empty_memory_is_withheld_or_filled(demo: str) -> None:
    """A cell that reserves memory without filling it names it as withheld, or hands it in as `out=`."""
    for cell in scripts.read(demo).cells:
        tree = ast.parse(cell.code)
        empty = {
            ast.unparse(node.targets[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and re.search(r"\b(new_)?empty(_like|_strided)?\(", ast.unparse(node))
        }
        filled = {
            ast.unparse(keyword.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            for keyword in node.keywords
            if keyword.arg == "out"
        }
        assert empty <= cell.withheld | filled
        assert len(empty) == len(re.findall(r"empty(?:_like|_strided)?\(", cell.code))
