"""Three nodes of OpenSearch with its k-NN plugin on this machine, and a knowledge base that they search for."""

from __future__ import annotations

import contextlib
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.data.mirror import artifacts
from dualtrack.knowledge.cluster import opensearch
from dualtrack.security.pki import authority
from tests.support import opensearch_testbed

NODES = ("knn-1", "knn-2", "knn-3")
#: What the knowledge base may do in the cluster: all with its own index, and nothing with others.
ROLE = {
    "cluster_permissions": ["cluster_composite_ops", "cluster:monitor/health"],
    "index_permissions": [{"index_patterns": ["knowledge*"], "allowed_actions": ["indices_all"]}],
}


class KnnBed(opensearch_testbed.Bed):
    """A node with the plugin, which says that it is of this version and needs no scripts."""

    def _lay_out(self, heap: str) -> None:
        super()._lay_out(heap)
        plugin = self.home / "plugins/opensearch-knn"
        with zipfile.ZipFile(artifacts.maven("opensearch-knn")[0]) as archive:
            archive.extractall(plugin)
        version = artifacts.pinned("opensearch")[0].split(":")[2]
        path = plugin / "plugin-descriptor.properties"
        text = re.sub(r"(?m)^opensearch\.version=.*$", f"opensearch.version={version}", path.read_text())
        path.write_text(re.sub(r"(?m)^extended\.plugins=.*$", "extended.plugins=", text))
        for it in [plugin, *plugin.rglob("*")]:
            shutil.chown(it, "nobody")

    def _keep(self) -> None:
        """Nobody ships audit trails here."""


class Knn:
    """The nodes, and the file that says where they are (a `clustered.Bed`)."""

    module, missing = opensearch, "no such index"

    def __init__(self, beds: list[opensearch_testbed.Bed], folder: Path) -> None:
        self.beds, self.file = beds, folder / "cluster.json"
        self.mine = authority.issue(beds[0].pki, "knowledge", "kb", ["kb"])
        self.write()

    def write(self, **changes: object) -> Path:
        """Write the file, with some things otherwise."""
        said = {
            "urls": [it.url for it in self.beds], "ca_file": str(self.mine.authority),
            "certificate": str(self.mine.certificate), "certificate_key": str(self.mine.key), **changes,
        }  # fmt: skip
        self.file.write_bytes(msgspec.json.encode(said))
        return self.file

    def rows(self, label: str, count: int) -> list[dict[str, Any]]:
        query = {"size": count, "query": {"terms": {"labels": [label]}}}
        found = self._asked("POST", "/knowledge/_search", query)["hits"]["hits"]
        return [{**it["_source"], "id": it["_id"]} for it in found]

    def put(self, row: dict[str, Any], label: str) -> None:
        body = {**row, "labels": [label]}
        self._asked("PUT", f"/knowledge/_doc/{body.pop('id')}?refresh=true", body)

    def drop(self, names: Sequence[str]) -> None:
        for it in names:
            self._asked("DELETE", f"/knowledge/_doc/{it}?refresh=true")

    def _asked(self, method: str, path: str, body: Any = None) -> Any:
        with self.beds[0].open("admin", "admin") as store:
            answer = store.call(method, path, body)
        assert answer.status in (200, 201), answer
        return answer.body


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Knn]:
    """Run three nodes for the block, and let the knowledge base have an index there."""
    with opensearch_testbed.cluster(*NODES, heap="384m", kind=KnnBed) as beds:
        with beds[0].open("admin", "admin") as store:
            at = "/_plugins/_security/api"
            for path, body in ((f"{at}/roles/kb", ROLE), (f"{at}/rolesmapping/kb", {"backend_roles": ["knowledge"]})):
                answer = store.call("PUT", path, body)
                assert answer.status in (200, 201), answer
        yield Knn(beds, folder)
