"""25 typical tasks with nothing to change, on one ssh host: our Ansible, Ansible as it comes, and pyinfra.

Before anything is timed both tools must say of the host that all 25 are as they should be.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab_host import BIN, PEERS, lab_host
from measure import Case, alternate, show

RUNS = 5
HOST = "bench-tasks"
TEMPLATE = "# {{ who }}\nlisten = {{ listen }}\nnames = {{ names | join(' ') }}\n"
VALUES = {"who": "bench", "listen": 8080, "names": ["a", "b", "c"]}
OWNED = {"owner": "root", "group": "root"}

#: Each operation once, in words of our own; `ansible_task` and `pyinfra_line` put it into those of the tools.
OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("directory", {"path": path})
        for path in ("/etc/bench", "/etc/bench/conf.d", "/var/lib/bench", "/var/log/bench")
    ),
    *(
        ("content", {"path": path, "content": f"# {path}\nlisten = 127.0.0.1\nworkers = 4\n"})
        for path in ("/etc/bench/server.conf", "/etc/bench/client.conf", "/etc/bench/conf.d/10.conf", "/etc/bench.motd")
    ),
    ("content", {"path": "/etc/sysctl.d/90-bench.conf", "content": "vm.swappiness = 10\nkernel.panic = 10\n"}),
    *(("template", {"path": path}) for path in ("/etc/bench/conf.d/20.conf", "/etc/bench/conf.d/30.conf")),
    *(
        ("line", {"path": path, "line": line})
        for path, line in (
            ("/etc/environment", "BENCH_HOME=/var/lib/bench"),
            ("/etc/environment", "BENCH_LOG=/var/log/bench"),
            ("/etc/security/limits.conf", "bench - nofile 65536"),
            ("/etc/hosts", "192.0.2.1 bench.example.org"),
        )
    ),
    ("link", {"path": "/etc/bench/current", "target": "/etc/bench/server.conf"}),
    ("link", {"path": "/var/lib/bench/log", "target": "/var/log/bench"}),
    *(("packages", {"names": names}) for names in (["curl", "rsync"], ["less"], ["procps", "iproute2"])),
    ("service", {"unit": "ssh", "enabled": True}),
    ("service", {"unit": "systemd-networkd", "enabled": True}),
    ("service", {"unit": "systemd-journald"}),
    ("group", {"name": "bench"}),
    ("user", {"name": "bench", "group": "bench", "home": "/var/lib/bench", "shell": "/usr/sbin/nologin"}),
]


def ansible_task(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation as an Ansible task."""
    path = given.get("path")
    match kind:
        case "directory":
            task = {"ansible.builtin.file": {"path": path, "state": "directory", "mode": "0755", **OWNED}}
        case "content":
            task = {"ansible.builtin.copy": {"dest": path, "content": given["content"], "mode": "0644", **OWNED}}
        case "template":
            task = {
                "ansible.builtin.template": {"src": "bench.j2", "dest": path, "mode": "0644", **OWNED},
                "vars": VALUES,
            }
        case "line":
            task = {"ansible.builtin.lineinfile": {"path": path, "line": given["line"]}}
        case "link":
            task = {"ansible.builtin.file": {"path": path, "src": given["target"], "state": "link"}}
        case "packages":
            task = {"ansible.builtin.apt": {"name": given["names"], "state": "present"}}
        case "service":
            more = {"enabled": True} if given.get("enabled") else {}
            task = {"ansible.builtin.systemd_service": {"name": given["unit"], "state": "started", **more}}
        case "group":
            task = {"ansible.builtin.group": {"name": given["name"]}}
        case "user":
            keys = ("name", "group", "home", "shell")
            task = {"ansible.builtin.user": {key: given[key] for key in keys} | {"create_home": False}}
        case _:
            raise AssertionError(kind)
    return {"name": f"{kind} {path or given.get('name') or given.get('unit') or given['names']}", **task}


