"""Whether hosts are configured as today's inputs say: a digest of a host's inputs, kept on it (docs/adr/0027).

A host that was made anew has no record, one that was being configured when the run stopped has lost it. An equal record
says that nothing needs to be applied again; whether the host is still as it was left is for `dualtrack verify` to say.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core.errors import BadInput, External
from dualtrack.core.paths import ROOT
from dualtrack.inventory.read import Inventory, read_inventory
from dualtrack.remote import ssh_config
from dualtrack.security.pki import authority
from dualtrack.tracks import site
from dualtrack.verify import plan

#: Where a host keeps the digest of what it was last configured with.
RECORD = "/var/lib/dualtrack/configured"
#: What decides how hosts are configured, in the checkout, beside their roles: playbooks, plugins, this package, pins.
CODE = ("ansible", "plugins", "inventories", "tools/dualtrack", "requirements", "pyproject.toml")
#: Variables that name files or directories on this machine whose content roles bring to hosts, or compare with them;
#: and the group whose hosts have the role. The lab gives them to all hosts, also to those without search store.
FILES = {
    "access_file": "all",
    "access_grants_file": "all",
    "audit_ca_dir": "audited",
    "audit_keys_dir": "audited",
    "log_forwarding_ca_dir": "audited",
    "opensearch_ca_dir": "role_log",
    "opensearch_elastic_key": "role_log",
    "opensearch_elastic_license": "role_log",
    "gateway_ca_dir": "role_gateway",
    "gateway_certificate": "role_gateway",
    "gateway_certificate_key": "role_gateway",
    "gateway_countries_file": "role_gateway",
    "gateway_tenants_file": "role_gateway",
    "knowledge_base_ca_dir": "role_knowledge_base",
    "knowledge_base_certificate": "role_knowledge_base",
    "knowledge_base_certificate_key": "role_knowledge_base",
    "knowledge_base_cluster_ca_file": "role_knowledge_base",
    "knowledge_base_gateway_ca_file": "role_knowledge_base",
    "knowledge_base_model_dir": "role_knowledge_base",
    "serving_ca_dir": "role_serving",
    "sm4_volume_custodians": "role_storage",
    "sm4_volume_keep_dir": "role_storage",
}
#: Those that are directories of an authority: certificates lie there by kind, each named after its host or person.
AUTHORITIES = (
    "audit_ca_dir",
    "opensearch_ca_dir",
    "gateway_ca_dir",
    "knowledge_base_ca_dir",
    "log_forwarding_ca_dir",
    "serving_ca_dir",
)
#: Settings of Ansible and of this program that may change what is applied. How long waits last does not.
SETTINGS = ("ANSIBLE_", "DUALTRACK_")
IGNORED = ("DUALTRACK_PATIENCE", "DUALTRACK_FACTS", "DUALTRACK_VARIABLES", "DUALTRACK_CGROUP")

#: Files of roles and playbooks in which variables can be named, and what may be such a name.
WITH_VARIABLES = (".yml", ".j2", ".py")
WORD = re.compile(r"[A-Za-z_]\w+")

Inputs = dict[str, str]


class Hosts(msgspec.Struct, frozen=True):
    """The hosts of one run, by name, with their variables; and in which of the groups each of them is."""

    variables: dict[str, dict[str, Any]]
    groups: dict[str, list[str]]  # of them `all`

    def only(self, names: Collection[str]) -> Hosts:
        """Return some of the hosts, in the same order."""
        return Hosts(
            {name: facts for name, facts in self.variables.items() if name in names},
            {group: [name for name in members if name in names] for group, members in self.groups.items()},
        )


def hosts_of(inventory: Inventory, pattern: str) -> Hosts:
    """Return the hosts that a pattern names. Those of the other track are left out: no role looks across tracks."""
    groups = plan.groups_of(inventory)
    every = inventory["_meta"]["hostvars"]
    names = plan.matches(pattern, groups)
    return Hosts({name: every.get(name, {}) for name in names}, groups).only(names)


def inputs(hosts: Hosts, *, now: datetime | None = None) -> Inputs:
    """Return everything that decides how the hosts are configured at this moment, as digests by what it is."""
    roles = site.roles(hosts.groups, ROOT)
    code = (path for path in _below(ROOT / name for name in (*CODE, *_folders(roles))) if path.suffix != ".md")
    found = {f"code {path}": _digest(path) for path in code}
    others = _others(roles)
    for name, facts in hosts.variables.items():
        found[f"variables {name}"] = _text(_own_variables(facts, others))
    # The other track's groups come and go with it; here they are empty.
    found["groups"] = _text({name: members for name, members in hosts.groups.items() if members})
    settings = {key: value for key, value in os.environ.items() if key.startswith(SETTINGS) and key not in IGNORED}
    found["settings"] = _text(settings)
    for path in _below(_named(hosts)):
        if _foreign(path, hosts):
            continue
        found[f"file {path}"] = _digest(path)
        if path.suffix == ".pem" and (state := authority.state(path, now or datetime.now(UTC))):
            found[f"certificate {path}"] = state  # what lies there is the same, and another is due
    return found


def digests(hosts: Hosts) -> dict[str, str]:
    """Return for each host one digest of all inputs that are its own: another host that comes or goes is none."""
    return {name: digest(inputs(hosts.only([name]))) for name in hosts.variables}


def digest(found: Inputs) -> str:
    """Return one digest of all inputs."""
    return _text(found)


def moved(before: Inputs, after: Inputs, hosts: Hosts) -> list[str]:
    """Return the inputs that changed during a run: it may have been configured with other ones than those of its end.

    What is new the run has made itself: certificates, and the keys of its own hosts. A key that a host of the other
    track has registered meanwhile is not: a witness of this one may not know it yet.
    """
    new = (Path(key.partition(" ")[2]) for key in after.keys() - before.keys())
    others = [f"file {path}" for path in new if path.parent in _keys(hosts) and not _own(path, hosts)]
    return sorted(others + [key for key, value in before.items() if after.get(key) != value])


def recorded(hosts: Hosts) -> dict[str, str]:
    """Return what each host has on record; '' for one that has nothing or cannot be asked."""
    with _connected(hosts) as config:
        return _everywhere(config, hosts, lambda _: f"cat {RECORD} 2>/dev/null || true")


def forget(hosts: Hosts) -> None:
    """Take the record off the hosts, before anything is changed on them; External where that is not possible."""
    with _connected(hosts) as config:
        said = _everywhere(config, hosts, lambda _: f"rm -f {RECORD} && echo gone")
    if kept_it := [name for name, text in said.items() if text != "gone"]:
        raise External(f"no root on {', '.join(kept_it)}: nothing was changed", hint="dualtrack verify says why")


def forget_matching(inventories: Sequence[Path], pattern: str) -> None:
    """Take the record off the hosts that a pattern names; off all of them where only Ansible understands it."""
    inventory = read_inventory(inventories)
    try:
        found = hosts_of(inventory, pattern)
    except BadInput:
        found = hosts_of(inventory, "all")
    forget(found)


def record(hosts: Hosts, values: Mapping[str, str]) -> None:
    """Put its digest on record on every host."""
    folder = RECORD.rpartition("/")[0]
    script = "umask 077; mkdir -p -m 755 {0} && echo {2} > {1}.new && mv {1}.new {1}"
    with _connected(hosts) as config:
        _everywhere(config, hosts, lambda name: script.format(folder, RECORD, values[name]))


@contextmanager
def _connected(hosts: Hosts) -> Iterator[Path]:
    """Write an ssh configuration for the hosts; connections end with the block."""
    with tempfile.TemporaryDirectory(prefix="dtu-") as folder:
        config = Path(folder) / "ssh_config"
        config.write_text(ssh_config.render(hosts.variables, Path(folder)).replace("ControlMaster auto", ""))
        yield config


def _everywhere(config: Path, hosts: Hosts, script: Callable[[str], str]) -> dict[str, str]:
    """Run each host's shell script as root on it, side by side; return what each printed, '' where it failed."""

    def one(name: str) -> str:
        words = ["ssh", "-F", str(config), name, f"sudo -n sh -c {shlex.quote(script(name))}"]
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
            )
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    with ThreadPoolExecutor(max_workers=16) as pool:
        return dict(zip(hosts.variables, pool.map(one, hosts.variables), strict=True))


