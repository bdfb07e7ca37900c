"""What the styles of a DOCX document hide or shift, and what its rows of tables and its drawings hide."""

from __future__ import annotations

from dualtrack.knowledge.parsing.elements import Node, child, inherited, is_on, name, value

DELETED = "text that tracked changes delete"


def styles(sheet: Node) -> dict[str, bool]:
    """Return whether text is hidden by the names of its styles, also of those made from others; of all text by ""."""
    base = _bases(sheet)
    own = {value(it, "styleId") or "": said for it in sheet if (said := by_properties(child(it, "rPr"))) is not None}
    found = {"": by_properties(child(sheet, "docDefaults", "rPrDefault", "rPr")) is True}
    for it in sheet:
        if name(it) == "style" and value(it, "type") == "paragraph" and value(it, "default") in ("1", "true", "on"):
            found[""] = own.get(value(it, "styleId") or "", found[""])
    return found | inherited(own, base)


def shifts(sheet: Node) -> dict[str, str]:
    """Return `superscript`, `subscript` or `baseline` by the names of the styles that say one of them."""
    own = {value(it, "styleId") or "": value(child(it, "rPr", "vertAlign")) for it in sheet if name(it) == "style"}
    return inherited({style: said for style, said in own.items() if said}, _bases(sheet))


def _bases(sheet: Node) -> dict[str, str]:
    """Return the style that each style is made from, by their names; empty where there is none."""
    return {value(it, "styleId") or "": value(child(it, "basedOn")) or "" for it in sheet if name(it) == "style"}


def by_properties(properties: Node | None) -> bool | None:
    """Return whether properties of text hide it; None where they do not say."""
    said = [it for which in ("vanish", "webHidden") if (it := child(properties, which)) is not None]
    return any(is_on(it) for it in said) if said else None


def row(node: Node) -> str:
    """Return why a row or cell of a table is left out; empty where it is not."""
    if is_on(child(node, "trPr", "hidden")):
        return "hidden text"
    deleted = child(node, "trPr", "del") is not None or child(node, "tcPr", "cellDel") is not None
    return DELETED if deleted else ""


def is_shape(node: Node) -> bool:
    """Tell whether a drawing or shape is hidden, with the text in it."""
    if name(node) in ("docPr", "cNvPr", "anchor") and value(node, "hidden") in ("1", "true", "on"):
        return True
    style = (value(node, "style") or "").lower().replace(" ", "")
    return name(node) in ("shape", "rect", "group", "roundrect", "oval") and "visibility:hidden" in style
