"""ansible/site.yml on one fresh GPU host, and again with nothing to change."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from lab_host import dualtrack, lab_host

HOST = "bench-site"
GROUPS = ("track_local", "role_gpu", "lab")
AGAIN = 3


def main() -> None:
    """Configure, configure again, and print both times, their ratio, and what verifying takes."""
    with lab_host(HOST, gpus=8) as host, tempfile.TemporaryDirectory() as folder:
        from dualtrack.core.paths import LAB, ROOT, cache_dir
        from dualtrack.data.mirror import build
        from dualtrack.tracks.ansible_runner import configure

        build(cache_dir() / "mirror", lab=LAB)
        facts = {
            "ansible_host": host["address"], "ansible_user": host["user"],
            "ansible_ssh_common_args": f"-F {host['ssh_config']}", "dualtrack_track": "local",
            "dualtrack_pool": "bench", "dualtrack_lifecycle": "owned", "dualtrack_roles": ["gpu"], "dualtrack_gpus": 8,
            "dualtrack_zone": "", "dualtrack_instance_id": "",
        }  # fmt: skip
        children: dict[str, Any] = {group: {"hosts": {HOST: {}}} for group in GROUPS}
        Path(folder, "hosts.json").write_text(json.dumps({"all": {"hosts": {HOST: facts}, "children": children}}))
        sources = [ROOT / "inventories/common", ROOT / "inventories/lab", Path(folder)]
        first = configure(sources)
        again = [configure(sources) for _ in range(AGAIN)]
        if any(changed := [result.changed[HOST] for result in again]):
            sys.exit(f"a run after the first changed something: {changed}")
        words = [word for path in sources for word in ("-i", str(path))]
        reports = [json.loads(dualtrack("verify", *words, "--json")) for _ in range(AGAIN)]
    seconds = statistics.median(result.seconds for result in again)
    verified = statistics.median(report["seconds"] for report in reports)
    print("\nsite.yml, one GPU host over ssh")
    print(f"  first run, fresh host ({first.changed[HOST]} changes) {first.seconds:8.2f} s")
    print(f"  again, nothing to change          {seconds:8.2f} s   (median of {AGAIN}){first.seconds / seconds:9.1f} x")
    print(f"  dualtrack verify                  {verified:8.2f} s   (median of {AGAIN})")


if __name__ == "__main__":
    main()