def _folders(roles: Iterable[str]) -> list[str]:
    return [f"roles/{name}" for name in roles]


def _others(roles: Collection[str]) -> set[str]:
    """Return the words that only other roles have in them: a variable of that name is nothing to these."""
    every = {path.name for path in (ROOT / "roles").iterdir()}
    return _words(_folders(every - set(roles))) - _words(["ansible", "plugins", *_folders(roles)])


def _own_variables(facts: Mapping[str, Any], others: Collection[str]) -> dict[str, Any]:
    """Return a host's variables without those of ``others``, and without steps to other ones.

    What only a play can resolve stays as it is written, and may name any of them: then all count that it names, and
    what those name.
    """
    own = {key: value for key, value in facts.items() if key not in others and not key.startswith("__")}
    look = list(own.values())
    while look:
        text = json.dumps(look.pop(), default=str)
        if "{{" in text or "{%" in text:
            named = {word: facts[word] for word in WORD.findall(text) if word in facts and word not in own}
            own |= named
            look += named.values()
    return own


def _words(names: Iterable[str]) -> set[str]:
    paths = (path for path in _below(ROOT / name for name in names) if path.suffix in WITH_VARIABLES)
    return {word for path in paths for word in WORD.findall(_text_of(path, path.stat().st_mtime_ns))}


