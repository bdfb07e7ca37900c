"""Both tracks from nothing to verified, on the lab: what an operator does in a week, in the order of a week.

The tests of this file are one story: each begins with both tracks up and verified.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from dualtrack.core.proc import run
from dualtrack.inventory import facts as facts_file
from dualtrack.lab.state import Store
from dualtrack.tracks import unchanged
from tests.conftest import CLI, ROOT, Cli, living, wait
from tests.e2e.conftest import continues, half_read, interrupt, without
from tests.support import knowledge_site, port_scan
from tests.support.clients import embeds, official, track
from tests.support.stack import pools

UP_S = 1200


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A checkout's command line on a lab directory of its own; taken down whatever happens.

    Each kind of host of the default site but the storage host: its virtual machine is brought up, verified, and brought
    up again in test_storage.py, and pools of several nodes in test_pools.py.
    """
    cli = Cli(tmp_path_factory.mktemp("site"))
    facts = yaml.safe_load(facts_file.DEFAULT.read_text())
    facts["hosts"] = [host for host in facts["hosts"] if host.get("machine") != "qemu"]
    path = cli.folder / "facts.yml"
    path.write_text(yaml.safe_dump(facts, sort_keys=False))
    variables = cli.folder / "variables.json"
    variables.write_text(json.dumps(pools(spot=1, ondemand=1)))
    cli.env |= {"DUALTRACK_FACTS": str(path), "DUALTRACK_VARIABLES": str(variables)}
    try:
        yield cli
    finally:
        cli("lab", "down")


@pytest.fixture(autouse=True)
def both_up(request: pytest.FixtureRequest, site: Cli) -> Iterator[None]:
    begins = ("test_interrupted_up_and_a_crash_are_mended_and_the_stale_state_noticed",)
    yield from continues(request, begins, lambda: site("up", timeout=UP_S))


def rows(site: Cli) -> dict[str, dict[str, Any]]:
    return {host["name"]: host for host in site.json("status")["hosts"]}


def test_interrupted_up_and_a_crash_are_mended_and_the_stale_state_noticed(site: Cli) -> None:
    """kill -9 of the supervisor takes the emulator and its memory along."""
    interrupt(site, "up")
    assert (site.state / "tofu/emulator/terraform.tfstate").exists(), "no state to be stale"
    said = site.runbook("repair-the-lab.md")
    assert "memory" in said or "stale" in said


def test_up_makes_both_tracks_green(site: Cli) -> None:
    found = rows(site).values()
    assert {host["state"] for host in found} == {"up"}
    assert {host["track"] for host in found} == {"cloud", "local"}
    assert {host["lifecycle"] for host in found} == {"spot", "on-demand", "owned"}
    assert all(host["verified_at"].endswith(("Z", "+00:00")) for host in found)


def test_the_complete_playbooks_again_change_nothing(site: Cli) -> None:
    """That a run without `--full` configures no host is said by the runs below, which name the hosts they configure."""
    before = {name: host["instance_id"] for name, host in rows(site).items()}
    tracks = json.loads(site("up", "--full", "--json", timeout=UP_S).stdout)["tracks"]
    assert [(it["changed"], it["changes"], it["unchanged"]) for it in tracks] == [(False, {}, False)] * 2
    assert all(it["passed"] > 0 for it in tracks)
    assert {name: host["instance_id"] for name, host in rows(site).items()} == before


#: What both tracks serve: one makes embeddings, one writes.
MODELS = ["minilm", "smollm2"]


def test_a_model_of_either_track_answers_at_an_address_on_loopback(site: Cli) -> None:
    """The lab's own tenant may be answered anywhere: then the cloud track is the first."""

    def up() -> dict[str, Any] | None:
        now = site.json("serving", "status")
        all_up = [(name, track, "UP") for name in MODELS for track in ("cloud", "local")]
        return now if sorted((it["model"], it["track"], it["state"]) for it in now["engines"]) == all_up else None

    now = wait(up, 120, "an engine of each track that is up")
    [endpoint] = now["endpoints"]
    assert endpoint["url"].startswith("https://127.0.0.1:"), endpoint
    assert set(endpoint["tracks"]) == {"cloud", "local"}
    answer = site.json("serving", "chat", "--max-tokens", "16", "Name a city in France.")
    assert answer["end"]["track"] == "cloud"
    assert answer["end"]["engine"].startswith("serving-")
    assert answer["text"].strip()


