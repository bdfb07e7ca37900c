"""The lab on real parts: hosts boot and take ssh, instances become hosts, and a crash leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from msgspec import structs

from dualtrack.cloud import stack
from dualtrack.core import aws, paths
from dualtrack.inventory import render, ways
from dualtrack.inventory.model import Host
from dualtrack.lab import machine, target
from dualtrack.lab.state import Store
from dualtrack.remote import host_keys, ssh_config
from dualtrack.tracks import host_boot
from tests.conftest import CLI, ROOT, Cli, api_of, living, wait


def ec2(lab: Cli) -> Any:
    return api_of(lab, "ec2")


def hosts(lab: Cli) -> dict[str, dict[str, Any]]:
    return {host["name"]: host for host in lab.json("lab", "status")["hosts"]}


def processes_of(lab: Cli) -> list[str]:
    return living(Store(lab.folder).layout.cgroup)


@pytest.fixture(scope="module")
def server(lab: Cli) -> str:
    lab("lab", "host", "add", "server", "--gpus", "8")
    return "server"


@pytest.fixture(scope="module")
def subnet(lab: Cli) -> str:
    api = ec2(lab)
    vpc = api.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    api.import_key_pair(KeyName="ops", PublicKeyMaterial=Store(lab.folder).public_key().encode())
    subnet: str = api.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/24", AvailabilityZone="us-east-1a")["Subnet"][
        "SubnetId"
    ]
    return subnet


@pytest.mark.usefixtures("server")
def test_machine_has_room_for_hosts() -> None:
    """Each host has some inotify instances, and all of a machine's hosts have them on one account."""
    assert int(machine.INOTIFY.read_text()) >= machine.INSTANCES


def test_server_takes_ssh_with_its_key_checked(lab: Cli, server: str) -> None:
    done = lab("lab", "ssh", server, "--", "sudo id -u; uname -n; systemctl is-system-running")
    assert done.stdout.split() == ["0", "server", "running"]


