#!/usr/bin/env python3
"""Prepare the documentation site for Zensical, or check what it built: `docs_site.py prepare|check DIRECTORY`.

`prepare` writes one project per language, DIRECTORY/{en,zh}: Markdown and a configuration with the navigation. The
READMEs of roles and Terraform modules become pages. Links between the languages become HTML; a link to any other file
of the repository becomes that file's path as text. `check` follows every link of the built site, and fails where a page
would load something from another host.
"""

from __future__ import annotations

import json
import posixpath
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = {
    "en": {"tutorial": "Tutorial", "how-to": "How-to guides", "reference": "Reference", "explanation": "Explanation",
           "adr": "Decisions"},
    "zh": {"tutorial": "教程", "how-to": "操作指南", "reference": "参考", "explanation": "原理说明", "adr": "设计决策"},
}  # fmt: skip
NAMES = {"en": "English", "zh": "中文"}
THEME = """
[project.theme]
language = "{language}"
font = false
features = [
  "content.code.copy", "navigation.footer", "navigation.indexes", "navigation.path", "navigation.prune",
  "navigation.tabs", "navigation.top", "search.highlight", "toc.follow",
]
[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"
toggle.icon = "lucide/sun"
toggle.name = "{dark}"
[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"
toggle.icon = "lucide/moon"
toggle.name = "{light}"
"""
#: Code is left alone; then the text and the target of a link.
LINK = re.compile(
    r"^```.*?^```[ ]*$|`[^`\n]+`|(?P<image>!?)\[(?P<text>(?:[^\[\]`]|`[^`]*`)*)\]\((?P<target>[^)\s]+)\)", re.M | re.S
)


def pages(language: str) -> dict[str, str]:
    """Return the Markdown files of a language, relative to the repository, with their paths in the site's sources."""
    if language == "zh":
        return {f"docs/zh/{path}": path for path in _markdown(ROOT / "docs/zh")}
    found = {f"docs/{path}": path for path in _markdown(ROOT / "docs") if not path.startswith("zh/")}
    for kind, directory in (("roles", "roles"), ("modules", "terraform/modules")):
        for readme in sorted((ROOT / directory).glob("*/README.md")):
            found[f"{directory}/{readme.parent.name}/README.md"] = f"reference/{kind}/{readme.parent.name}.md"
    return found