def test_residency_decides_which_track_answers_also_while_one_is_away(site: Cli) -> None:
    """Whoever must stay is refused rather than answered elsewhere; the others are answered by what is left."""
    now = site.json("serving", "status")
    [endpoint] = now["endpoints"]
    hosts = {it["track"]: it["engine"] for it in now["engines"]}
    keys = {"any": (site.folder / "serving/chat.key").read_text().strip()}  # of the lab's own tenant
    for name in ("local", "prefer-local"):
        keys[name] = site.json("serving", "key", "add", name, "--residency", name)["key"]

    def answered() -> dict[str, str]:
        return {name: track(endpoint, key) for name, key in keys.items()}

    usual = {"any": "cloud", "local": "local", "prefer-local": "local"}
    assert answered() == usual
    with without(site, hosts["cloud"]):
        assert answered() == {"any": "local", "local": "local", "prefer-local": "local"}
    wait(lambda: answered() == usual, 120, "the cloud track's engine")
    with without(site, hosts["local"]):
        found = answered()
        assert "these requests stay there" in found.pop("local")
        assert found == {"any": "cloud", "prefer-local": "cloud"}
    wait(lambda: answered() == usual, 120, "the local track's engine")
    for name in ("local", "prefer-local"):
        site("serving", "key", "revoke", name, "--yes")


def test_persons_whose_requests_leave_are_counted(site: Cli) -> None:
    [endpoint] = site.json("serving", "status")["endpoints"]
    with official(endpoint, (site.folder / "serving/chat.key").read_text().strip()) as client:
        for user in ("ann", "bo", "ann"):
            answer = client.completions.with_raw_response.create(model="smollm2", prompt="Hi", max_tokens=1, user=user)
            assert answer.headers["x-dualtrack-track"] == "cloud"

    def counted() -> bool:
        persons, sensitive = site.json("residency", "report")["kinds"]
        return (persons["persons"] - persons["by_key"], sensitive["persons"]) == (2, 0)

    wait(counted, 30, "two persons")
    assert "by these counts the rules ask for nothing" in site.runbook("report-who-left.md")


def test_the_official_client_is_answered(site: Cli) -> None:
    [endpoint] = site.json("serving", "status")["endpoints"]
    with official(endpoint, (site.folder / "serving/chat.key").read_text().strip()) as client:
        assert [it.id for it in client.models.list()] == sorted(endpoint["models"]) == MODELS
        asked = client.completions.create(
            model="smollm2", prompt="The capital of France is", max_tokens=8, temperature=0, stream=True
        )
        pieces = [it.choices[0].text for it in asked if it.choices]
        assert len(pieces) > 3
        assert "Paris" in "".join(pieces)
        with pytest.raises(openai.NotFoundError, match="no such model"):
            client.completions.create(model="other", prompt="x")
    with official(endpoint, "dt-none") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_embeddings_of_either_track(site: Cli) -> None:
    """The official client asks for them in base64; what is measured on the host is drawn."""
    [endpoint] = site.json("serving", "status")["endpoints"]
    for residency in ("local", "cloud"):
        key = site.json("serving", "key", "add", f"embeds-{residency}", "--residency", residency)["key"]
        assert embeds(endpoint, key, "minilm") == residency
        site("serving", "key", "revoke", f"embeds-{residency}", "--yes")
    site.runbook("serve-embeddings.md")
    tuned = json.loads((site.folder / "runbook/tuned.json").read_text())
    assert [it["batch"] for it in tuned["rows"]] == [0, 8]
    assert tuned["rows"][1]["mean_batch"] > 2 > tuned["rows"][0]["mean_batch"]
    assert (site.folder / "runbook/minilm.png").stat().st_size > 10_000


