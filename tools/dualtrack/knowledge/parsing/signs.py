"""Signs of a DOCX document that are not text in it: symbols of fonts, fields of forms, and parts of formulas."""

from __future__ import annotations

from collections.abc import Callable

from dualtrack.knowledge.parsing.elements import Node, child, is_on, name, value

#: Symbols by the number of their character, from the first one on; `\\0` for none.
_SYMBOL = (
    " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧ∆ΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"
    + "\0" * 33 + "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪\0〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭"
)  # fmt: skip
_FIRST = 0x20
SYMBOLS = {
    "symbol": {_FIRST + at: it for at, it in enumerate(_SYMBOL) if it != "\0"},
    "wingdings": {
        0x20: " ", 0x28: "☎", 0x29: "✆", 0x2A: "✉", 0x46: "☞", 0x4A: "☺", 0x4C: "☹", 0x6C: "●", 0x6D: "❍", 0x6E: "■",
        0x6F: "□", 0x70: "❐", 0x71: "❑", 0x72: "❒", 0x75: "◆", 0x76: "❖", 0x77: "◆", 0x78: "☒", 0x7C: "❁", 0x9F: "•",
        0xA1: "○", 0xA4: "◉", 0xA7: "▪", 0xA8: "□", 0xAB: "★", 0xD8: "➢", 0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓",
        0xEF: "⇦", 0xF0: "⇨", 0xF1: "⇧", 0xF2: "⇩", 0xF3: "⇔", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑",
        **{0x80 + at: it for at, it in enumerate("⓪①②③④⑤⑥⑦⑧⑨⑩⓿❶❷❸❹❺❻❼❽❾❿")},
    },
    "wingdings 2": {
        0x20: " ", 0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0x97: "●", 0x98: "●", 0x99: "●",
        0xA0: "■", 0xA1: "■", 0xA2: "■", 0xA3: "□", 0xA4: "□", 0xA5: "□", 0x81: "○", 0x95: "•", 0x96: "•",
    },
    "wingdings 3": {0x20: " ", 0x66: "←", 0x67: "→", 0x68: "↑", 0x69: "↓", 0x7D: "▶", 0x84: "◀", 0x70: "▲", 0x71: "▼"},
    "webdings": {0x20: " ", 0x61: "✓", 0x63: "□", 0x67: "■", 0x6E: "●", 0x72: "✗", 0xC9: "☎"},
}  # fmt: skip
#: Fonts of symbols have their characters here as well.
_PRIVATE, _PRIVATE_END = 0xF000, 0xF0FF
TICKED = {True: "☑", False: "☐"}


def symbol(node: Node) -> str | None:
    """Return the character of a symbol of a font, or None where it is not known."""
    font, number = (value(node, "font") or "").lower(), value(node, "char") or ""
    try:
        code = int(number, 16)
    except ValueError:
        return None
    if _PRIVATE <= code <= _PRIVATE_END:
        code -= _PRIVATE
    elif font not in SYMBOLS and 0x20 <= code <= 0xFFFF and not 0xD800 <= code <= 0xF8FF:
        return chr(code)
    return SYMBOLS.get(font, {}).get(code)


def of_form(node: Node) -> str:
    """Return what a field of a form shows that has no text of its own: what was chosen, or whether it is ticked."""
    box, choices = child(node, "ffData", "checkBox"), child(node, "ffData", "ddList")
    if box is not None:
        said = child(box, "checked")
        return TICKED[is_on(said if said is not None else child(box, "default"))]
    if choices is None:
        return ""
    entries = [value(it) or "" for it in choices if name(it) == "listEntry"]
    chosen = value(child(choices, "result")) or value(child(choices, "default")) or "0"
    return entries[int(chosen)] if chosen.isdecimal() and int(chosen) < len(entries) else ""


def _grouped(said: str) -> str:
    return said if len(said) < 2 or said.isalnum() else f"({said})"


def _character(node: Node, properties: str, which: str, default: str) -> str:
    said = value(child(node, properties, which))
    return default if said is None else said


def formula(node: Node, said: Callable[[Node], str]) -> str | None:
    """Return a part of a formula on one line, or None where its texts say all; ``said`` is what is in an element."""
    if not str(node.tag).partition("}")[0].endswith("/math"):
        return None

    def of(which: str) -> str:
        return "".join(said(it).strip() for it in node if name(it) == which)

    kind = name(node)
    if kind == "f":
        return f"{_grouped(of('num'))}/{_grouped(of('den'))}"
    if kind in ("sSup", "sSub", "sSubSup", "sPre"):
        return of("e") + "".join(
            f"{sign}{_grouped(it)}" for sign, which in (("_", "sub"), ("^", "sup")) if (it := of(which))
        )
    if kind == "rad":
        return f"{of('deg')}√{_grouped(of('e'))}"
    if kind == "nary":
        limits = "".join(f"{sign}{_grouped(it)}" for sign, which in (("_", "sub"), ("^", "sup")) if (it := of(which)))
        return f"{_character(node, 'naryPr', 'chr', '∫')}{limits} {of('e')}"
    if kind == "d":
        inner = _character(node, "dPr", "sepChr", "|").join(said(it) for it in node if name(it) == "e")
        return f"{_character(node, 'dPr', 'begChr', '(')}{inner}{_character(node, 'dPr', 'endChr', ')')}"
    if kind in ("acc", "groupChr"):
        return of("e") + _character(node, f"{kind}Pr", "chr", "\u0302" if kind == "acc" else "⏟")
    if kind in ("m", "eqArr"):
        return "; ".join((formula(it, said) or said(it)).strip() for it in node if name(it) in ("mr", "e"))
    if kind == "mr":
        return " ".join(said(it).strip() for it in node if name(it) == "e")
    return None
