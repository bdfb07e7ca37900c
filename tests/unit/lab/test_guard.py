"""The emulated API answers whoever has the lab's keys, on any service, and nobody else."""

from __future__ import annotations

import datetime
import http.client
import io
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from dualtrack.core import aws
from dualtrack.core.aws import Keys
from dualtrack.core.s3 import Bucket
from dualtrack.lab import credentials, guard
from tests.support import guarded_api
from tests.support.guarded_api import REGION, Api

ROLE = '{"Version": "2012-10-17", "Statement": []}'
#: By service: a call that lists, the key of its answer, and a call that would add to the list.
CALLS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "s3": ("list_buckets", "Buckets", "create_bucket", {"Bucket": "intruder"}),
    "ec2": ("describe_vpcs", "Vpcs", "create_vpc", {"CidrBlock": "10.9.0.0/16"}),
    "iam": ("list_roles", "Roles", "create_role", {"RoleName": "intruder", "AssumeRolePolicyDocument": ROLE}),
    "autoscaling": (
        "describe_launch_configurations", "LaunchConfigurations", "create_launch_configuration",
        {"LaunchConfigurationName": "intruder", "ImageId": "ami-1e749f67", "InstanceType": "m5.large"},
    ),
    "kms": ("list_keys", "Keys", "create_key", {"Description": "intruder"}),
    "sns": ("list_topics", "Topics", "create_topic", {"Name": "intruder"}),
    "route53": ("list_hosted_zones", "HostedZones", "create_hosted_zone", {"Name": "x.test", "CallerReference": "1"}),
    "cloudwatch": ("list_dashboards", "DashboardEntries", "put_dashboard",
                   {"DashboardName": "intruder", "DashboardBody": "{}"}),
    "sts": ("get_caller_identity", "Account", "get_session_token", {}),
}  # fmt: skip
#: By what is wrong with the credentials: S3's word for it, and that of all other services.
REFUSALS = {
    "none": ("AccessDenied", "MissingAuthenticationToken"),
    "id": ("InvalidAccessKeyId", "InvalidClientTokenId"),
    "old default": ("InvalidAccessKeyId", "InvalidClientTokenId"),
    "secret": ("SignatureDoesNotMatch", "SignatureDoesNotMatch"),
    "role": ("InvalidAccessKeyId", "InvalidClientTokenId"),
    "role's secret": ("SignatureDoesNotMatch", "SignatureDoesNotMatch"),
    "past": ("RequestTimeTooSkewed", "RequestExpired"),
    "future": ("RequestTimeTooSkewed", "RequestExpired"),
    "host": ("AccessDenied", "AccessDenied"),
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with guarded_api.running(tmp_path_factory.mktemp("api")) as found:
        yield found


def ask(api: Api, wrong: str, service: str, call: str, given: dict[str, Any]) -> Any:
    """Make a call whose credentials are wrong in one way."""
    keys = {
        "id": Keys("AKIAAAAAAAAAAAAAAAAA", api.keys.secret), "old default": Keys("lab", "lab"),
        "secret": Keys(api.keys.id, "lab"), "role": Keys("ASIAAAAAAAAAAAAAAAAA", api.keys.secret),
        "role's secret": Keys(credentials.of_instance(api.keys, "i-1").id, api.keys.secret),
    }.get(wrong)  # fmt: skip
    client = api.client(service, keys, **({"signature_version": UNSIGNED} if wrong == "none" else {}))
    if wrong == "host":
        client.meta.events.register("before-sign", lambda request, **_: request.headers.add_header("Host", "web.test"))
    moved = {"past": -16, "future": 16}.get(wrong, 0)
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=moved)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        return getattr(client, call)(**given)


def count(api: Api, service: str) -> object:
    listing, key, _, _ = CALLS[service]
    found = getattr(api.client(service), listing)()[key]
    return len(found) if isinstance(found, list) else found


