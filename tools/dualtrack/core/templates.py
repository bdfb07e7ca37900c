"""Compiling each of Ansible's templates once, instead of once for each task and host.

Ansible runs every task of every host in a process of its own, which forgets at its end what it has imported and
compiled: half of the processor time of such a process. Here filters are imported before the first of them starts, and
compiled templates are kept in the cache directory, in Jinja's own format.
"""

from __future__ import annotations

import gc
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from importlib.metadata import version
from types import CodeType
from typing import Any

from ansible._internal._datatag._tags import VaultedValue
from ansible._internal._templating._jinja_bits import (
    _TEMPLATE_OVERRIDE_FIELD_NAMES,
    AnsibleEnvironment,
    _TemplateCompileContext,
)
from ansible.plugins.loader import filter_loader, test_loader
from jinja2.bccache import Bucket, FileSystemBytecodeCache
from jinja2.environment import TemplateExpression

from dualtrack.core.paths import cache_dir

#: What decides how a text is compiled beside the text itself: the marks of a template, how lines end.
OPTIONS = _TEMPLATE_OVERRIDE_FIELD_NAMES
#: After how many days what no run has asked for is removed.
UNUSED_DAYS = 14

_compile, _compile_expression = AnsibleEnvironment.compile, AnsibleEnvironment.compile_expression
#: The expression that is being compiled: Jinja makes a template of it, which no longer says what it was.
_expression: ContextVar[str | None] = ContextVar("_expression", default=None)


class Kept(FileSystemBytecodeCache):
    """Jinja's cache on the disk, of which everything may be torn, missing or full."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read what was kept; leave the bucket empty where that is not to be read."""
        try:
            super().load_bytecode(bucket)
        except Exception:  # a power cut leaves anything, and pickle raises anything
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Write it for the next caller, where there is room."""
        with suppress(OSError):
            super().dump_bytecode(bucket)


def keep_compiled() -> None:
    """From now on keep what is compiled, and import what every task needs before tasks start."""
    kept = Kept(_directory(), "%s")

    def code(env: AnsibleEnvironment, kind: str, source: str, make: Callable[[], CodeType] | None) -> CodeType | None:
        """Return compiled code; without ``make`` None where there is none."""
        context = _TemplateCompileContext.current(optional=True)
        options = [getattr(env, name) for name in OPTIONS] + [context is not None and context.escape_backslashes]
        bucket = kept.get_bucket(env, _digest(kind, options, source), None, source)
        if bucket.code is None and make is not None:
            bucket.code = make()
            kept.set_bucket(bucket)
        return bucket.code

    def compile_template(env: AnsibleEnvironment, source: Any, *args: Any, **kwargs: Any) -> Any:
        kind, text = ("template", source) if isinstance(source, str) else ("expression", _expression.get())
        if args or kwargs or text is None or VaultedValue.is_tagged_on(text):
            return _compile(env, source, *args, **kwargs)
        return code(env, kind, text, lambda: _compile(env, source))

    def compile_expression(env: AnsibleEnvironment, source: str, undefined_to_none: bool = True) -> TemplateExpression:
        if not VaultedValue.is_tagged_on(source) and (found := code(env, "expression", source, None)):
            template = env.template_class.from_code(env, found, env.make_globals(None), None)
            return TemplateExpression(template, undefined_to_none)
        token = _expression.set(source)
        try:
            made: TemplateExpression = _compile_expression(env, source, undefined_to_none)
            return made
        finally:
            _expression.reset(token)

    AnsibleEnvironment.compile, AnsibleEnvironment.compile_expression = compile_template, compile_expression
    # A task's process need not look through what it has inherited for garbage, which copies all of it.
    os.register_at_fork(after_in_child=gc.freeze)


def _directory() -> str:
    """Return (and make) the directory for these versions with these filters and tests; those that nobody uses go."""
    plugins = [(it._load_name, _passed(it)) for loader in (filter_loader, test_loader) for it in loader.all()]
    versions = [platform.python_version(), version("jinja2"), version("ansible-core")]
    every = cache_dir() / "templates"
    mine = every / _digest(versions, sorted(plugins))
    every.mkdir(mode=0o700, exist_ok=True)
    mine.mkdir(exist_ok=True)
    os.utime(mine)
    for other in every.iterdir():
        with suppress(OSError):
            if time.time() - other.stat().st_mtime > UNUSED_DAYS * 86400:
                shutil.rmtree(other)
    return str(mine)


def _passed(plugin: Any) -> str:
    """Return what a filter or test gets beside its arguments: how it is called is part of compiled code."""
    return str(getattr(plugin.j2_function, "jinja_pass_arg", ""))


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()
