"""A search store on this machine, without a lab: the pinned program with the role's own settings, on loopback.

    with opensearch_bed.running() as store:
        store.url                                # https://127.0.0.1:PORT
        found = store.certificate("gpu-1")       # .authority, .certificate and .key are paths
        with store.open("shipper", "gpu-1") as connection: …
        store.kill(); store.start()              # an outage

Takes about 10 s and 800 MB. It runs as `nobody`, since OpenSearch does not run as root.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible.plugins.filter.core import FilterModule

from dualtrack.core.paths import ROOT
from dualtrack.data.mirror import artifacts
from dualtrack.remote.opensearch import Store, straight
from dualtrack.security.access import tokens
from dualtrack.security.audit import index_documents
from dualtrack.security.opensearch.reconcile import admit, settle
from dualtrack.security.opensearch.security_config import Member
from dualtrack.security.pki import authority
from tests.conftest import CLI, wait

ROLE = ROOT / "roles/opensearch"
#: Days that a host may have in the store: a test has trails of days long ago.
DAYS = 90
#: Two people, each called after what they may do.
PEOPLE = (Member("auditor", ("auditor",)), Member("administrator", ("administrator",)))
PASSWORDS = {it.name: f"only-for-tests-{it.name}" for it in PEOPLE}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bed:
    """One node, its authority, and its process; ``names`` are all nodes of its cluster, ``number`` is this one's."""

    def __init__(self, folder: Path, heap: str, names: tuple[str, ...], number: int, ports: tuple[int, int]) -> None:
        self.folder = folder / names[number]
        self.folder.mkdir()
        self.pki = folder / "pki"
        self.name, self.number, self.names = names[number], number, names
        self.address = f"127.0.0.{number + 1}"
        self.port, self.transport = ports
        self.url = f"https://{self.address}:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.keeper: subprocess.Popen[bytes] | None = None
        self.hosts: list[str] = []
        self._lay_out(heap)

    def _lay_out(self, heap: str) -> None:
        with zipfile.ZipFile(artifacts.maven("opensearch")[0]) as archive:
            archive.extractall(self.folder)
        (home,) = self.folder.glob("opensearch-*")
        self.home = home.rename(self.folder / "program")
        with zipfile.ZipFile(artifacts.maven("opensearch-security")[0]) as archive:
            archive.extractall(self.home / "plugins/opensearch-security")
        for path in (self.home / "bin").iterdir():
            path.chmod(0o755)
        self.bring()
        config = self.home / "config"
        nodes = [{"name": name, "address": f"127.0.0.{number + 1}"} for number, name in enumerate(self.names)]
        variables = {
            "inventory_hostname": self.name, "opensearch_cluster": "test", "opensearch_nodes": nodes,
            "opensearch_port": self.port, "opensearch_transport_port": self.transport,
            "opensearch_data_dir": str(self.folder / "data"),
            # Java's better compiler pays after minutes; without it a start takes half of the processor's time.
            "opensearch_heap": heap, "opensearch_java_options": ["-XX:TieredStopAtLevel=1"],
            "opensearch_snapshot_dir": str(self.folder / "snapshots"),
            "opensearch_disk_low": 97, "opensearch_disk_high": 98, "opensearch_disk_flood": 99,
            "__opensearch_me": nodes[self.number], "__opensearch_host": {"maps": 0}, "ansible_managed": "",
        }  # fmt: skip
        templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(ROLE / "templates"), undefined=jinja2.StrictUndefined, trim_blocks=True
        )
        templates.filters |= FilterModule().filters()
        for name in ("opensearch.yml", "jvm.options", "log4j2.properties"):
            (config / name).write_text(templates.get_template(f"{name}.j2").render(variables))
        for name in ("data", "snapshots"):
            (self.folder / name).mkdir()
        for path in [self.folder, *self.folder.rglob("*")]:
            shutil.chown(path, "nobody")

    def bring(self) -> None:
        """Bring the node what the authority has for it, as the role does; it counts after a restart."""
        node = authority.issue(self.pki, "node", self.name, [self.name, "localhost", self.address])
        for source, name in ((node.authority, "ca.pem"), (node.certificate, "node.pem"), (node.key, "node.key")):
            path = self.home / "config" / name
            shutil.copyfile(source, path)
            shutil.chown(path, "nobody")

    def start(self) -> None:
        """Start it, and return when it takes requests and knows who may do what."""
        self.begin()
        self.await_ready()

    def begin(self) -> None:
        """Start it."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            ["setpriv", "--reuid", "nobody", "--clear-groups", self.home / "bin/opensearch"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, cwd=self.folder,
            env={"PATH": os.environ["PATH"], "OPENSEARCH_JAVA_HOME": java(), "HOME": str(self.folder)},
        )  # fmt: skip

    def await_ready(self) -> None:
        """Return when it takes requests and knows who may do what."""
        with self.open("admin", "admin") as store:
            store.await_up(300)
            self.settle(store, PASSWORDS)
            for host in self.hosts:  # its disk may have been lost
                admit(store, host)
        self._keep()

    def _keep(self) -> None:
        """Run what creates indices for hosts, as the node's service of the role does, with the files of now."""
        self._end_keeper()
        mine = authority.issue(self.pki, "keeper", self.name)
        self.keeper = subprocess.Popen(
            [CLI, "audit", "indices", "--store", self.url, "--ca", mine.authority, "--cert", mine.certificate,
             "--cert-key", mine.key, "--days", str(DAYS)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.folder / "keeper").open("ab"),
        )  # fmt: skip

    def _end_keeper(self) -> None:
        if self.keeper is not None:
            self.keeper.kill()
            self.keeper.wait()

    def settle(
        self, store: Store, passwords: dict[str, str], people: Sequence[Member] = PEOPLE, hosts: Sequence[str] = ()
    ) -> list[str]:  # fmt: skip
        """Bring rights to what the role would make them, and return what was changed."""
        # Nodes without a directory that they share have no repository.
        snapshots = str(self.folder / "snapshots") if len(self.names) == 1 else ""
        return settle(
            store, people, passwords, nodes=len(self.names), token_key=tokens.public(self.pki), snapshots=snapshots,
            hosts=hosts, days=DAYS, patience=300,
        )  # fmt: skip

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it is gone."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            self.process.wait(timeout=60)
            self.process = None

    def kill(self) -> None:
        """End it as a power cut does."""
        self.end(signal.SIGKILL)

    def certificate(self, host: str) -> authority.Issued:
        """Return the certificate with which a host ships its trail, and admit it as the role audit does."""
        self.admit(host)
        return authority.issue(self.pki, "shipper", host)

    def admit(self, host: str) -> None:
        """Admit a host, once; while the store is away, when it is back."""
        if host not in self.hosts:
            self.hosts.append(host)
            if self.process is not None:
                with self.open("admin", "admin") as store:
                    admit(store, host)

    def make(self, index: str) -> None:
        """Have an audit index of a day, as if its host had asked for it before."""
        host = index_documents.host_of(index)
        self.admit(host)
        with self.open("shipper", host) as store:
            assert not store.call("POST", "/_bulk", index_documents.of_asks(host, [index])).body["errors"]
        with self.open("admin", "admin") as store:
            wait(lambda: store.call("HEAD", f"/{index}").status == 200, 60, f"the keeper, for {index}")

    def open(self, kind: authority.Kind | None = None, name: str = "") -> Store:
        """Return a connection with a certificate of this authority, or with none; a host is admitted."""
        if kind == "shipper":
            self.admit(name)
        found = authority.issue(self.pki, kind, name) if kind else None
        paths = (Path(found.certificate), Path(found.key)) if found else (None, None)
        opener = straight(self.address, self.port)
        return Store(self.address, opener, self.pki / "ca.pem", certificate=paths[0], key=paths[1])

    def documents(self, pattern: str = "audit-*") -> list[dict[str, Any]]:
        """Return what lies in indices, all of it, in the order of the records' numbers (10,000 at most)."""
        with self.open("admin", "admin") as store:
            store.call("POST", f"/{pattern}/_refresh")
            query = {"size": 10000, "sort": ["n"], "query": {"match_all": {}}}
            answer = store.call("POST", f"/{pattern}/_search", query)
            assert answer.status == 200, answer.reason
            return [it["_source"] for it in answer.body["hits"]["hits"]]