def test_ssh_reaches_a_host_through_another_one(lab: Cli, server: str, tmp_path: Path) -> None:
    """The address is the server's loopback: from here it leads elsewhere."""
    store, jump = Store(lab.folder), host_of(server, hosts(lab)[server]["address"])
    facts = {**target.connection(store)(jump), "ansible_host": jump.address, "ansible_user": jump.user}
    config = tmp_path / "config"
    config.write_text(
        "\n".join(["Host jump", *(f"{it} {value}" for it, value in ssh_config.settings("it", facts).items())])
    )
    # The operator's own ssh configuration, of which the command for the jump host knows the name.
    (tmp_path / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
    (tmp_path / "ssh").chmod(0o755)
    inner = structs.replace(host_of(server, "127.0.0.1"), proxy=ways.by_jump("jump", "it"))
    words = host_boot.ssh_words(inner, render.direct(store.known_hosts.file, str(store.key)))
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([*words, "uname -n"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.returncode) == ("server\n", 0), done.stderr


def host_of(name: str, address: str) -> Host:
    return Host(name=name, address=address, user="ops", track="local", pool="local", lifecycle="owned")


def test_changed_host_key_is_refused(lab: Cli, server: str) -> None:
    known = Store(lab.folder).known_hosts.file
    before = known.read_text()
    impostor = "AAAAC3NzaC1lZDI1NTE5AAAAIE" + "A" * 42
    known.write_text(f"{server} ssh-ed25519 {impostor}\n")
    try:
        done = lab("lab", "ssh", server, "true", check=False)
    finally:
        known.write_text(before)
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_exec_runs_as_root_and_passes_the_exit_code_on(lab: Cli, server: str) -> None:
    assert lab("lab", "exec", server, "--", "cat", "/etc/hostname").stdout == "server\n"
    assert lab("lab", "exec", server, "--", "sh", "-c", "exit 7", check=False).returncode == 7


def test_fake_gpus_answer_and_take_faults(lab: Cli, server: str) -> None:
    query = (
        "lab",
        "exec",
        server,
        "--",
        "nvidia-smi",
        "--query-gpu=ecc.errors.uncorrected.volatile.total",
        "--format=csv,noheader",
    )
    assert lab(*query).stdout.split() == ["0"] * 8
    lab("lab", "gpu", server, "--gpu", "3", "--ecc", "5")
    assert lab(*query).stdout.split()[3] == "5"
    lab("lab", "gpu", server, "--reset")
    assert lab(*query).stdout.split() == ["0"] * 8


def test_adding_a_host_again_changes_nothing(lab: Cli, server: str) -> None:
    before = lab("lab", "exec", server, "--", "cat", "/proc/sys/kernel/random/boot_id", "/etc/machine-id").stdout
    lab("lab", "host", "add", server, "--gpus", "8")
    assert (
        lab("lab", "exec", server, "--", "cat", "/proc/sys/kernel/random/boot_id", "/etc/machine-id").stdout == before
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("lab", "host", "add", "Bad_Name"), 2, "not a valid name"),
        (("lab", "host", "add", "x", "--address", "10.99.0.1"), 2, "outside the lab's networks"),
        (("lab", "host", "add", "x", "--address", "ten"), 2, "not an IPv4 address"),
        (("lab", "ssh", "nobody"), 2, "no lab host is called 'nobody'"),
        (("lab", "exec", "nobody", "--", "true"), 2, "no lab host is called 'nobody'"),
    ],
)
def test_bad_input_is_one_line(lab: Cli, words: tuple[str, ...], code: int, said: str) -> None:
    done = lab(*words, check=False)
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_full_disk_is_one_line_and_down_still_works(tmp_path: Path) -> None:
    """In a mount namespace of its own, on a file system of 64 KiB that is full."""
    script = (
        f"mount -t tmpfs -o size=64k tmpfs {tmp_path}; dd if=/dev/zero of={tmp_path}/fill bs=4k 2>/dev/null; "
        f"{CLI} lab up; code=$?; {CLI} lab down 2>/dev/null && exit $code"
    )
    env = {**os.environ, "DUALTRACK_LAB_DIR": str(tmp_path)}
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_taken_address_is_refused(lab: Cli, server: str) -> None:
    address = hosts(lab)[server]["address"]
    done = lab("lab", "host", "add", "second", "--address", address, check=False)
    assert (done.returncode, "taken by server" in done.stderr) == (2, True)


