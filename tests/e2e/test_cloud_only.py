"""A site with the cloud track alone: one command ends with an address at which a model answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Cli, api_of, wait

UP_S = 1200


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """One gateway, and one host with models: no scheduler, and no local track."""
    cli = Cli(tmp_path_factory.mktemp("cloud"))
    variables = cli.folder / "variables.json"
    pool = {"lifecycle": "on-demand", "roles": ["gateway"], "instance_types": ["m6i.large"], "desired": 1, "max": 2}
    variables.write_text(json.dumps({"pools": {"gateway": pool}}))
    cli.env["DUALTRACK_VARIABLES"] = str(variables)
    try:
        cli("setup", timeout=900)
        yield cli
    finally:
        cli("lab", "down")


def answers(site: Cli) -> dict[str, Any]:
    found = site.json("serving", "chat", "--model", "smollm2", "--max-tokens", "16", "Name a city in France.")
    assert found["text"].strip()
    end: dict[str, Any] = found["end"]
    return end


def gateway(site: Cli) -> dict[str, Any]:
    [row] = [it for it in site.json("status")["hosts"] if it["pool"] == "gateway"]
    return dict(row)


def test_up_alone_ends_with_an_address_and_a_model_that_answers(site: Cli) -> None:
    said = site("cloud", "up", timeout=UP_S).stdout
    [endpoint] = site.json("serving", "status")["endpoints"]
    assert f" at {endpoint['url']}/v1, certificates by " in said
    assert (sorted(endpoint["models"]), endpoint["tracks"]) == (["minilm", "smollm2"], ["cloud"])
    end = answers(site)
    assert (end["track"], end["engine"].startswith("serving-")) == ("cloud", True)
    assert site.json("status")["problems"] == []


def test_the_load_balancer_has_the_gateways_of_the_group(site: Cli) -> None:
    balancing, scaling = api_of(site, "elbv2"), api_of(site, "autoscaling")
    [balancer] = balancing.describe_load_balancers()["LoadBalancers"]
    [group] = balancing.describe_target_groups()["TargetGroups"]
    groups = {it["AutoScalingGroupName"]: it for it in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]}
    assert (balancer["Type"], balancer["Scheme"]) == ("network", "internal")  # the lab's network is private
    assert (group["HealthCheckProtocol"], group["HealthCheckPath"]) == ("HTTPS", "/healthz")
    assert groups["dualtrack-gateway"]["TargetGroupARNs"] == [group["TargetGroupArn"]]
    assert groups["dualtrack-serving"]["TargetGroupARNs"] == []
    # Clients ask by its name: the certificate of the gateway has it.
    name = gateway(site)["name"]
    certificate = "/etc/dualtrack/gateway/gateway.pem"
    shown = site.inside(name, "openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", certificate)
    assert f"DNS:{balancer['DNSName']}" in shown.stdout


def test_a_gateway_that_goes_is_replaced_without_a_person(site: Cli) -> None:
    before = gateway(site)
    api_of(site, "ec2").terminate_instances(InstanceIds=[before["instance_id"]])
    wait(lambda: before["name"] not in {it["name"] for it in site.json("status")["hosts"]}, 60, "its end")
    wait(lambda: [it for it in site.json("status")["hosts"] if it["pool"] == "gateway"], 120, "another instance")
    site("cloud", "watch", "--once", timeout=UP_S)
    assert gateway(site)["name"] != before["name"]
    assert answers(site)["track"] == "cloud"


def test_up_again_changes_nothing_and_down_leaves_nothing(site: Cli) -> None:
    assert "nothing changed" in site("cloud", "up", timeout=UP_S).stdout
    site("cloud", "down", timeout=UP_S)
    assert site.json("status")["hosts"] == []
