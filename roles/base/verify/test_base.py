"""What every host promises: who gets in, what time it is, what a login may use, and that the journal stays."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

CAP_SYS_RESOURCE = 24  # capabilities(7)


KEYS = "/etc/ssh/authorized_keys.d"


def ssh_setting(host: Any, name: str, user: str) -> str:
    """Return what the ssh server would do for ``user``, by its own account."""
    words = host.check_output("sshd -T -C user=%s,host=verify,addr=192.0.2.1", user)
    return dict(line.split(" ", 1) for line in words.splitlines())[name]


def hard_limit(host: Any, name: str, wanted: float) -> float:
    """Return the limit that can be had: inside a container it ends where the container's own began."""
    mask = int(host.check_output("sed -n 's/^CapBnd:[[:space:]]*//p' /proc/1/status"), 16)
    if mask >> CAP_SYS_RESOURCE & 1:
        return wanted
    line = host.check_output("grep %s /proc/1/limits", name)
    return min(wanted, as_number(re.split(r"\s{2,}", line)[2]))


def as_number(text: str) -> float:
    """Return a limit as a number; `unlimited` is more than any."""
    return float("inf") if text.strip() in {"unlimited", "infinity"} else float(text)


@pytest.mark.service("ssh")
def test_passwords(host: Any, hostvars: dict[str, Any]) -> None:
    """The ssh server offers a password login to nobody, unless it was asked to."""
    # The answer to a login without any proof lists what the server would take.
    said = host.run(
        "ssh -o BatchMode=yes -o PreferredAuthentications=none -o StrictHostKeyChecking=no "
        "-o UserKnownHostsFile=/dev/null nobody@127.0.0.1 true || echo refused"
    )
    assert said.stdout.strip() == "refused", "an ssh login without any proof was accepted"
    offered = re.search(r"Permission denied \(([^)]*)\)", said.stderr)
    assert offered, f"the ssh server refused in an unexpected way: {said.stderr.strip()}"
    takes_passwords = bool({"password", "keyboard-interactive"} & set(offered[1].split(",")))
    assert takes_passwords is hostvars["base_ssh_password_login"], f"the ssh server offers {offered[1]}"


def test_root(host: Any, hostvars: dict[str, Any]) -> None:
    """Root logs in over ssh only as far as the settings allow, and never with a password."""
    expected = {"no": {"no"}, "prohibit-password": {"prohibit-password", "without-password"}}
    assert ssh_setting(host, "permitrootlogin", "root") in expected[hostvars["base_ssh_root_login"]]


def test_empty_passwords(host: Any) -> None:
    """An account with an empty password cannot log in over ssh."""
    assert ssh_setting(host, "permitemptypasswords", "nobody") == "no"


def test_allowed_users(host: Any, hostvars: dict[str, Any]) -> None:
    """Only the named users may log in over ssh, where the settings name any."""
    allowed = hostvars["base_ssh_allow_users"]
    output = host.check_output("sshd -T")
    named = {line.split(" ", 1)[1] for line in output.splitlines() if line.startswith("allowusers ")}
    assert named == set(allowed)


def test_accounts(host: Any, hostvars: dict[str, Any]) -> None:
    """Every account of the inventory is there with its keys and its right to sudo, and the removed ones are gone."""
    for account in hostvars["base_users"]:
        name = account["name"]
        user = host.user(name)
        if account.get("state", "present") == "absent":
            assert not user.exists, f"{name} was to be removed and is still there"
            continue
        assert user.exists, f"{name} is missing"
        root = host.run("sudo -n -u %s sudo -n true", name).rc == 0
        assert root is account.get("sudo", False), f"{name} becomes root: {root}"
        keys = host.file(f"{KEYS}/{name}").content_string.split("\n")
        assert {key for key in keys if key} == {key.strip() for key in account.get("ssh_keys", [])}, f"keys of {name}"


def test_keys_are_roots_alone(host: Any) -> None:
    """Only files that root alone can change say whose key lets whom in."""
    assert ssh_setting(host, "authorizedkeysfile", "nobody") == f"{KEYS}/%u"
    loose = host.check_output(f"find {KEYS} '(' ! -user root -o -perm /022 -o ! -type f ! -path {KEYS} ')'")
    assert not loose, f"others can change {loose}"


@pytest.mark.parametrize("address", ["169.254.169.254", "[fd00:ec2::254]"])
def test_metadata_service(host: Any, hostvars: dict[str, Any], address: str) -> None:
    """The metadata service, which hands out the instance's role, is closed to a user who is not named; not to root."""
    if not hostvars["base_metadata_restricted"]:
        pytest.skip("base_metadata_restricted is false for this host")
    ask = f"curl --silent --output /dev/null --max-time 5 http://{address}/"
    refused = host.run(f"runuser -u nobody -- {ask}")
    assert refused.rc == 7, f"an ordinary user is not refused at once: curl ends with {refused.rc}"
    rules = host.check_output("nft list chain inet dualtrack_metadata output")
    assert address.strip("[]") in rules
    if not address.startswith("["):  # the service answers by IPv6 only where it was switched on
        assert host.run(ask).rc == 0, "root does not reach the metadata service"