def test_instance_becomes_a_host_by_cloud_init_and_goes_with_it(lab: Cli, subnet: str) -> None:
    api = ec2(lab)
    user_data = "#cloud-config\nwrite_files: [{path: /etc/from-user-data, content: yes-it-ran}]\n"
    instance = api.run_instances(
        MinCount=1, MaxCount=1, ImageId="ami-12345678", InstanceType="p4d.24xlarge", KeyName="ops", SubnetId=subnet,
        UserData=user_data,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [
            {"Key": "dualtrack:pool", "Value": "spot"}, {"Key": "Name", "Value": "spot"},
        ]}],
    )["Instances"][0]  # fmt: skip
    address, name = instance["PrivateIpAddress"], f"spot-{instance['InstanceId'][2:10]}"
    store = Store(lab.folder)
    key = host_keys.wait_for_key(name, address, proxy=store.proxy_command(), stall=90)
    store.known_hosts.learn(name, key)
    wait(
        lambda: lab("lab", "ssh", name, "true", check=False).returncode == 0, 60, "login with the key that was imported"
    )
    said = lab(
        "lab",
        "ssh",
        instance["InstanceId"],
        "cloud-init status --wait; cloud-id; cat /etc/from-user-data; echo; nvidia-smi -L | wc -l; id -un",
    )
    assert said.stdout.replace(".", "").split() == ["status:", "done", "ec2", "yes-it-ran", "8", "admin"]

    base = "http://169.254.169.254/latest"
    code = f"curl -s -o /dev/null -w '%{{http_code}}' {base}/meta-data/instance-id"
    assert lab("lab", "ssh", name, code).stdout == "401"
    token = f"curl -sfX PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {base}/api/token"
    read = f'curl -sf -H "X-aws-ec2-metadata-token: $({token})" {base}/meta-data/instance-id'
    assert lab("lab", "ssh", name, read).stdout == instance["InstanceId"]

    # Its role's credentials open the API, from wherever they are used.
    role = f"{base}/meta-data/iam/security-credentials"
    ask = f'ask() {{ curl -sf -H "X-aws-ec2-metadata-token: $({token})" "$1"; }}; ask "{role}/$(ask {role}/)"'
    given = json.loads(lab("lab", "ssh", name, ask).stdout)
    keys = {"aws_access_key_id": given["AccessKeyId"], "aws_secret_access_key": given["SecretAccessKey"]}
    node = boto3.client(
        "ec2", "us-east-1", endpoint_url=api.meta.endpoint_url, aws_session_token=given["Token"], **keys
    )
    assert node.describe_instances(InstanceIds=[instance["InstanceId"]])["Reservations"]

    api.terminate_instances(InstanceIds=[instance["InstanceId"]])
    wait(lambda: name not in hosts(lab), 30, "the host's removal")
    assert not (lab.folder / "hosts" / name).exists()
    assert name not in store.known_hosts.file.read_text()


def test_the_emulated_api_has_the_image_that_the_stack_names(lab: Cli) -> None:
    [image] = ec2(lab).describe_images()["Images"]
    assert f'id = "{image["ImageId"]}"' in (ROOT / "terraform/stacks/emulator/lab.auto.tfvars").read_text()
    assert (image["Architecture"], image["State"]) == ("x86_64", "available")


def test_host_reaches_the_emulated_api_and_the_packages(lab: Cli, server: str) -> None:
    inside = lab.json("lab", "status")["aws_endpoint_inside"]
    ask = "curl --silent --data 'Action=DescribeVpcs&Version=2016-11-15'"
    assert "MissingAuthenticationToken" in lab("lab", "ssh", server, f"{ask} {inside}").stdout
    # curl signs as AWS's programs do, with keys that come by its standard input.
    keys = """awk -F ' = ' '{found[$1] = $2}
        END {print "user = " found["aws_access_key_id"] ":" found["aws_secret_access_key"]}' /root/aws-credentials"""
    signed = f"{keys} | {ask} --config - --aws-sigv4 aws:amz:us-east-1:ec2 {inside}"
    told = lab("lab", "exec", server, "--", "sh", "-c", signed)
    assert "DescribeVpcsResponse" in told.stdout
    lab("lab", "ssh", server, "sudo apt-get update -qq")


def test_accounts_without_the_credentials_list_no_bucket(lab: Cli, server: str) -> None:
    """As an ordinary account, of this machine or of a host, which is what a job is."""
    api_of(lab, "s3").create_bucket(Bucket="content")
    status = lab.json("lab", "status")
    file = Path(status["aws_credentials_file"])
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, 0)
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    scope = f"{datetime.now(UTC):%Y%m%d}/us-east-1/s3/aws4_request"
    lies = f"Authorization: AWS4-HMAC-SHA256 Credential=lab/{scope}, SignedHeaders=host, Signature={'0' * 64}"
    for where, endpoint, own in (
        ([], status["aws_endpoint"], str(file)),
        (["lab", "exec", server, "--"], status["aws_endpoint_inside"], "/root/aws-credentials"),
    ):

        def run(*words: str, where: list[str] = where) -> str:
            if where:
                return lab(*where, *nobody, *words, check=False).stdout
            return subprocess.run([*nobody, *words], capture_output=True, text=True, check=False).stdout

        assert run("id", "-un") == "nobody\n"
        assert run("cat", own) == ""
        for path in ("/", "/content", "/moto-api/data.json"):
            for more in ([], ["--header", lies]):
                said = run("curl", "--silent", "--write-out", "%{http_code}", *more, f"{endpoint}{path}")
                assert said.endswith("403"), f"{endpoint}{path}: {said}"
                assert "content" not in said
        web = run("curl", "--silent", "--header", f"Host: web.test:{endpoint.rpartition(':')[2]}", f"{endpoint}/")
        assert "AccessDenied" in web
    assert [it["Name"] for it in api_of(lab, "s3").list_buckets()["Buckets"]] == ["content"]


