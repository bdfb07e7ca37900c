"""The lab's emulated S3 checks the conditions that module storage_tiers writes into bucket policies."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.pools_testbed import Bed, bed

CREATED_ONCE = {
    "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::once/*/manifest",
    "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
}  # fmt: skip
OF_NODES = {
    "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::once/*",
    "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/x-*-node"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with bed(tmp_path_factory.mktemp("aws")) as server:
        yield bucket(server)


def bucket(server: Bed) -> Any:
    """Return a client, and have a bucket in which manifests are created once."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket="once")
    policy = {"Version": "2012-10-17", "Statement": [CREATED_ONCE, OF_NODES]}
    s3.put_bucket_policy(Bucket="once", Policy=json.dumps(policy))
    return s3


@pytest.mark.attack(
    "who may write to the bucket",
    "replaces a manifest by any tool",
    "prevented",
    "the bucket's policy, as the emulator checks it",
)
def test_what_is_created_once_is_not_replaced(s3: Any) -> None:
    s3.put_object(Bucket="once", Key="v1/manifest", Body=b"a", IfNoneMatch="*")
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket="once", Key="v1/manifest", Body=b"b")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket="once", Key="v1/manifest", Body=b"b", IfNoneMatch="*")
    assert s3.get_object(Bucket="once", Key="v1/manifest")["Body"].read() == b"a"


@pytest.mark.parametrize(("more", "allowed"), [({}, False), ({"IfNoneMatch": "*"}, True)])
def test_upload_in_parts_is_judged_by_its_last_request(s3: Any, more: dict[str, str], allowed: bool) -> None:
    about: dict[str, Any] = {"Bucket": "once", "Key": f"{allowed}/manifest"}
    about["UploadId"] = s3.create_multipart_upload(**about)["UploadId"]
    part = {"PartNumber": 1, "ETag": s3.upload_part(PartNumber=1, Body=b"a", **about)["ETag"]}
    with contextlib.nullcontext() if allowed else pytest.raises(ClientError, match="403"):
        s3.complete_multipart_upload(MultipartUpload={"Parts": [part]}, **about, **more)


def test_other_objects_and_callers_without_a_role_are_not_meant(s3: Any) -> None:
    for content in (b"a", b"b"):
        s3.put_object(Bucket="once", Key="v1/file", Body=content)
    s3.delete_object(Bucket="once", Key="v1/file")