def java() -> str:
    """Return the home of a Java that is new enough; skips where there is none."""
    program = shutil.which("java")
    if program is None:
        pytest.skip("no java is installed here")
    done = subprocess.run([program, "-version"], capture_output=True, text=True, check=True)
    found = re.search(r'version "(\d+)', done.stderr)
    if not found or int(found[1]) < 17:
        pytest.skip("the java that is installed here is older than 17")
    return str(Path(program).resolve().parents[1])


@contextlib.contextmanager
def running(heap: str = "512m") -> Iterator[Bed]:
    """Run a store of one node for the block; its log is printed where the block fails."""
    with cluster("log-1", heap=heap) as (bed,):
        yield bed


@contextlib.contextmanager
def cluster(*names: str, heap: str = "512m", kind: type[Bed] = Bed) -> Iterator[list[Bed]]:
    """Run a store of several nodes for the block, each on an address of its own of this machine."""
    java()
    with tempfile.TemporaryDirectory(prefix="dte-") as folder:
        Path(folder).chmod(0o755)  # nobody must get in; the authority's directory is closed to all others
        ports = free_port(), free_port()
        beds = [kind(Path(folder), heap, names, number, ports) for number in range(len(names))]
        try:
            for bed in beds:
                bed.begin()
            beds[0].await_ready()
            for bed in beds[1:]:  # each learns its rights on its own, a moment later
                with bed.open() as store:
                    store.await_up(300)
                    wait(lambda store=store: store.call("GET", "/").status == 401, 60, "the other nodes' rights")
            yield beds
        except BaseException:
            for bed in beds:
                with contextlib.suppress(OSError):
                    print((bed.folder / "log").read_text()[-4000:])
                    print((bed.folder / "keeper").read_text()[-4000:])
            raise
        finally:
            for bed in beds:
                bed.kill()
                bed._end_keeper()