def test_metadata_users(host: Any, hostvars: dict[str, Any]) -> None:
    """Those who may ask the metadata service are root and the named users, by their numbers of now."""
    if not hostvars["base_metadata_restricted"]:
        pytest.skip("base_metadata_restricted is false for this host")
    rules = host.check_output("nft list chain inet dualtrack_metadata output")
    there = {host.user(it).uid for it in hostvars["base_metadata_users"] if host.user(it).exists}
    for found in re.findall(r"skuid != (\{[^}]*\}|\S+)", rules):
        named = {it.strip() for it in found.strip("{}").split(",")}
        assert {int(host.check_output("id -u %s", it)) for it in named} == {0, *there}
    assert host.service("dualtrack-metadata.service").is_enabled


def test_firewall(host: Any, hostvars: dict[str, Any]) -> None:
    """The kernel drops what arrives and no rule lets in; there is a rule for each port that the settings open."""
    if not hostvars["base_firewall"]:
        pytest.skip("base_firewall is false for this host")
    rules = host.check_output("nft list chain inet dualtrack_firewall input")
    assert "policy drop;" in rules
    open_ports = {it["ports"] for it in [*hostvars["base_firewall_rules"], *hostvars["base_firewall_extra_rules"]]}
    found = set(re.findall(r"(?:tcp|udp) dport ([0-9-]+)(?: accept| counter)", rules))
    assert open_ports - {""} == found - {"22", "68", "546"}
    assert host.service("dualtrack-firewall.service").is_enabled


@pytest.mark.service("chrony")
def test_time_sources(host: Any, hostvars: dict[str, Any]) -> None:
    """chronyd runs and asks the time servers that the settings name."""
    output = host.check_output("chronyc -n -c sources")
    asked = {line.split(",")[2] for line in output.splitlines()}
    servers, pools = set(hostvars["base_ntp_servers"]), hostvars["base_ntp_pools"]
    addresses = {server for server in servers if re.fullmatch(r"[0-9a-fA-F.:]+", server)}
    assert addresses <= asked, f"chronyd does not ask {', '.join(sorted(addresses - asked))}"
    assert asked or not (servers or pools), "chronyd asks nobody"


@pytest.mark.service("chrony")
def test_time_is_followed(host: Any, hostvars: dict[str, Any]) -> None:
    """The clock follows a time server."""
    if not hostvars["base_ntp_require_sync"]:
        pytest.skip("base_ntp_require_sync is false for this host")
    waited = host.run("chronyc -n waitsync 15 0.5 0 2")
    assert waited.rc == 0, f"the clock is not synchronised: {waited.stdout.strip().splitlines()[-1:]}"


def test_time_zone(host: Any, hostvars: dict[str, Any]) -> None:
    """The host tells the time in the time zone of the settings."""
    assert host.check_output("date +%z") == host.check_output("TZ=%s date +%%z", hostvars["base_timezone"])


@pytest.mark.parametrize(
    ("flag", "name", "variable"),
    [("n", "Max open files", "base_limit_nofile"), ("l", "Max locked memory", "base_limit_memlock")],
)
def test_limits(host: Any, hostvars: dict[str, Any], flag: str, name: str, variable: str) -> None:
    """A login and a service may open the files and pin the memory that the settings promise."""
    unit = 1024 if flag == "l" else 1  # the shell and limits.conf count memory in KiB, the kernel in bytes
    # The shell rounds down; no limit at all is infinity, which has no remainder.
    least = hard_limit(host, name, as_number(str(hostvars[variable])) * unit) - unit + 1
    login = host.check_output("su -s /bin/sh -c %s nobody", f"ulimit -H{flag}")
    assert as_number(login) * unit >= least, f"a login gets {login}"
    service = host.check_output("systemd-run --quiet --wait --pipe sh -c %s", f"ulimit -H{flag}")
    assert as_number(service) * unit >= least, f"a service gets {service}"


@pytest.mark.service("systemd-journald")
def test_journal_is_on_disk(host: Any) -> None:
    """What is logged now is in the journal on disk, where it outlives a reboot."""
    word = f"dualtrack-verify-{uuid.uuid4()}"
    host.check_output("echo %s | systemd-cat -t dualtrack-verify", word)
    host.check_output("journalctl --sync")
    assert word in host.check_output("journalctl --no-pager -n 20 -D /var/log/journal -t dualtrack-verify")


def test_journal_is_bounded(host: Any, hostvars: dict[str, Any]) -> None:
    """The journal on disk is smaller than its bound, and journald knows the bound."""
    settings = host.check_output("systemd-analyze cat-config systemd/journald.conf")
    values = re.findall(r"^SystemMaxUse=(\S+)", settings, re.MULTILINE)
    assert values[-1:] == [hostvars["base_journal_max_use"]]
    used = int(host.check_output("du -sb /var/log/journal").split()[0])
    assert used <= size(hostvars["base_journal_max_use"]), f"the journal takes {used} bytes"


def size(text: str) -> int:
    """Return systemd's notation of a size (`1G`) in bytes."""
    return int(float(text.rstrip("KMGT")) * 1024 ** ("KMGT".find(text[-1]) + 1))
