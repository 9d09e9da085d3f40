"""The second implementation stands alone, and the vectors are what it makes."""

import ast
from pathlib import Path

import pytest

from tests.second import curve, make_vectors, protocol

MODULES = [curve, protocol, make_vectors]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_it_imports_nothing_of_the_first(module):
    tree = ast.parse(Path(module.__file__).read_text())
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert imported
    assert not [name for name in imported if name.startswith("p2pd") or "nacl" in name]


def test_the_vectors_are_what_it_makes():
    assert make_vectors.FILE.read_text() == make_vectors.vectors()
