"""Elasticsearch in the role opensearch: its files are whole, and who may do what is what OpenSearch's roles say.

No Elasticsearch runs here. What its privileges mean is taken from its own source (PRIVILEGES), and what OpenSearch's
groups of actions mean from its.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.filter.core import FilterModule
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.paths import ROOT
from dualtrack.security.opensearch import elastic, security_config
from dualtrack.security.opensearch.security_config import Member
from dualtrack.security.pki import authority

ROLE = ROOT / "roles/opensearch"
HOSTS = ("gpu-1", "gpu-1-b", "gpu-2")
MEMBERS = (
    Member("bo", ("auditor",)), Member("anna", ("administrator",)), Member("cy", ("auditor",)),
    Member("7", ("administrator",), "glass"),
)  # fmt: skip
PASSWORDS = {"bo": "only-for-tests-bo", "7": "of nobody at all"}
WANTED = elastic.wanted(MEMBERS, PASSWORDS, nodes=("log-1",), hosts=HOSTS, snapshots="/srv/snapshots")

#: https://github.com/elastic/elasticsearch, IndexPrivilege.java and ClusterPrivilegeResolver.java of 8.x, what is used.
PRIVILEGES = {
    "create_doc": ["indices:data/write/index", "indices:data/write/index:op_type/create", "indices:data/write/bulk*"],
    "auto_configure": ["indices:admin/mapping/auto_put", "indices:admin/auto_create"],
    "create_index": ["indices:admin/create", "indices:admin/auto_create"],
    "read": ["indices:data/read/*", "indices:admin/resolve/index"],
    "monitor": ["indices:monitor/*"],
    "view_index_metadata": ["indices:admin/get", "indices:admin/mappings/*get*", "indices:admin/aliases/get",
                            "indices:admin/resolve/index", "indices:monitor/settings/get"],
    "all": ["indices:*"],
}  # fmt: skip
CLUSTER_PRIVILEGES = {
    "monitor": ["cluster:monitor/*"],
    "create_snapshot": ["cluster:admin/snapshot/create", "cluster:admin/snapshot/status*", "cluster:admin/snapshot/get",
                        "cluster:admin/repository/get"],
}  # fmt: skip
#: https://github.com/opensearch-project/security, static_config/static_action_groups.yml of 2.19, as far as used.
GROUPS = {
    "read": ["indices:data/read*", "indices:admin/mappings/fields/get*", "indices:admin/resolve/index"],
    "indices_monitor": ["indices:monitor/*"],
    "indices_all": ["indices:*"],
    "cluster_monitor": ["cluster:monitor/*"],
}
#: What somebody may try with documents and indices: OpenSearch's action, and Elasticsearch's.
ATTEMPTS = {
    "create a document": ("indices:data/write/index", "indices:data/write/index:op_type/create"),
    "search": ("indices:data/read/search", "indices:data/read/search"),
    "read a document": ("indices:data/read/get", "indices:data/read/get"),
    "scroll": ("indices:data/read/scroll", "indices:data/read/scroll"),
    "update a document": ("indices:data/write/update", "indices:data/write/update"),
    "delete a document": ("indices:data/write/delete", "indices:data/write/delete"),
    "delete an index": ("indices:admin/delete", "indices:admin/delete"),
    "close an index": ("indices:admin/close", "indices:admin/close"),
    "change settings": ("indices:admin/settings/update", "indices:admin/settings/update"),
    "make an alias": ("indices:admin/aliases", "indices:admin/aliases"),
    "create an index": ("indices:admin/create", "indices:admin/create"),
    "change a mapping": ("indices:admin/mapping/put", "indices:admin/mapping/put"),
    "copy an index": ("indices:admin/resize", "indices:admin/resize"),
    "see sizes": ("indices:monitor/stats", "indices:monitor/stats"),
}
INDICES = ("audit-gpu-1-2026.11.25", "audit-gpu-1-b-2026.11.25", "audit-gpu-2-2026.11.25", "audit-", "auditor-1",
           "logs-gpu-1-2026-11-25", "logs-gpu-1-b-2026-11-25", "logs-gpu-2-2026-11-25", "books",
           ".asked-gpu-1", ".asked-gpu-2", ".security-7")  # fmt: skip
OF_THE_CLUSTER = ("cluster:monitor/main", "cluster:monitor/health", "cluster:admin/snapshot/create",
                  "cluster:admin/snapshot/get", "cluster:admin/snapshot/delete", "cluster:admin/snapshot/restore",
                  "cluster:admin/repository/get", "cluster:admin/repository/put", "cluster:admin/settings/update",
                  "indices:admin/index_template/get", "indices:admin/index_template/put")  # fmt: skip
CALLER = "gpu-1"


def fits(pattern: str, text: str) -> bool:
    """Tell whether a pattern of either store is of a text: an expression between slashes, or `*` and `?`."""
    if pattern.startswith("/"):
        return re.fullmatch(pattern[1:-1], text) is not None
    return fnmatchcase(text, pattern)


def meant(words: Any, names: dict[str, list[str]]) -> list[str]:
    """Return the patterns of actions behind words; an action stands for itself and what begins like it."""
    return [it for word in words for it in names.get(word, [word if "*" in word else f"{word}*"])]


def there(kind: str, action: str, index: str) -> bool:
    """Tell what OpenSearch says."""
    return any(
        fits(pattern.replace("${user.name}", CALLER), index) and any(fits(it, action) for it in meant(actions, GROUPS))
        for pattern, actions in security_config.ROLES[kind][1]
    )


def here(roles: list[str], action: str, index: str) -> bool:
    """Tell what Elasticsearch says to somebody with these roles."""
    return any(
        any(fits(pattern, index) for pattern in entry["names"])
        and any(fits(it, action) for it in meant(entry["privileges"], PRIVILEGES))
        for role in roles
        for entry in WANTED.roles[role]["indices"]
    )


def named(kind: str) -> list[str]:
    """Return the roles of a caller of a kind, by what its certificate says."""
    subject = {
        "auditor": authority.distinguished("person", "bo"), "administrator": authority.distinguished("person", "anna"),
    }.get(kind) or f"CN={CALLER},OU={security_config.MACHINES.get(kind, [''])[0]},O=dualtrack"  # fmt: skip
    return roles_of(subject)


def roles_of(subject: str) -> list[str]:
    """Return the roles that mappings give a certificate."""
    found = []
    for mapping in WANTED.mappings.values():
        realm, name = (it["field"] for it in mapping["rules"]["all"])
        assert realm == {"realm.name": "dualtrack"}
        names = name["dn"] if isinstance(name["dn"], list) else [name["dn"]]
        if any(subject.endswith(it[1:]) if it.startswith("*,") else subject == it for it in names):
            found += mapping["roles"]
    return found


@pytest.mark.parametrize("kind", security_config.ROLES)
def test_each_kind_may_do_what_it_may_do_there_and_no_more(kind: str) -> None:
    roles = named(kind)
    assert len(roles) == 1
    allowed = set()
    for what, (action, its) in ATTEMPTS.items():
        for index in INDICES:
            told = there(kind, action, index)
            assert here(roles, its, index) == told, (what, index)
            allowed |= {what} if told else set()
    assert allowed
    words = meant(WANTED.roles[roles[0]]["cluster"], CLUSTER_PRIVILEGES)
    for action in OF_THE_CLUSTER:
        told = any(fits(it, action) for it in meant(security_config.ROLES[kind][0], GROUPS))
        assert any(fits(it, action) for it in words) == told, action


@pytest.mark.parametrize(("kind", "index"), [("audit_shipper", INDICES[0]), ("log_sender", INDICES[5])])
def test_who_sends_has_no_index_come_by_itself_and_cannot_overwrite(kind: str, index: str) -> None:
    roles = named(kind)
    assert not here(roles, "indices:admin/auto_create", index)
    assert not here(roles, "indices:admin/mapping/auto_put", index)
    assert here(roles, "indices:data/write/bulk[s]", index)
    assert not here(roles, "indices:data/write/index:op_type/index", index)
    assert not here(roles, "indices:admin/create", index)


def test_nobody_is_somebody_else() -> None:
    assert roles_of("CN=bo,OU=shipper,O=dualtrack") == []
    assert roles_of("CN=gpu-1,OU=person-gpu-1,O=dualtrack") == []
    assert roles_of(authority.distinguished("person", "7")) == []
    assert roles_of("CN=gpu-1,OU=node,O=dualtrack") == []
    assert roles_of("CN=log-1,OU=node,O=dualtrack") == ["log_gate", "kibana_system"]
    assert "superuser" not in {role for it in WANTED.mappings.values() for role in it["roles"]}


def test_a_witness_sees_heads_alone_and_the_gate_writes_logs_alone() -> None:
    (entry,) = WANTED.roles["witness"]["indices"]
    assert entry["query"] == security_config.SEEN["witness"]
    for index in INDICES:
        told = here(["log_gate"], "indices:data/write/index:op_type/create", index)
        assert told == index.startswith("logs-")
        assert not here(["log_gate"], "indices:data/read/search", index)


@given(st.text("audit-.xé", max_size=9).filter(bool))
def test_ordinary_indices_are_the_same_without_look_ahead(name: str) -> None:
    assert fits(elastic.ordinary(), name) == fits(security_config.ORDINARY, name)


def answered(wanted: elastic.Wanted) -> elastic.Found:
    """Return a store that has what is wanted, as its API would tell it, beside what it brings itself."""
    roles = {
        name: {**it, "run_as": [], "metadata": {}, "transient_metadata": {"enabled": True},
               "indices": [{**entry, "allow_restricted_indices": False} for entry in it["indices"]]}
        for name, it in wanted.roles.items()
    } | {"superuser": {"cluster": ["all"], "metadata": {"_reserved": True}}}  # fmt: skip
    users = {
        name: {**it, "username": name, "full_name": None, "email": None, "metadata": {}}
        for name, it in wanted.users.items()
    } | {"elastic": {"roles": ["superuser"], "metadata": {"_reserved": True}, "enabled": True}}
    mappings = {name: {**it, "metadata": {}} for name, it in wanted.mappings.items()}
    repository = {**wanted.repository, "uuid": "Zx"}
    templates = {name: {**it, "composed_of": []} for name, it in wanted.templates.items()}
    return elastic.Found(
        roles=roles, mappings=mappings, users=users, templates=templates, repository=repository, license="",
        fits=frozenset(wanted.users),
    )  # fmt: skip


def test_a_new_store_gets_all_of_it_and_a_settled_one_nothing() -> None:
    made = elastic.plan(elastic.Found(roles={}, mappings={}, users={}), WANTED, PASSWORDS)
    assert len(made) == len(WANTED.roles) + len(WANTED.mappings) + len(WANTED.users) + 3
    assert {it.path for it in made} >= {
        "/_security/role/audit_shipper-gpu-1", "/_security/role_mapping/witness", "/_security/user/bo",
        "/_index_template/audit", "/_index_template/logs", "/_snapshot/disk",
    }  # fmt: skip
    assert [it.body["password"] for it in made if it.name.startswith("user ")] == ["only-for-tests-bo"]
    assert elastic.plan(answered(WANTED), WANTED, PASSWORDS) == []


def test_what_somebody_gave_himself_goes_first() -> None:
    found = answered(WANTED)
    gift = {"enabled": True, "roles": ["superuser"], "rules": {"field": {"username": "anna"}}, "metadata": {}}
    wider = {**found.roles["administrator"], "cluster": ["all"]}
    found = msgspec.structs.replace(
        found, mappings={**found.mappings, "gift": gift}, roles={**found.roles, "administrator": wider},
        users={**found.users, "eve": {"roles": ["superuser"], "metadata": {}, "enabled": True}}, fits=frozenset(),
    )  # fmt: skip
    made = elastic.plan(found, WANTED, PASSWORDS)
    assert [(it.method, it.name) for it in made] == [
        ("DELETE", "role_mapping gift"), ("DELETE", "user eve"), ("PUT", "role administrator"), ("PUT", "user bo"),
    ]  # fmt: skip


def test_one_who_left_and_one_who_was_disabled() -> None:
    found = answered(WANTED)
    left = elastic.wanted(MEMBERS[1:], PASSWORDS, nodes=("log-1",), hosts=HOSTS[1:], snapshots="/srv/snapshots")
    made = {(it.method, it.name) for it in elastic.plan(found, left, PASSWORDS)}
    assert made == {
        ("DELETE", "user bo"), ("PUT", "role_mapping auditor"),
        *(("DELETE", f"{part} {role}-gpu-1") for part in ("role", "role_mapping")
          for role in ("audit_shipper", "log_sender")),
    }  # fmt: skip
    off = msgspec.structs.replace(found, users={**found.users, "bo": {**found.users["bo"], "enabled": False}})
    assert [it.name for it in elastic.plan(off, WANTED, PASSWORDS)] == ["user bo"]


def test_a_license_comes_first_and_once() -> None:
    license = {"license": {"uid": "893361dc", "type": "platinum"}}
    wanted = msgspec.structs.replace(WANTED, license=license)
    assert elastic.plan(elastic.Found(roles={}, mappings={}, users={}), wanted, PASSWORDS)[0].name == "license"
    found = msgspec.structs.replace(answered(WANTED), license="893361dc")
    assert elastic.plan(found, wanted, PASSWORDS) == []


# --- files

NAMES = ("log-1", "log-2", "log-3")


def rendered(name: str, nodes: int, **more: Any) -> str:
    """Return a template of the role for a cluster of some nodes, nothing in it undefined."""
    those = [{"name": it, "address": f"10.30.0.{number}"} for number, it in enumerate(NAMES[:nodes], 21)]
    variables = yaml.safe_load((ROLE / "defaults/main.yml").read_text()) | {
        "inventory_hostname": "log-1", "ansible_managed": "Made", "opensearch_nodes": those,
        "__opensearch_me": those[0],
        "__opensearch_host": {"maps": 65530, "mount": "/srv/audit"}, "opensearch_snapshot_dir": "/srv/snapshots",
        "opensearch_mount_required": True, "__opensearch_elastic_keyring": "/etc/apt/keyrings/x.asc",
    } | more  # fmt: skip
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    made.filters |= FilterModule().filters()
    return made.get_template(f"{name}.j2").render(variables)


def templates() -> list[str]:
    return [it["name"] for it in yaml.safe_load((ROLE / "vars/main.yml").read_text())["__opensearch_elastic_templates"]]


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("name", [*templates(), "repository-apt"])
def test_every_file_is_whole(name: str, nodes: int) -> None:
    text = rendered(name, nodes)
    assert "{{" not in text
    assert text.startswith("#")
    if name.endswith(".yml"):
        keys = [line.split(":")[0] for line in text.splitlines() if re.match(r"[a-zA-Z]", line)]
        assert len(keys) == len(set(keys)), "a setting stands in it twice"
        assert isinstance(yaml.safe_load(text), dict)


@pytest.mark.parametrize("nodes", [1, 3])
def test_the_store_speaks_tls_alone_and_lets_nodes_alone_among_nodes(nodes: int) -> None:
    settings = yaml.safe_load(rendered("elasticsearch.yml", nodes))
    for layer in ("transport", "http"):
        assert settings[f"xpack.security.{layer}.ssl.enabled"] is True
    assert settings["xpack.security.transport.ssl.client_authentication"] == "required"
    assert settings["xpack.security.transport.ssl.trust_restrictions.path"] == "dualtrack/trust.yml"
    assert yaml.safe_load(rendered("trust.yml", nodes)) == {"trust.subject_name": list(NAMES[:nodes])}
    assert (settings.get("discovery.type") == "single-node") == (nodes == 1)
    assert len(settings.get("cluster.initial_master_nodes", [""])) == nodes
    assert settings["stack.templates.enabled"] is False
    realms = {key.split(".")[5] for key in settings if key.startswith("xpack.security.authc.realms.pki.")}
    assert realms == {elastic.REALM}
    mapped = yaml.safe_load(rendered("role_mapping.yml", nodes))
    assert mapped == {"superuser": [authority.distinguished("admin", "admin")]}


def test_kibana_asks_every_node_and_never_lends_its_certificate() -> None:
    settings = yaml.safe_load(rendered("kibana.yml", 3))
    assert settings["elasticsearch.hosts"] == [f"https://10.30.0.{it}:9200" for it in (21, 22, 23)]
    assert settings["elasticsearch.ssl.alwaysPresentCertificate"] is False
    assert settings["elasticsearch.ssl.verificationMode"] == "full"


@pytest.mark.parametrize("nodes", [1, 3])
def test_the_pipeline_takes_devices_by_certificate_into_their_own_index(nodes: int) -> None:
    text = re.sub(r"(?m)^\s*#.*$", "", rendered("pipeline.conf", nodes))
    bare = re.sub(r'"[^"]*"', '""', text)
    depth = 0
    for sign in bare:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("[") == bare.count("]")
    assert text.count('ssl_client_authentication => "required"') == 2
    assert text.count("ssl_enabled => true") == 3
    assert text.count(":9200") == nodes
    # What it makes of a certificate: the name of a device, and of nobody else.
    (device,) = re.findall(r'"DEVICE" => "(.*?)"', text)
    (subject, again) = re.findall(r'subject\]" => "(.*?)"', text)
    assert subject == again
    expression = re.compile(subject.replace("%{DEVICE:[@metadata][device]}", f"(?P<device>{device})"))
    found = expression.match(authority.distinguished("logger", "switch-1"))
    assert found
    assert found["device"] == "switch-1"
    assert not expression.match(authority.distinguished("shipper", "switch-1"))
    assert not expression.match("CN=x,OU=logger,O=dualtrack,OU=other")
    (index,) = re.findall(r'index => "(.*?)"', text)
    made = index.replace("%{[@metadata][device]}", "switch-1").replace("%{+YYYY-MM-dd}", "2026-11-25")
    assert here(["log_gate"], "indices:data/write/index:op_type/create", made)


# --- what the role refuses


@pytest.fixture(scope="module", autouse=True)
def plugins() -> None:
    """Ansible's own lookups and tests."""
    init_plugin_loader()


