"""The live API's spot prices: all pages, changes that hold, and what to do when it refuses, is silent or lies."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from dualtrack.cloud.prices import files, live
from dualtrack.cloud.prices.market import market
from dualtrack.core.errors import BadInput, External
from tests.unit.cloud.prices.test_prices import NOW, P4DE, A, B, document, load, wanted


def ec2() -> Any:
    return boto3.client("ec2", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")


def row(zone: str, hours_ago: float, usd: str) -> dict[str, Any]:
    at = NOW - timedelta(hours=hours_ago)
    return {"AvailabilityZone": zone, "InstanceType": P4DE, "ProductDescription": "Linux/UNIX", "SpotPrice": usd,
            "Timestamp": at}  # fmt: skip


def test_all_pages_are_read_and_changes_hold_until_the_next(tmp_path: Path) -> None:
    api = ec2()
    with Stubber(api) as stub:
        pages = [
            {"SpotPriceHistory": [row(A, 1, "9.5"), row(B, 2, "12")], "NextToken": "more"},
            {"SpotPriceHistory": [row(A, 200, "8.5")], "NextToken": ""},
        ]
        for page in pages:
            stub.add_response("describe_spot_price_history", page)
        facts = load(tmp_path, document(on_demand=27.0, spot=1.0))
        book, rows = live.with_history(facts, api, [P4DE], [A, B], NOW, 30)
        stub.assert_no_pending_responses()
    found = market(book, wanted(), NOW, complete=True)
    assert rows == 3
    # 200 hours ago is 04:30 of the 17th: of nine days, one hour has the new price, the others the one from then.
    assert found.spot[P4DE][A][3] == 8.5
    assert found.spot[P4DE][A][12] == pytest.approx((8 * 8.5 + 9.5) / 9)
    assert found.on_demand == {P4DE: 27.0}  # on-demand stays the file's: the history has none


def test_what_the_live_api_does_not_name_is_not_offered(tmp_path: Path) -> None:
    api = ec2()
    with Stubber(api) as stub:
        stub.add_response("describe_spot_price_history", {"SpotPriceHistory": [row(A, 1, "9.5")]})
        book, _ = live.with_history(load(tmp_path, document(on_demand=27.0)), api, [P4DE], [A, B], NOW, 30)
    assert list(market(book, wanted(), NOW, complete=True).spot[P4DE]) == [A]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"SpotPriceHistory": []}, "knows no spot price"),
        ({"SpotPriceHistory": [row(A, 1, "-1")]}, "names -1 as the spot price"),
        ({"SpotPriceHistory": [row(A, 1, "nan")]}, "names nan as the spot price"),
        (
            {"SpotPriceHistory": [{"InstanceType": P4DE, "SpotPrice": "9"}]},
            "spot price of p4de.24xlarge in None",
        ),
        ({"SpotPriceHistory": [row(A, 1, "a lot")]}, "names a lot as the spot price"),
        ("RequestLimitExceeded", "AWS refused DescribeSpotPriceHistory: RequestLimitExceeded"),
        ("UnauthorizedOperation", "AWS refused DescribeSpotPriceHistory: UnauthorizedOperation"),
    ],
)
def test_an_api_that_lies_or_refuses_is_one_line(tmp_path: Path, answer: dict[str, Any] | str, said: str) -> None:
    api = ec2()
    with Stubber(api) as stub:
        if isinstance(answer, str):
            stub.add_client_error("describe_spot_price_history", answer, "no")
        else:
            stub.add_response("describe_spot_price_history", answer)
        with pytest.raises(External, match=said) as caught:
            live.with_history(load(tmp_path, document(on_demand=27.0)), api, [P4DE], [A], NOW, 30)
    assert "\n" not in str(caught.value)


def test_an_api_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    from dualtrack.core import aws

    silent = aws.client("ec2", "us-east-1", "http://127.0.0.1:1", attempts=1)
    with pytest.raises(External, match="AWS does not answer"):
        live.with_history(load(tmp_path, document(on_demand=27.0)), silent, [P4DE], [A], NOW, 30)


def test_placement_scores_come_by_zone_name_from_all_pages() -> None:
    api = ec2()
    zones = [{"ZoneId": "use1-az4", "ZoneName": A}, {"ZoneId": "use1-az6", "ZoneName": B}]
    with Stubber(api) as stub:
        stub.add_response("describe_availability_zones", {"AvailabilityZones": zones})
        for zone, score, token in (("use1-az6", 9, "more"), ("use1-az4", 3, "")):
            entry = {"Region": "us-east-1", "AvailabilityZoneId": zone, "Score": score}
            stub.add_response("get_spot_placement_scores", {"SpotPlacementScores": [entry], "NextToken": token})
        assert live.scores(api, [P4DE], "us-east-1", 4) == ({A: 3, B: 9}, "")


def test_no_placement_scores_are_said_and_no_error() -> None:
    api = ec2()
    with Stubber(api) as stub:
        stub.add_response("describe_availability_zones", {"AvailabilityZones": []})
        stub.add_client_error("get_spot_placement_scores", "UnsupportedOperation", "no")
        found, why = live.scores(api, [P4DE], "us-east-1", 4)
    assert found == {}
    assert "UnsupportedOperation" in why


def test_the_emulators_prices_of_2006_are_refused() -> None:
    """moto answers 0.00001, of 2006, for everything: no plan may be built on that."""
    from moto import mock_aws

    with mock_aws():
        book, rows = live.with_history(files.load(), ec2(), [P4DE], ["us-east-1b", "us-east-1c"], NOW, 30)
    assert rows
    with pytest.raises(BadInput, match="newest spot price is of 2006-01-02"):
        market(book, wanted(zones=("us-east-1b", "us-east-1c")), NOW, complete=True)
