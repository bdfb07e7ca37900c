"""Templates that are compiled once: the same results, nothing secret on disk, nothing lost with the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible._internal._datatag._tags import Origin, VaultedValue
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from dualtrack.core import templates

VARIABLES = {"names": ["b", "a"], "size": 3, "host": {"name": "gpu-1"}, "text": "a\\b"}
TEXTS = (
    "{{ size + 1 }}", "{{ names | sort | join(',') }}",
    "{% for it in names %}{{ it }}\n{% endfor %}", "{{ host.name }}:{{ size }}",
    "{{ 'a\\nb' }}", "{{ text | regex_replace('\\\\\\\\', '/') }}", "{{ missing | default([1, {'a': none}]) }}",
    "{# nothing #}{{ names is contains('a') }}", "{{ lookup('ansible.builtin.env', 'HOME') | type_debug }}",
    "plain", "ü {{ 'ß' }}",
)  # fmt: skip
CONDITIONS = (
    "size > 2",
    "names | length == 1",
    "host.name is match('gpu')",
    "missing is not defined and size in [1, 3]",
)


class Compiler:
    """Counts what is compiled."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self.original, self.seen = original, list[Any]()

    def __call__(self, env: Any, source: Any, *args: Any, **kwargs: Any) -> Any:
        self.seen.append(source)
        return self.original(env, source, *args, **kwargs)


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path))
    init_plugin_loader()
    for name in ("compile", "compile_expression"):  # undone afterwards
        monkeypatch.setattr(templates.AnsibleEnvironment, name, getattr(templates.AnsibleEnvironment, name))
    found = Compiler(templates._compile)
    monkeypatch.setattr(templates, "_compile", found)
    templates.keep_compiled()
    return found


def templar() -> Any:
    """As in a process of its own: nothing is compiled yet."""
    return Templar(loader=DataLoader(), variables=VARIABLES)


def results() -> list[Any]:
    texts = [templar().template(trust_as_template(text)) for text in TEXTS]
    return texts + [templar()._engine.evaluate_conditional(trust_as_template(text)) for text in CONDITIONS]


def test_results_are_the_same_and_nothing_is_compiled_twice(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = results()
    compiled = len(compiler.seen)
    assert compiled > len(CONDITIONS)
    assert results() == first
    assert len(compiler.seen) == compiled
    monkeypatch.setattr(templates.AnsibleEnvironment, "compile", compiler.original)
    monkeypatch.setattr(templates.AnsibleEnvironment, "compile_expression", templates._compile_expression)
    assert results() == first, "as Ansible itself says"


def test_marks_of_a_template_count(compiler: Compiler) -> None:
    text = "<< size >>{{ size }}"
    marks = f"#jinja2: variable_start_string:'<<', variable_end_string:'>>'\n{text}"
    for _ in range(2):
        assert str(templar().template(trust_as_template(text))) == "<< size >>3"
        assert str(templar().template(trust_as_template(marks))) == "3{{ size }}"
    assert len(compiler.seen) == 2


def test_what_comes_out_of_a_vault_is_not_kept(compiler: Compiler, tmp_path: Path) -> None:
    secret = VaultedValue(ciphertext="-").tag(trust_as_template("hush-{{ size }}"))
    for _ in range(2):
        assert templar().template(secret) == "hush-3"
    assert len(compiler.seen) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"hush" in path.read_bytes()]


@pytest.mark.parametrize("text", ["{{ size", "{{ size | nosuchfilter }}", "{% if %}"])
def test_errors_are_ansibles_own_each_time(compiler: Compiler, text: str) -> None:
    said = set()
    for _ in range(2):
        with pytest.raises(AnsibleError) as error:
            templar().template(Origin(description="a file").tag(trust_as_template(text)))
        said.add(str(error.value))
    assert len(said) == 1
    assert compiler.seen


@pytest.mark.usefixtures("compiler")
def test_torn_emptied_and_missing_cache_only_cost_time(tmp_path: Path) -> None:
    first = results()
    files = [path for path in (tmp_path / "templates").rglob("*") if path.is_file()]
    assert files
    for cut in range(0, 120, 5):
        for number, path in enumerate(files):
            data = path.read_bytes()
            path.write_bytes(data[: cut + number % 5] if number % 2 else bytes(len(data)))
        assert results() == first
    for path in (tmp_path / "templates").rglob("*"):
        if path.is_file():
            path.unlink()
    (folder,) = (tmp_path / "templates").iterdir()
    folder.rmdir()
    assert results() == first


@pytest.mark.usefixtures("compiler")
def test_only_its_owner_reads_it_and_what_nobody_uses_goes(tmp_path: Path) -> None:
    every = tmp_path / "templates"
    assert every.stat().st_mode & 0o777 == 0o700
    for name, days in (("old", templates.UNUSED_DAYS + 1), ("young", templates.UNUSED_DAYS - 1)):
        (every / name).mkdir()
        then = (every / name).stat().st_mtime - days * 86400
        os.utime(every / name, (then, then))
    templates._directory()
    assert {path.name for path in every.iterdir()} & {"old", "young"} == {"young"}