@pytest.mark.parametrize("service", CALLS)
def test_requests_with_wrong_credentials_are_refused_and_change_nothing(api: Api, service: str) -> None:
    listing, _, change, given = CALLS[service]
    before = count(api, service)
    for wrong, codes in REFUSALS.items():
        for call, arguments in ((listing, {}), (change, given)):
            with pytest.raises(ClientError) as caught:
                ask(api, wrong, service, call, arguments)
            answer = caught.value.response
            said = (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"])
            # A request for Route 53 that is not signed looks like one for an object.
            as_s3 = service == "s3" or (service, wrong) == ("route53", "none")
            assert said == (403, codes[not as_s3]), f"{wrong}: {call}"
            assert answer["Error"]["Message"], f"{wrong}: {call}"
    assert count(api, service) == before


@pytest.mark.parametrize("service", CALLS)
def test_requests_with_the_keys_are_answered(api: Api, service: str) -> None:
    _, _, change, given = CALLS[service]
    before = count(api, service)
    for keys in (api.keys, credentials.of_instance(api.keys, "i-1")):
        text = {key: value.replace("intruder", f"{keys.id.lower()}") if isinstance(value, str) else value
                for key, value in given.items()}  # fmt: skip
        getattr(api.client(service, keys), change)(**text)
    assert count(api, service) == (before + 2 if isinstance(before, int) else before)


def raw(
    api: Api, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"", host: str = ""
) -> tuple[int, bytes]:
    """Send a request as it is, without a client's help."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": host or f"127.0.0.1:{api.port}", **(headers or {})}.items():
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    answer = connection.getresponse()
    return answer.status, answer.read()


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
QUERY = (
    "X-Amz-Credential=lab%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=604800"
    "&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
)
SCOPE = "Credential=lab/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=" + "0" * 64


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("GET", "/", {}, b""),
        ("GET", "/moto-api", {}, b""),
        ("GET", "/moto-api/", {}, b""),
        ("GET", "/moto-api/data.json", {}, b""),
        ("GET", "/%6doto-api/data.json", {}, b""),
        ("GET", "//moto-api/data.json", {}, b""),
        ("POST", "/moto-api/reset", {}, b""),
        ("POST", "/moto-api/seed?a=42", {}, b""),
        ("GET", "/favicon.ico", {}, b""),
        ("GET", "/latest/meta-data/iam/security-credentials/", {}, b""),
        ("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, b""),
        ("PUT", "/bucket", {}, b""),
        ("PUT", "/bucket/object", {}, b"x" * 3_000_000),
        ("PUT", "/bucket/object", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, b"x"),
        ("OPTIONS", "/bucket", {"Origin": "http://web.test", "Access-Control-Request-Method": "PUT"}, b""),
        ("HEAD", "/bucket", {}, b""),
        ("POST", "/", FORM, b"Action=RunInstances&Version=2016-11-15&ImageId=ami-1e749f67&MinCount=1&MaxCount=1"),
        ("GET", "/?Action=DescribeVpcs&Version=2016-11-15", {}, b""),
        ("POST", "/", FORM, b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn&WebIdentityToken=x"),
        ("POST", "/", {"X-Amz-Target": "TrentService.ListKeys", "Content-Type": "text/plain"}, b"{}"),
        ("POST", "/", {"X-Amz-Target": "AWSCognitoIdentityService.GetId"}, b"{}"),
        ("GET", "/", {"Authorization": "AWS4-HMAC-SHA256 " + SCOPE.format("s3")}, b""),
        ("GET", "/", {"Authorization": "AWS4-HMAC-SHA256 " + SCOPE.format("moto_api")}, b""),
        ("GET", "/", {"Authorization": "AWS4-ECDSA-P256-SHA256 " + SCOPE.format("s3")}, b""),
        ("GET", "/", {"Authorization": "AWS lab:c2lnbmF0dXJl"}, b""),
        ("GET", "/", {"Authorization": "Basic bGFiOmxhYg=="}, b""),
        ("GET", "/?AWSAccessKeyId=lab&Signature=x&Expires=9999999999", {}, b""),
        ("GET", f"/?X-Amz-Algorithm=AWS4-HMAC-SHA256&{QUERY}", {}, b""),
    ],
)  # fmt: skip
def test_requests_without_a_signature_are_refused(
    api: Api, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    """What a web page or another account can send: pages of moto, forms, old and foreign signatures."""
    status, said = raw(api, method, path, headers, body)
    assert status == 403
    assert b"Error" in said or b"__type" in said or method == "HEAD"


def signed(api: Api, method: str, path: str, payload: str = "", url: str = "") -> AWSRequest:
    """Return a request on S3 that the operator signed; ``payload`` stands in place of the body's digest."""

    class Signer(S3SigV4Auth):
        def payload(self, request: Any) -> str:
            return payload or str(super().payload(request))

    request = AWSRequest(method=method, url=f"{url or api.url}{path}")
    Signer(Credentials(api.keys.id, api.keys.secret), "s3", REGION).add_auth(request)
    return request


def test_pages_of_moto_are_closed_to_the_operator_as_well(api: Api) -> None:
    for path in ("/moto-api/", "/moto-api/data.json"):
        assert raw(api, "GET", path, dict(signed(api, "GET", path).headers))[0] == 403
    assert raw(api, "POST", "/moto-api/reset", dict(signed(api, "POST", "/moto-api/reset").headers))[0] == 403
    assert raw(api, "GET", "/", dict(signed(api, "GET", "/").headers))[0] == 200


@pytest.fixture(scope="module")
def bucket(api: Api) -> str:
    api.client("s3").create_bucket(Bucket="content")
    api.client("s3").put_object(Bucket="content", Key="known", Body=b"known")
    return "content"


TAMPERED: dict[str, Callable[[Any], None]] = {
    "method": lambda it: setattr(it, "method", "DELETE"),
    "path": lambda it: setattr(it, "url", it.url.replace("/known", "/other")),
    "query": lambda it: setattr(it, "url", it.url + "?acl"),
    "header": lambda it: it.headers.__setitem__("x-amz-date", "20260101T000000Z"),
    "digest": lambda it: it.headers.__setitem__("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    "body": lambda it: setattr(it, "body", b"other"),
    "scope": lambda it: it.headers.__setitem__(
        "Authorization", it.headers["Authorization"].decode().replace("us-east-1", "eu-west-1")
    ),
    "signed headers": lambda it: it.headers.__setitem__(
        "Authorization", it.headers["Authorization"].decode().replace("SignedHeaders=", "SignedHeaders=accept;")
    ),
    "copy": lambda it: it.headers.__setitem__("x-amz-copy-source", "/content/known"),
    "rights": lambda it: it.headers.__setitem__("x-amz-acl", "public-read"),
    "more headers than a signature may name": lambda it: it.headers.__setitem__(
        "Authorization",
        it.headers["Authorization"].decode().replace("SignedHeaders=", "SignedHeaders=" + "a;" * 1000),
    ),
    "no host": lambda it: it.headers.__setitem__(
        "Authorization", it.headers["Authorization"].decode().replace("host;", "")
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_requests_that_were_changed_after_signing_are_refused(api: Api, bucket: str, what: str) -> None:
    client = api.client("s3", request_checksum_calculation="when_required")
    client.meta.events.register("before-send.s3", lambda request, **_: TAMPERED[what](request))
    with pytest.raises(ClientError) as caught:
        client.put_object(Bucket=bucket, Key="known", Body=b"mine!")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert api.client("s3").get_object(Bucket=bucket, Key="known")["Body"].read() == b"known"
    assert [
        it["Key"] for it in api.client("s3").list_objects_v2(Bucket=bucket, Prefix="other").get("Contents", [])
    ] == []


@pytest.mark.parametrize(
    "key", ["a b", "ü+~=&%25?#.bin", "/leading", "double//slash", "dots/../x", "end/", "c:d;e,f'(g)*!"]
)
def test_keys_of_every_spelling_are_signed_alike(api: Api, bucket: str, key: str) -> None:
    s3 = api.client("s3")
    s3.put_object(Bucket=bucket, Key=f"spelling/{key}", Body=b"1", Metadata={"with_underscore": "two  words"})
    assert s3.get_object(Bucket=bucket, Key=f"spelling/{key}")["Body"].read() == b"1"
    assert [it["Key"] for it in s3.list_objects_v2(Bucket=bucket, Prefix=f"spelling/{key}")["Contents"]]
    s3.delete_object(Bucket=bucket, Key=f"spelling/{key}")


def test_addresses_that_were_signed_are_answered_until_they_end(api: Api, bucket: str) -> None:
    s3 = api.client("s3", signature_version="s3v4")

    def address(call: str = "get_object", seconds: int = 60, minutes: int = 0, keys: Keys | None = None) -> str:
        client = api.client("s3", keys, signature_version="s3v4")
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
        with mock.patch("botocore.auth.get_current_datetime", return_value=now):
            return str(
                client.generate_presigned_url(call, Params={"Bucket": bucket, "Key": "by url"}, ExpiresIn=seconds)
            )

    def status(url: str, method: str = "GET", body: bytes | None = None) -> int:
        request = urllib.request.Request(url, body, {"Content-Type": "text/plain"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert status(address("put_object"), "PUT", b"by url") == 200
    assert status(address()) == 200
    assert status(address(seconds=3600, minutes=-30)) == 200
    assert s3.get_object(Bucket=bucket, Key="by url")["Body"].read() == b"by url"
    assert status(address(minutes=-2)) == 403
    assert status(address(seconds=604800, minutes=-60 * 24 * 8)) == 403
    assert status(address(minutes=30)) == 403
    assert status(address(keys=Keys("lab", "lab"))) == 403
    assert status(address(keys=Keys(api.keys.id, "lab"))) == 403
    assert status(address().replace("Expires=60", "Expires=604800")) == 403
    assert status(address().replace("by%20url", "known")) == 403
    assert status(address(), "DELETE") == 403
    assert status(address() + "&acl") == 403
    assert status(address("put_object"), "GET") == 403


@pytest.mark.parametrize("kind", ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])
def test_uploads_in_chunks_are_answered(api: Api, bucket: str, kind: str) -> None:
    data = b"chunk" * 1000
    sign = f";chunk-signature={'0' * 64}" if "HMAC" in kind else ""
    body = f"{len(data):x}{sign}\r\n".encode() + data + f"\r\n0{sign}\r\n\r\n".encode()
    path = f"/{bucket}/chunked"
    more = {"x-amz-decoded-content-length": str(len(data)), "Content-Encoding": "aws-chunked"}
    headers = {**dict(signed(api, "PUT", path, payload=kind).headers), **more}
    assert raw(api, "PUT", path, headers, body)[0] == 200
    assert api.client("s3").get_object(Bucket=bucket, Key="chunked")["Body"].read() == data
    assert raw(api, "PUT", path, {**headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, body)[0] == 403


def test_own_client_uploads_in_parts_and_reads(api: Api, bucket: str) -> None:
    aws.sign_with(api.url, api.file)
    remote, data = Bucket(bucket, region=REGION, endpoint=api.url), os.urandom(9 << 20)
    remote.sender().upload_fileobj(io.BytesIO(data), bucket, "large")
    assert remote.create("small", b"1")
    assert not remote.create("small", b"2")
    found = remote.read("large", 10 << 20)
    assert found is not None
    assert found[0] == data
    assert {it["Key"] for it in remote.listed("")} >= {"large", "small"}
    assert aws.client("ec2", REGION, api.url).describe_vpcs()["Vpcs"]


def test_command_line_of_aws_is_answered_with_the_file(api: Api, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(9 << 20))
    program = Path(sys.executable).with_name("aws")

    def run(*words: str, file: Path | str = api.file) -> subprocess.CompletedProcess[str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        named = {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_ENDPOINT_URL": api.url, "AWS_DEFAULT_REGION": REGION}
        return subprocess.run([program, *words], env={**plain, **named, "AWS_EC2_METADATA_DISABLED": "true"},
                              capture_output=True, text=True, check=False)  # fmt: skip

    assert run("s3", "cp", str(tmp_path / "file"), f"s3://{bucket}/by cli").returncode == 0
    assert "by cli" in run("s3", "ls", f"s3://{bucket}/").stdout
    assert "Vpcs" in run("ec2", "describe-vpcs").stdout
    wrong = tmp_path / "wrong"
    wrong.write_bytes(credentials.text(Keys("lab", "lab")))
    assert "(InvalidAccessKeyId)" in run("s3", "ls", file=wrong).stderr
    assert "(InvalidClientTokenId)" in run("ec2", "describe-vpcs", file=wrong).stderr


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:5000", True), ("localhost:5000", True), ("bucket.localhost:5000", True),
        ("a.b-c.localhost:5000", True), ("127.0.0.1:5001", False), ("127.0.0.1", False), ("web.test:5000", False),
        ("web.test", False), ("", False), ("localhost.web.test:5000", False), ("xlocalhost:5000", False),
        ("bucket.127.0.0.1:5000", False), ("s3.amazonaws.com", False), ("moto_api", False), ("[::1]:5000", False),
        ("web.test/.localhost:5000", False), (".localhost:5000", False),
    ],
)  # fmt: skip
def test_names_that_the_api_answers_to(host: str, own: bool) -> None:
    assert guard.is_own(host, {"127.0.0.1:5000", "localhost:5000"}) is own


def test_name_of_a_bucket_before_the_host_is_answered(api: Api, bucket: str) -> None:
    host = f"{bucket}.localhost:{api.port}"
    request = signed(api, "GET", "/known", url=f"http://{host}")
    assert raw(api, "GET", "/known", dict(request.headers), host=host) == (200, b"known")
    assert raw(api, "GET", "/known", dict(request.headers), host=f"other.localhost:{api.port}")[0] == 403


def test_keys_are_random_and_for_their_owner_alone(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one", "two")]
    for file in files:
        credentials.ensure(file)
        assert file.stat().st_mode & 0o777 == 0o600
    one, two = (credentials.read(file) for file in files)
    assert {one.id, one.secret}.isdisjoint({two.id, two.secret})
    assert len(one.secret) == 40
    credentials.ensure(files[0])
    assert credentials.read(files[0]) == one  # a lab that is repaired keeps them
    roles = [credentials.of_instance(keys, name) for keys in (one, two) for name in ("i-1", "i-2")]
    assert len({it.secret for it in roles}) == 4
    assert [credentials.secret_of(one, it.id) == it.secret for it in roles] == [True, True, False, False]
    assert [credentials.secret_of(one, it.id) for it in roles[2:]] == [None, None]
    assert credentials.secret_of(one, two.id) is None