def _markdown(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*.md"))


def rewritten(source: str, language: str, problems: list[str]) -> str:
    """Return the page with its links as they are in the site; what leads nowhere is added to ``problems``."""
    own = pages(language)
    other = pages("zh" if language == "en" else "en")
    up = "../" if language == "zh" else "zh/"
    here = posixpath.dirname(own[source])

    def link(match: re.Match[str]) -> str:
        target, text = match["target"], match["text"]
        if target is None or re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if f"{path}/README.md" in own or f"{path}/README.md" in other:
            path += "/README.md"
        anchor = f"#{anchor}" if anchor else ""
        if path in own:
            return f"{match['image']}[{text}]({posixpath.relpath(own[path], here or '.')}{anchor})"
        if path in other:
            page = PurePosixPath(other[path]).with_suffix(".html")
            page = page.with_name("index.html") if page.name == "README.html" else page
            url = posixpath.relpath(posixpath.join(up, str(page)), here or ".")
            return f'<a href="{url}{anchor}">{text}</a>'
        if not (ROOT / path).exists():
            problems.append(f"{source}: {target} does not exist")
        return text if path in text else f"{text} (`{path}`)"

    return LINK.sub(link, (ROOT / source).read_text(encoding="utf-8"))


def title(source: str) -> str:
    """Return the first heading of a page, as plain text."""
    found = re.search(r"^# (.+)$", (ROOT / source).read_text(encoding="utf-8"), re.M)
    return found[1].replace("`", "") if found else PurePosixPath(source).stem


def navigation(language: str) -> list[dict[str, object]]:
    """Return the navigation: the entry page, the sections in their order, then the other pages of the top level.

    Where a section has an index (README.md), its pages are in the index's order, grouped by its headings.
    """
    sources = {path: source for source, path in pages(language).items()}
    found: list[dict[str, object]] = [{title(sources["index.md"]): "index.md"}]
    for section, name in SECTIONS[language].items():
        if children := list(_children(section, sources)):
            found.append({name: children})
    rest = sorted(path for path in sources if "/" not in path and path != "index.md")
    return found + [{title(sources[path]): path} for path in rest]


def _children(section: str, sources: dict[str, str]) -> Iterator[object]:
    inside = [path for path in sources if posixpath.dirname(path) == section]
    index = f"{section}/README.md"
    if index in inside:
        yield index
        inside.remove(index)
        groups: list[tuple[str, list[object]]] = [("", [])]
        text = (ROOT / sources[index]).read_text(encoding="utf-8")
        for heading, name in re.findall(r"^## (.+)$|\]\(([\w.-]+\.md)\)", text, re.M):
            if heading:
                groups.append((heading, []))
            elif (path := f"{section}/{name}") in inside:
                inside.remove(path)
                groups[-1][1].append({title(sources[path]): path})
        for heading, entries in groups:
            yield from [{heading: entries}] if heading and entries else entries
    for path in inside:
        yield {title(sources[path]): path}
    if section == "reference":
        for below, name in (("roles", "Roles"), ("modules", "Terraform modules")):
            if children := list(_children(f"{section}/{below}", sources)):
                yield {name: children}


def toml(value: object) -> str:
    """Return lists, tables with one key, and strings as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)} = {toml(it)}" for key, it in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(it) for it in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def prepare(build: Path) -> list[str]:
    """Write both projects below ``build``; return what is wrong with links."""
    problems: list[str] = []
    for language in SECTIONS:
        for source, path in pages(language).items():
            target = build / language / "docs" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(rewritten(source, language, problems), encoding="utf-8")
        lines = ["[project]", 'site_name = "dualtrack documentation"', "use_directory_urls = false"]
        lines += [f"nav = {toml(navigation(language))}"]
        dark, light = ("切换到深色模式", "切换到浅色模式") if language == "zh" else ("Dark mode", "Light mode")
        lines += [THEME.format(language=language, dark=dark, light=light)]
        for other, name in NAMES.items():
            below = "./" if other == language else "zh/" if other == "zh" else "../"
            lines += ["[[project.extra.alternate]]", f'name = "{name}"', f'lang = "{other}"']
            lines += [f'link = "{below}index.html"']
        (build / language / "zensical.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return problems


class Page(HTMLParser):
    """What a built page links to (`href` of anchors), and what it loads automatically."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the links and names of one element."""
        known = {name: value for name, value in attrs if value is not None}
        self.anchors |= {known[name] for name in ("id", "name") if name in known}
        if "href" in known:
            (self.links if tag == "a" else self.loads).append(known["href"])
        if "src" in known:
            self.loads.append(known["src"])


def check(site: Path) -> list[str]:
    """Return the links of the site that lead nowhere, and what its pages would load from another host."""
    built = {path.relative_to(site).as_posix(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    problems = []
    for name, page in built.items():
        if posixpath.basename(name) == "404.html":
            continue
        problems += [f"{name} loads {url}" for url in page.loads if urlsplit(url).netloc]
        for url in {*page.links, *page.loads}:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = name
            if parts.path:
                target = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path)))
            if target not in built:
                if not (site / target).is_file():
                    problems.append(f"{name}: {url} does not exist")
            elif unquote(parts.fragment) not in built[target].anchors and not parts.fragment.startswith("__"):
                problems.append(f"{name}: {url}: no such heading")
    return sorted(problems)


def main() -> None:
    """Do what the first argument says, in the directory that the second one names."""
    action, place = sys.argv[1], Path(sys.argv[2]).resolve()
    if problems := (prepare if action == "prepare" else check)(place):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