def test_the_official_client_for_node_is_answered(site: Cli, tmp_path: Path) -> None:
    """Also when it leaves a stream in the middle."""
    [endpoint] = site.json("serving", "status")["endpoints"]
    for name in ("package.json", "package-lock.json", "ask.mjs"):
        shutil.copy(ROOT / "tests/conformance" / name, tmp_path)
    tool = str(ROOT / "ci/tool.sh")
    run([tool, "node:npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=tmp_path, timeout=300)
    asked = {
        "BASE_URL": f"{endpoint['url']}/v1", "API_KEY": (site.folder / "serving/chat.key").read_text().strip(),
        "NODE_EXTRA_CA_CERTS": endpoint["ca_file"],
    }  # fmt: skip
    found = json.loads(run([tool, "node", "ask.mjs"], cwd=tmp_path, env=asked, timeout=300).stdout)
    assert found["models"] == MODELS
    assert "Paris" in found["text"]
    assert "Paris" in found["again"]
    assert found["engine"].startswith("serving-")
    assert found["whole"]["pieces"] > 2
    assert found["whole"]["usage"]["completion_tokens"] >= found["whole"]["pieces"]
    assert found["left"] == {"pieces": 2, "usage": None}
    assert found["model"] == "NotFoundError 404 model_not_found"
    assert found["key"] == "AuthenticationError 401 invalid_api_key"
    assert found["much"].startswith("BadRequestError 400")


def test_the_knowledge_base_answers_from_either_track(site: Cli) -> None:
    [cloud] = {it["engine"] for it in site.json("serving", "status")["engines"] if it["track"] == "cloud"}
    site.runbook("ask-the-knowledge-base.md")
    knowledge_site.answers(site, without(site, cloud))


def test_a_tenant_gets_keys_and_loses_them(site: Cli) -> None:
    said = site.runbook("add-a-tenant.md")
    assert "data: [DONE]" in said, "the answer was not streamed to its end"
    assert "there is no such model for this tenant" in said
    assert "the API key is missing or not known" in said
    assert said.count("revoked k-") == 2, said
    assert site.json("serving", "key", "list")["tenants"] == ["lab", "knowledge"]
    used = {it["tenant"]: it["tokens"] for it in site.json("serving", "usage")["tenants"]}
    assert used["research"] >= 16, "its answer had 16 tokens, and its question some"


def test_an_operator_switches_holds_and_drains(site: Cli) -> None:
    said = site.runbook("switch-by-hand.md")
    assert said.count(" on the local track: ") == 2, said  # switched to it, and with the other one held
    [now] = site.json("failover", "status")["gateways"]
    assert (now["first"], now["held"]) == ("usual", [])
    site("failover", "hold", "local")  # the cloud track answers
    done = site("failover", "hold", "cloud", check=False)
    assert (done.returncode, "nothing would answer as minilm, smollm2" in done.stderr) == (5, True)
    site("failover", "release", "local")
    # The change itself is made in the molecule scenario `gateway`, under load.
    assert "sovereign-1" in site.runbook("change-a-model-version.md")


def test_a_model_is_seen_to_answer(site: Cli) -> None:
    said = site.runbook("add-a-model.md")
    assert " on the cloud track" in said
    assert "A100" in site.runbook("serve-on-gpus.md")


def test_what_happens_on_a_host_is_found_by_the_auditor(site: Cli) -> None:
    words = ("logger", "--priority", "authpriv.info", "--tag", "sudo", "mallory : COMMAND=/bin/sh")
    nobody = ("setpriv", "--reuid=nobody", "--clear-groups")  # runuser would log the words itself
    site("lab", "exec", "gateway-1", "--", *nobody, *words[:-1], "bo : mallory COMMAND=/bin/id")
    site("lab", "exec", "gateway-1", "--", *words)
    begin = time.monotonic()

    def found() -> list[dict[str, Any]]:
        return list(site.json("audit", "search", "--as", "bo", "--text", "mallory", "--kind", "sudo")["records"])

    [event] = wait(found, 60, "the event in the store")
    print(f"in the store after {time.monotonic() - begin:.1f} s")
    assert event["host"] == "gateway-1"
    # What somebody else said before it, under the name of sudo, is there, and not as sudo's word.
    [forged] = site.json("audit", "search", "--as", "bo", "--text", "mallory", "--kind", "journal")["records"]
    assert forged["source"] != "sudo"
    gaps = site.json("audit", "search", "--as", "bo", "--kind", "gap")["records"]
    print(*(f"{it['host']} {it}" for it in gaps), sep="\n")


def test_the_stores_copy_holds_before_the_registered_key(site: Cli, tmp_path: Path) -> None:
    site("audit", "fetch", "gateway-1", str(tmp_path / "trail"), "--as", "bo")
    # What came last may not be signed yet; all else is.
    site("audit", "verify", str(tmp_path / "trail"), "--key", str(site.state / "audit-keys/gateway-1.pem"))


def test_state_is_restored_where_it_was_lost(site: Cli, tmp_path: Path) -> None:
    """The restored authority, host keys and inventories are those with which the hosts are in order."""
    assert "belongs to" in site.runbook("back-up-the-state.md")
    (tmp_path / "vault.pub").write_text(site("keys", "new", "-o", str(tmp_path / "vault.pem")).stdout)
    site("state", "backup", str(tmp_path / "state.sealed"), "--recipient", str(tmp_path / "vault.pub"))
    words = ("state", "restore", str(tmp_path / "state.sealed"), "--identity", str(tmp_path / "vault.pem"), "--yes")
    done = site(*words, check=False)
    assert (done.returncode, "is there already" in done.stderr) == (5, True)
    site.state.rename(tmp_path / "lost")
    site(*words)
    site("verify")
    site("up")


def test_inventory_feeds_ansible(site: Cli) -> None:
    sources = ("-i", ROOT / "inventories/common", "-i", ROOT / "inventories/dynamic.sh")
    graph = subprocess.run(
        [CLI.parent / "ansible-inventory", *sources, "--graph"],
        env=site.env, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = rows(site)
    for name, host in names.items():
        assert graph.count(f"--{name}\n") >= 3, graph
        assert f"@track_{host['track']}:" in graph
    assert "@role_gpu:" in graph
    assert "@lifecycle_on_demand:" in graph


def test_hosts_let_in_what_the_inventory_allows_and_nothing_else(site: Cli) -> None:
    wrong, right = port_scan.scan(site, rows(site))
    assert not wrong, "\n".join(wrong)
    print(f"{right} connections between hosts are open, all of them allowed")


def test_scaled_out_group_brings_a_host_that_cloud_up_configures_and_no_other_node(site: Cli) -> None:
    """Beside it the controllers, who are told of it."""
    before = rows(site)
    said = site.runbook("scale-a-pool.md")
    configured = {name for line in re.findall(r"configuring (.*)", said) for name in line.split(", ")}
    assert {before[name]["pool"] for name in configured & before.keys()} == {"control"}
    assert len(configured - before.keys()) == 1
    assert {host["state"] for host in rows(site).values()} == {"up"}


def test_terminated_instance_is_replaced_and_configured(site: Cli) -> None:
    before = rows(site)
    site.runbook("replace-a-node.md")
    assert len(rows(site).keys() - before.keys()) == 1


def test_broken_host_turns_verify_red_and_the_next_up_mends_it_and_no_other(site: Cli) -> None:
    """No input has changed, and the host's record says that nothing needs to be applied: a check says that it must."""
    said = site.runbook("red-verify.md")
    assert "bbr" in said.lower()
    # The page takes the first one of the local track.
    assert re.findall(r"configuring (.*)", said) == [
        next(name for name, it in rows(site).items() if it["track"] == "local")
    ]
    assert {host["state"] for host in rows(site).values()} == {"up"}


def test_a_serving_node_is_taken_out(site: Cli) -> None:
    site.runbook("take-a-node-out.md")


def test_host_that_is_off_is_down_and_a_gateway_replaced(site: Cli) -> None:
    """In the run that replaces it, a host without a record and one with half of a package list are configured, too."""
    name = site.json("serving", "status")["endpoints"][0]["gateway"]
    site("lab", "exec", name, "--", "systemctl", "poweroff")
    wait(lambda: rows(site)[name]["state"] == "down")
    done = site("verify", "--limit", name, check=False)
    assert (done.returncode, name in done.stdout) == (1, True)
    site("lab", "power-on", name)
    wait(lambda: rows(site)[name]["state"] != "down", what="the gateway's return")
    # What was verified was another boot of it.
    assert (rows(site)[name]["state"], rows(site)[name]["verified_at"]) == ("unverified", "")
    half_read(site, "sovereign-1")
    site("lab", "exec", "log-1", "--", "rm", unchanged.RECORD)
    said = site.runbook("replace-a-gateway.md")
    assert " track: " in said
    [configured] = re.findall(r"configuring (.*)", said)
    assert set(configured.split(", ")) == {name, "log-1", "sovereign-1"}
    assert {host["state"] for host in rows(site).values()} == {"up"}


def test_somebody_joins_and_leaves(site: Cli) -> None:
    said = site.runbook("join-and-leave.md")
    assert "who audits changes nothing" in said
    # All but what a stranger, who has no account, would have to try on a host: the scheduler.
    assert said.count("122 of 125 cells tried, 122 as they must be") == 2, said


def test_the_glass_is_broken_and_mends(site: Cli) -> None:
    said = site.runbook("break-glass.md")
    assert "chen is administrator until" in said


def test_the_local_track_answers_alone(site: Cli) -> None:
    site("cloud", "down", timeout=UP_S)
    assert " at https://" in site("local", "up", timeout=UP_S).stdout
    answer = site.json("serving", "chat", "--model", "smollm2", "--max-tokens", "16", "Name a city in France.")
    assert (answer["end"]["track"], bool(answer["text"].strip())) == ("local", True)
    assert site.json("serving", "status")["problems"] == []


def test_down_leaves_nothing(site: Cli) -> None:
    layout = Store(site.folder).layout
    site("cloud", "down", timeout=UP_S)
    site("local", "down")
    assert site.json("status")["hosts"] == []
    assert (
        layout.namespace
        not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    )
    assert layout.id not in subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    assert str(site.folder) not in Path("/proc/mounts").read_text()
    assert living(layout.cgroup) == []