@functools.lru_cache(maxsize=2000)
def _text_of(path: Path, _written: int) -> str:
    return path.read_text(encoding="utf-8")


def _named(hosts: Hosts) -> Iterator[Path]:
    """Return the files and directories that variables name, of those hosts that have the role."""
    for name, group in FILES.items():
        for host in hosts.groups.get(group, ()):
            value = hosts.variables[host].get(name) or ()
            for text in [value] if isinstance(value, str) else value:
                yield ROOT / str(text)  # a whole path stays one


def _foreign(path: Path, hosts: Hosts) -> bool:
    """Tell whether a file is another's: of a person, or of a host of the other track, which shares the directories.

    The registered key of another's host counts where one of ours is a witness, who is told all keys.
    """
    every = hosts.variables.values()
    folders = {(ROOT / str(facts[name])).resolve() for facts in every for name in AUTHORITIES if facts.get(name)}
    shared = path.parent.parent in folders
    if not any(facts.get("audit_witness") for facts in every):
        shared = shared or path.parent in _keys(hosts)
    return shared and not _own(path, hosts)


def _keys(hosts: Hosts) -> set[Path]:
    """Return the directories of registered keys."""
    every = hosts.variables.values()
    return {(ROOT / str(facts["audit_keys_dir"])).resolve() for facts in every if facts.get("audit_keys_dir")}


def _own(path: Path, hosts: Hosts) -> bool:
    """Tell whether a file is called after one of the hosts, or after one of its later lives (HOST.2)."""
    return any(path.name.startswith(f"{name.lower()}.") for name in hosts.variables)


def _below(paths: Iterable[Path]) -> list[Path]:
    """Return the files among ``paths`` and below them, each once, in order; what is not there is no file."""
    found: set[Path] = set()
    for path in paths:
        every = path.rglob("*") if path.is_dir() else (path,)
        found.update(it.resolve() for it in every if it.is_file() and not _incidental(it))
    return sorted(found)


def _incidental(path: Path) -> bool:
    """Tell whether a file says nothing: compiled modules, and the locks of files that are written."""
    return "__pycache__" in path.parts or (path.name.startswith(".") and path.suffix == ".lock")


def _digest(path: Path) -> str:
    info = path.stat()
    return _digest_of(path, info.st_mtime_ns, info.st_size, info.st_ino)


@functools.lru_cache(maxsize=10_000)
def _digest_of(path: Path, _written: int, _size: int, _inode: int) -> str:
    """Return the digest of a file as it is now: the program is an input of each host."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _text(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