def refused(tmp_path: Path, **settings: Any) -> list[str]:
    """Return what preflight says to settings, on a host with 8 GiB."""
    key = tmp_path / "key.asc"
    key.write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    loader = DataLoader()
    load = [
        loader.load_from_file(str(ROLE / it), trusted_as_template=True) for it in ("defaults/main.yml", "vars/main.yml")
    ]
    variables = {**load[0], **load[1]} | {
        "inventory_hostname": "log-1", "ansible_facts": {"pkg_mgr": "apt"}, "opensearch_ca_dir": "/srv/authority",
        "opensearch_nodes": [{"name": "log-1", "address": "10.30.0.21"}], "opensearch_distribution": "elastic",
        "opensearch_elastic_key": str(key), "opensearch_elastic_version": "8.17.0", "opensearch_hosts": ["gpu-1"],
        "__opensearch_host": {"machine": "x86_64", "memory": 8192, "open_files": 65535, "python": "3.11",
                              "roots_own": True},
    } | settings  # fmt: skip
    check = loader.load_from_file(str(ROLE / "tasks/preflight.yml"), trusted_as_template=True)[2]
    templar = Templar(loader, variables=variables)
    rules = [templar.template(it) for it in check["loop"]]
    return [it["remedy"] for it in rules if it["right"] is not True and it["right"] != "True"]


