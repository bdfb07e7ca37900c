"""Tables as people lay them out: rows above the names of columns, several such rows, names of any form."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

Grid = list[list[str]]
#: Names of columns, and values that the rules find after them.
NAMED = {
    "护照号": "E12345678", "登录密码": "Abc12345", "手机": "62345678", "出生日期": "1990-03-07",
    "账号": "1234567890123456",
    "病历号": "1234567", "微信号": "abc_12345", "社保号": "123456789", "QQ": "12345678", "统一编号": "04595257",
    "護照號碼": "E87654321", "密碼：": "Xyz98765", "联系电话": "62345679", "Passport No.": "K12345678",
    "password": "Qwe45678", "IMEI": "352099001761481", "Phone": "62345670",
}  # fmt: skip
PLAIN = {
    "系统": ["OA", "邮箱", "采购平台"],
    "用途": ["测试", "生产", "无"], "状态": ["启用", "停用", "是"], "备注": ["无", "每月更换", "项目"],
    "部门": ["财务部", "研发", "人事"], "序号": ["1", "2", "3"],
}  # fmt: skip
#: What may be above the names of columns.
ABOVE: dict[str, Grid] = {
    "nothing": [], "title": [["系统账号一览表"]], "title and blank": [["系统账号一览表"], []],
    "two titles": [["通讯录"], ["单位：某某公司"]], "pair": [["服务器账号表", "2024-01-02"]],
    "label and value": [["制表部门：", "信息部"]], "pairs": [["编制", "李雷", "日期", "2024-01-02"]],
    "pairs that name": [["联系人", "李雷", "用途", "密码"]], "note": [["注：以下信息请勿外传，违者按规定处理"]],
    "title and pairs": [["密码表"], ["编制", "李雷", "审核", "韩梅"]],
}  # fmt: skip
#: How the name of a column may be written.
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": lambda it: it,
    "broken": lambda it: f"{it[:2]}\n{it[2:]}" if len(it) > 2 else it,
    "in brackets": lambda it: f"{it.rstrip('：')}（初始）",
    "in latin brackets": lambda it: f"{it.rstrip('：')} (OA)",
    "below": lambda it: f"{it.rstrip('：')}\n(必填)",
    "starred": lambda it: f"{it} *",
    "bold": lambda it: f"**{it}**",
}
#: Which columns have names that personal data is found after.
WHERE = ("first", "last", "between", "all", "alone and no corner")


def _width(grid: Grid) -> Grid:
    wide = max(map(len, grid))
    return [[*row, *[""] * (wide - len(row))] for row in grid]


def _section(chance: random.Random, where: str, deep: int, write: Callable[[str], str]) -> tuple[Grid, list[str]]:
    """Return names of columns with rows below them, and which of the values are personal data."""
    secret = chance.sample([*NAMED], 2 if where in ("between", "all") else 1)
    plain = chance.sample([*PLAIN], chance.randrange(1, 4))
    names = {
        "first": [*secret, *plain], "last": [*plain, *secret], "all": secret,
        "between": [plain[0], *secret, *plain[1:], "说明"], "alone and no corner": ["", *secret],
    }[where]  # fmt: skip
    rows = [
        [NAMED[it] if it in NAMED else chance.choice(PLAIN.get(it, ["甲", "乙", "丙"])) for it in names]
        for _ in range(deep)
    ]
    return [[write(it) if it in NAMED else it for it in names], *rows], [NAMED[it] for it in secret]


def layouts(seed: int) -> Iterator[tuple[str, Grid, list[str]]]:
    """Yield tables, each with words for its layout and the values that must not be left."""
    chance = random.Random(seed)
    for above, where, (how, write), deep in itertools.product(ABOVE, WHERE, WRITTEN.items(), (1, 2, 3)):
        section, secrets = _section(chance, where, deep, write)
        grid = [*ABOVE[above], *section]
        if stacked := chance.randrange(3) == 0:
            other, more = _section(chance, chance.choice(WHERE), chance.randrange(1, 3), WRITTEN["as it is"])
            grid, secrets = [*grid, *other], secrets + more
        grid += chance.choice([[], [], [["合计"]], [["说明：", "请及时修改"]]])
        yield f"{above}, {where}, {how}, {deep} rows{', stacked' if stacked else ''}", _width(grid), secrets


GROUPS = ("基本信息", "登录信息", "账号信息", "联系", "其他")
PARTS = (("旧", "新"), ("主", "备"), ("内网", "外网"), ("2023", "2024"), ("1", "2"))
KINDS = (
    "groups above", "parts below", "title and parts below", "names in rows", "names before each row", "notes between",
)  # fmt: skip


def stacked(seed: int, count: int) -> Iterator[tuple[str, Grid, list[str]]]:
    """Yield tables as `layouts` does: with names in two rows, in each second row, or beside the values."""
    chance = random.Random(seed)

    def value(name: str) -> str:
        return NAMED.get(name) or chance.choice(PLAIN[name])

    for kind, _ in itertools.product(KINDS, range(count)):
        secret = chance.sample([*NAMED], chance.randint(1, 3))
        names = secret + chance.sample([*PLAIN], chance.randint(1, 3))
        chance.shuffle(names)
        deep = range(chance.randint(1, 3))
        rows = [[value(it) for it in names] for _ in deep]
        grid = [names, *rows]
        if kind == "groups above":
            others = [chance.choice(("", *GROUPS)) for _ in names[1:]]
            grid = [[chance.choice(GROUPS), *others], *grid]
        elif "parts" in kind:
            parts = chance.choice(PARTS)
            wide = [it for it in names for _ in parts if it in secret or _ == parts[0]]
            first = [it if at == 0 or wide[at - 1] != it else "" for at, it in enumerate(wide)]
            below = [parts[not it] if of in secret else "" for it, of in zip(first, wide, strict=True)]
            grid = [["系统账号一览表"]] * (kind[0] == "t") + [first, below, *([value(it) for it in wide] for _ in deep)]
        elif kind == "names in rows":
            grid = [["", *"甲乙丙"[: len(rows)]], *([it, *(value(it) for _ in deep)] for it in names)]
        elif kind == "names before each row":
            grid = [it for row in rows for it in (names, row)]
        elif kind == "notes between":
            grid = [names, *(it for row in rows for it in (row, [chance.choice(("小计", "说明：", "财务部"))]))]
        yield kind, _width(grid), [NAMED[it] for it in secret]


#: Labels and their values that people write into the row of the names of columns, and which of them are personal data.
BESIDE = (
    (["联系电话", "62345671"], ["62345671"]), (["制表：", "李雷"], []), (["日期", "2024-03-15"], []),
    (["2024-03-15", "星期五"], []),
    (["编号", "HT-2024-001"], []), (["管理员密码", "Rty45678"], ["Rty45678"]),
    (["联系人", "李雷", "手机", "62345671"], ["62345671"]),
    (["Tel:", "62345671"], ["62345671"]),
)  # fmt: skip


def with_pairs(seed: int, count: int) -> Iterator[tuple[str, Grid, list[str]]]:
    """Yield tables as `layouts` does: labels and values stand before or behind the names of columns, in their row."""
    chance = random.Random(seed)
    for (pair, more), side, gap, _ in itertools.product(BESIDE, ("left", "right"), (0, 1), range(count)):
        where = chance.choice(("between", "all", "first", "last") if gap else ("between", "all"))
        (names, *rows), secrets = _section(chance, where, chance.randint(1, 3), WRITTEN["as it is"])
        below = [*[""] * (len(pair) - 2), *chance.choice((["部门", "财务"], ["", ""], ["备注", ""]))]
        space = [""] * gap
        if side == "left":
            grid = [[*pair, *space, *names], *([*below, *space, *it] for it in rows)]
        else:
            grid = [[*names, *space, *pair], *([*it, *space, *below] for it in rows)]
        grid = [*chance.choice(([], [["员工表"]])), *grid]
        yield f"{pair}, {side}, gap {gap}", _width(grid), secrets + more
