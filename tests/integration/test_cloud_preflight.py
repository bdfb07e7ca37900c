"""What an account lacks is found before the question.

Types, images and roles are those of an emulated API; quotas are AWS's answers as its API describes them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from dualtrack.cloud import bill, preflight
from dualtrack.cloud.prices import files
from dualtrack.core import aws as clients
from tests.support.terraform_testbed import Emulator

#: Images that moto has: for x86_64.
IMAGE = "ami-1e749f67"


@pytest.fixture
def account(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The emulated API in the place of AWS's own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "operator")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "operator")
    iam = aws.client("iam")
    iam.create_role(RoleName=preflight.SPOT_ROLE, AssumeRolePolicyDocument="{}")
    yield aws
    with contextlib.suppress(iam.exceptions.NoSuchEntityException):
        iam.delete_role(RoleName=preflight.SPOT_ROLE)


def pool(lifecycle: str, types: list[str], desired: int = 1, most: int = 4, **more: Any) -> dict[str, Any]:
    return {"lifecycle": lifecycle, "instance_types": types, "desired": desired, "max": most, **more}


def check(
    zones: tuple[str, ...] = ("us-east-1a",), region: str = "us-east-1", serving: Any = None, **pools: Any
) -> preflight.Preflight:
    variables = {
        "region": region, "image": {"id": IMAGE}, "network": {"subnets": dict.fromkeys(zones, "10.0.0.0/24")},
        "pools": pools, "serving": serving,
    }  # fmt: skip
    return preflight.check(variables, bill.bill(variables, files.load(), 0.0).pools)


@pytest.mark.usefixtures("account")
def test_pools_that_can_start_have_no_problem() -> None:
    found = check(
        gpu=pool("spot", ["p4d.24xlarge"]), control=pool("on-demand", ["m6i.large"]), off=pool("spot", ["g6.xlarge"], 0)
    )
    assert (found.problems, found.unchecked) == ((), ())
    assert {(it.family, it.bought, it.needs, it.most) for it in found.quotas} == {
        ("P", "spot", 96, 384), ("Standard", "on-demand", 2, 8), ("G and VT", "spot", 0, 16),
    }  # fmt: skip


@pytest.mark.usefixtures("account")
def test_quotas_are_for_what_each_pool_buys() -> None:
    """The base of a spot pool is bought on demand, as the bill says; also where the stack's default names it."""
    found = check(gpu=pool("spot", ["p4d.24xlarge"], 3, 4, on_demand_base=1), serving={"instance_types": ["g6.xlarge"]})
    assert {(it.family, it.bought, it.needs, it.most) for it in found.quotas} == {
        ("P", "on-demand", 96, 96), ("P", "spot", 192, 288),
        ("G and VT", "on-demand", 4, 4), ("G and VT", "spot", 0, 4),
    }  # fmt: skip


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"types": ["p4d.24xlarge"], "region": "eu-south-2", "zones": ("eu-south-2a",)},
            "eu-south-2 has no p4d.24xlarge",
        ),
        ({"types": ["p9z.24xlarge"]}, "us-east-1 has no p9z.24xlarge"),
        ({"types": ["p4d.24xlarge"], "zones": ("us-east-1e",)}, "add one of these zones to network.subnets"),
        ({"types": ["m7g.large"]}, f"the image {IMAGE} is for x86_64, and m7g.large runs arm64"),
        ({"types": ["m6i.large"], "image": {"id": "ami-00000000"}}, "has no image ami-00000000"),
    ],
)
def test_what_cannot_start_is_said_with_the_remedy(given: dict[str, Any], problem: str) -> None:
    more = {key: given[key] for key in ("image",) if key in given}
    where = {key: given[key] for key in ("region", "zones") if key in given}
    found = check(**where, gpu=pool("on-demand", given["types"], **more))
    assert any(problem in it for it in found.problems), found.problems
    # A pool that starts nothing needs nothing yet.
    assert check(**where, gpu=pool("on-demand", given["types"], 0, **more)).problems == ()


def test_fresh_account_has_no_role_for_spot(account: Emulator) -> None:
    account.client("iam").delete_role(RoleName=preflight.SPOT_ROLE)
    (problem,) = check(gpu=pool("spot", ["p4d.24xlarge"])).problems
    assert "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com" in problem
    assert check(gpu=pool("on-demand", ["p4d.24xlarge"])).problems == ()


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(("has", "enough"), [(0.0, False), (191.0, False), (192.0, True), (None, True)])
@pytest.mark.parametrize("bought", ["on-demand", "spot"])
def test_quota_below_the_need_is_a_problem(
    has: float | None, enough: bool, bought: preflight.Bought, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto knows no quotas of EC2: AWS's answer, as its API describes it."""
    real, code = clients.client, preflight.QUOTAS["P"][bought]
    quotas = real("service-quotas", "us-east-1")
    stub = Stubber(quotas)
    asked = {"ServiceCode": "ec2", "QuotaCode": code}
    if has is None:
        stub.add_client_error("get_service_quota", "AccessDeniedException", expected_params=asked)
    else:
        stub.add_response("get_service_quota", {"Quota": {"QuotaCode": code, "Value": has}}, asked)
    monkeypatch.setattr(
        preflight.aws, "client", lambda name, *more: quotas if name == "service-quotas" else real(name, *more)
    )
    with stub:
        found = check(("us-east-1b",), gpu=pool(bought, ["p4d.24xlarge", "p4de.24xlarge"], 2))
    assert [it.has for it in found.quotas] == [None if has is None else int(has)]
    if enough:
        assert found.problems == ()
    else:
        (problem,) = found.problems
        assert f"need 192 vCPUs of P instances, {bought}, and the account may run {has:.0f}" in problem
        assert f"--quota-code {code} --desired-value 384 --region us-east-1" in problem


@pytest.mark.usefixtures("account")
def test_what_the_operator_may_not_ask_is_said_and_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    real = clients.client

    def client(name: str, *more: Any) -> Any:
        made = real(name, *more)
        if name == "ec2":
            stub = Stubber(made)
            for operation in ("describe_instance_types", "describe_instance_type_offerings", "describe_images"):
                stub.add_client_error(operation, "UnauthorizedOperation", "You are not authorized to do this.")
            stub.activate()
        return made

    monkeypatch.setattr(preflight.aws, "client", client)
    found = check(gpu=pool("spot", ["p4d.24xlarge"]))
    assert found.problems == ()
    assert [it.split(":")[0] for it in found.unchecked] == ["instance types", "offerings of types", "images"]


@pytest.mark.parametrize(
    ("type_", "family"),
    [("p4de.24xlarge", "P"), ("g6.xlarge", "G and VT"), ("vt1.3xlarge", "G and VT"), ("t3.micro", "Standard"),
     ("m6i.large", "Standard"), ("trn1.2xlarge", ""), ("inf2.xlarge", ""), ("u-6tb1.metal", ""), ("x1e.xlarge", "")],
)  # fmt: skip
def test_family_goes_by_the_letters(type_: str, family: str) -> None:
    assert preflight.family(type_) == family