def test_settings_that_are_right_pass(tmp_path: Path) -> None:
    assert refused(tmp_path) == []
    plain = {"opensearch_distribution": "opensearch", "opensearch_elastic_key": "", "opensearch_elastic_version": ""}
    assert refused(tmp_path, **plain) == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"opensearch_distribution": "solr"}, "write opensearch or elastic"),
        ({"ansible_facts": {"pkg_mgr": "dnf"}}, "needs apt"),
        ({"opensearch_elastic_repository": "artifacts/8.x"}, "address of the vendor's apt repository"),
        ({"opensearch_elastic_key": ""}, "ASCII-armoured"),
        ({"opensearch_elastic_key": "/nowhere/key.asc"}, "ASCII-armoured"),
        ({"opensearch_elastic_version": ""}, "write it as 8.17.0"),
        ({"opensearch_elastic_version": "8.9.0"}, "8.12 or later"),
        ({"opensearch_elastic_version": "9.0.0"}, "8.12 or later"),
        ({"opensearch_elastic_license": "/nowhere/license.json"}, "the vendor's file on the controller"),
        ({"opensearch_hosts": ["gpu-1", "GPU*"]}, "GPU* cannot be in a certificate"),
        ({"opensearch_kibana_port": 9200}, "must be five ports"),
        ({"opensearch_heap": "3g"}, "Logstash and Kibana take"),
    ],
)
def test_settings_that_are_wrong_are_refused(tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    (said,) = refused(tmp_path, **settings)
    assert reason in said