def pyinfra_line(kind: str, given: Mapping[str, Any]) -> str:
    """Return an operation as a line of a pyinfra deploy."""
    path = given.get("path")
    match kind:
        case "directory":
            return f"files.directory({path!r}, user='root', group='root', mode='755')"
        case "content":
            return f"files.put(StringIO({given['content']!r}), {path!r}, user='root', group='root', mode='644')"
        case "template":
            values = ", ".join(f"{key}={value!r}" for key, value in VALUES.items())
            return f"files.template('bench.j2', {path!r}, user='root', group='root', mode='644', {values})"
        case "line":
            return f"files.line({path!r}, {'^' + re.escape(given['line']) + '$'!r}, replace={given['line']!r})"
        case "link":
            return f"files.link({path!r}, target={given['target']!r})"
        case "packages":
            return f"apt.packages({given['names']!r})"
        case "service":
            return f"systemd.service({given['unit']!r}, running=True, enabled={True if given.get('enabled') else None})"
        case "group":
            return f"server.group({given['name']!r})"
        case "user":
            keys = ("group", "home", "shell")
            more = ", ".join(f"{key}={given[key]!r}" for key in keys)
            return f"server.user({given['name']!r}, {more}, create_home=False, ensure_home=False)"
    raise AssertionError(kind)


def write(folder: Path, host: Mapping[str, Any]) -> tuple[Case, Case, Case, Case]:
    """Write what the tools read, and return the commands: our Ansible, the same with facts, plain Ansible, pyinfra."""
    assert len(OPERATIONS) == 25
    (folder / "bench.j2").write_text(TEMPLATE)
    play = {
        "name": "Bench", "hosts": "all", "become": True,
        "tasks": [ansible_task(*operation) for operation in OPERATIONS],
    }  # fmt: skip
    # The tasks use no facts, and pyinfra gathers none; what gathering them costs is a case of its own.
    for name, gather in (("site.json", False), ("facts.json", True)):
        (folder / name).write_text(json.dumps([play | {"gather_facts": gather}]))
    facts = {
        "ansible_host": host["address"], "ansible_user": host["user"],
        "ansible_ssh_common_args": f"-F {host['ssh_config']}",
    }  # fmt: skip
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": {HOST: facts}}}))
    (folder / "deploy.py").write_text(
        "from io import StringIO\n\nfrom pyinfra.operations import apt, files, server, systemd\n\n"
        + "\n".join(pyinfra_line(*operation) for operation in OPERATIONS)
        + "\n"
    )
    data = {"ssh_user": host["user"], "ssh_config_file": host["ssh_config"], "_sudo": True}
    (folder / "inventory.py").write_text(f"hosts = [({HOST!r}, {data!r})]\n")

    from dualtrack.core.paths import ROOT
    from dualtrack.tracks.ansible_runner import environment

    # Nobody listens to events here, and the variable without a value says so.
    settings = environment(os.environ, 0) | {"DUALTRACK_EVENTS_FD": ""}
    words = [str(BIN / "ansible-playbook"), "-i", str(folder / "hosts.json"), str(folder / "site.json")]
    common = ["-i", str(ROOT / "inventories/common")]
    (folder / "plain.cfg").write_text("[ssh_connection]\npipelining = true\n")
    plain = {"ANSIBLE_CONFIG": str(folder / "plain.cfg")}
    peer = [str(PEERS / "pyinfra"), "--yes", "inventory.py", "deploy.py"]
    return (
        Case("ansible, our settings", [words[0], *common, *words[1:]], settings),
        Case("the same, gathering facts", [words[0], *common, *words[1:-1], str(folder / "facts.json")], settings),
        Case("ansible, linear and pipelining", words, plain),
        Case("pyinfra", peer, cwd=folder),
    )


def changes(case: Case) -> str:
    """Run a command and return what it says was changed; a failure is shown and ends the benchmark."""
    done = subprocess.run(
        case.words, cwd=case.cwd, env={**os.environ, **case.env}, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    if done.returncode != 0:
        sys.exit(f"{case.name} failed with {done.returncode}:\n{said[-3000:]}")
    return said


def main() -> None:
    """Make the host as it should be, hold both tools to it, and measure."""
    with lab_host(HOST) as host, tempfile.TemporaryDirectory() as folder:
        ours, facts, plain, pyinfra = write(Path(folder), host)
        changes(ours)
        if not re.search(r"ok=25 +changed=0 ", said := changes(ours)):
            sys.exit(f"Ansible found something to change:\n{said[-3000:]}")
        changes(pyinfra)
        if not re.search(r"Grand total +25 +- +- +25 ", said := changes(pyinfra)):
            sys.exit(f"pyinfra found something to change:\n{said[-3000:]}")
        first, *peers = alternate([pyinfra, ours, facts, plain], runs=RUNS)
    show("25 tasks with nothing to change, one ssh host", first, peers)


if __name__ == "__main__":
    main()