def test_opentofu_signs_and_its_files_hold_no_secret(lab: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = lab.json("lab", "status")
    endpoint, file = status["aws_endpoint"], Path(status["aws_credentials_file"])
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "operator")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "operator")
    aws.sign_with(endpoint, file)
    key = Store(lab.folder).public_key()
    variables = {"pools": {}, "serving": None, "name": "signed"}
    result = stack.up("emulator", endpoint=endpoint, ssh_public_key=key, confirm=lambda *_: True, variables=variables)
    assert result.changed
    found = aws.read_keys(file)
    for path in (it for it in tmp_path.rglob("*") if it.is_file() and not it.is_symlink()):
        assert found.secret.encode() not in path.read_bytes(), path
    assert stack.refresh("emulator", endpoint=endpoint).applied
    assert stack.down("emulator", endpoint=endpoint, confirm=lambda *_: True)


def test_powered_off_host_stays_off(lab: Cli) -> None:
    lab("lab", "host", "add", "off")
    lab("lab", "exec", "off", "--", "systemctl", "poweroff")
    wait(lambda: hosts(lab)["off"]["state"] == "stopped", 30, "power off")
    lab("lab", "host", "remove", "off")
    assert "off" not in hosts(lab)


def test_kill_9_leaves_no_process_and_up_repairs(lab: Cli, server: str) -> None:
    lab("lab", "exec", server, "--", "sh", "-c", "echo kept > /var/tmp/mark; sync")
    assert len(processes_of(lab)) >= 5  # supervisor, emulator, nspawn, and systemd with its services inside
    pid = lab.json("lab", "status")["pid"]
    keys = Store(lab.folder).credentials_file.read_bytes()
    os.kill(pid, signal.SIGKILL)
    wait(lambda: not processes_of(lab), 20, "the end of every process of the lab")
    assert not lab.json("lab", "status")["up"]
    assert str(lab.folder) not in Path("/proc/mounts").read_text()
    lab("lab", "up")
    wait(
        lambda: lab("lab", "ssh", server, "cat /var/tmp/mark", check=False).stdout == "kept\n",
        60,
        "the server's return with its disk",
    )
    assert list(hosts(lab)) == [server]  # instances are gone with the emulator's memory
    assert lab("lab", "exec", server, "--", "cat", "/root/aws-credentials").stdout.encode() == keys
    assert ec2(lab).describe_vpcs()["Vpcs"]


def test_interrupted_up_leaves_order(lab: Cli) -> None:
    lab("lab", "down")
    process = subprocess.Popen([str(CLI), "lab", "up"], env=lab.env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()  # it is at work
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in {0, 130}
    assert "Traceback" not in err
    lab("lab", "up")
    assert lab.json("lab", "status")["up"]


def test_down_leaves_nothing(lab: Cli) -> None:
    layout, keys = Store(lab.folder).layout, Store(lab.folder).credentials_file
    assert keys.exists()
    lab("lab", "down")
    assert not keys.exists()
    assert processes_of(lab) == []
    assert (
        layout.namespace
        not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    )
    assert (
        f"dt{layout.id}" not in subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    )
    assert layout.id not in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert str(lab.folder) not in Path("/proc/mounts").read_text()
    lab("lab", "down")  # and again, with nothing there
