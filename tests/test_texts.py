"""Sentences are for people: no code of the workflow tests, cuts or matches what it says to them."""

import ast
from collections.abc import Iterator

import pytest
from small import ROOT

SAID = ("method", "reason", "note", "text", "title", "flags", "rule")  # columns and keys that hold sentences
TESTS = ("contains", "startswith", "endswith", "match", "fullmatch", "extract", "find")


def places(source: str) -> Iterator[int]:
    """Lines that look into a sentence: the message of a caught exception, or a column of sentences."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and node.name:
            yield from (inner.lineno for inner in ast.walk(node) if compares(inner, node.name))
        is_test = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TESTS
        if is_test and is_strings_of(node.func.value):
            yield node.lineno
        if isinstance(node, ast.Compare) and is_within_sentence(node):
            yield node.lineno


def compares(node: ast.AST, error: str) -> bool:
    """Whether an exception, or its text, is compared, or searched, as in `"empty" in str(error)`."""
    texts = {error, f"str({error})"}
    if isinstance(node, ast.Compare):
        return any(ast.unparse(side) in texts for side in (node.left, *node.comparators))
    is_test = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TESTS
    return is_test and ast.unparse(node.func.value) in texts


def is_strings_of(node: ast.AST) -> bool:
    """Whether it is `table["method"].str` of a column of sentences, `astype(str)` between them or not."""
    if not (isinstance(node, ast.Attribute) and node.attr == "str"):
        return False
    return any(said_by(inner) for inner in ast.walk(node.value))


def said_by(node: ast.AST) -> bool:
    """Whether it is `row["note"]` or `row.note`."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return node.slice.value in SAID
    return isinstance(node, ast.Attribute) and node.attr in SAID


def is_within_sentence(node: ast.Compare) -> bool:
    """Whether it is `"memory" in row.note`; signs, such as `";" in row.note`, are no words."""
    word, inside = node.left, node.comparators[0]
    is_word = isinstance(word, ast.Constant) and isinstance(word.value, str) and len(word.value) > 1
    return is_word and isinstance(node.ops[0], (ast.In, ast.NotIn)) and said_by(inside)


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    read()\nexcept ValueError as error:\n    if 'empty' in str(error):\n        pass",
        "try:\n    read()\nexcept ValueError as error:\n    found = str(error).startswith('no')",
        "weighted = table['method'].astype(str).str.contains('weighted')",
        "mark = '+' if 'memory' in row.note else ''",
        "known = 'Youden' not in model['cutpoint']['rule']",
    ],
)
def test_a_sentence_that_is_looked_into_is_found(source):
    assert list(places(source))


def test_no_code_looks_into_a_sentence():
    found = {str(path.relative_to(ROOT)): list(places(path.read_text())) for path in ROOT.glob("scripts/**/*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}
