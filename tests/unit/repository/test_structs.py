"""A struct with more than three fields is made by the names of its fields: a swap of two floats is not silent."""

from __future__ import annotations

import ast

from dualtrack.core.paths import ROOT


def test_structs_of_more_than_three_fields_are_keyword_only() -> None:
    wrong = []
    for path in sorted((ROOT / "tools/dualtrack").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef) or "msgspec.Struct" not in [ast.unparse(it) for it in node.bases]:
                continue
            fields = [it for it in node.body if isinstance(it, ast.AnnAssign) and "ClassVar" not in ast.unparse(it)]
            said = {it.arg for it in node.keywords}
            if len(fields) > 3 and not said & {"kw_only", "array_like"}:
                wrong.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert wrong == []
