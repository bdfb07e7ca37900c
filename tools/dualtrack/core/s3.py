"""The calls to S3, and what their failures mean: try again, say in one line, or the object is another one now."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from dualtrack.core import aws
from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.core.retries import retried

T = TypeVar("T")
#: Of an object that is read whole, this much at most.
MOST_BYTES = 64 << 20
#: Tries of one call or part, and the longest pause between two of them in seconds.
TRIES, LONGEST_S = 8, 10.0
#: Seconds without a byte after which a request has failed.
TIMEOUT_S = 20.0
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired"}
ELSEWHERE = {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
BUSY = {"SlowDown", "503", "ServiceUnavailable", "InternalError", "500", "502", "504", "Throttling", "RequestTimeout",
        "ThrottlingException", "TooManyRequests", "429", "BadGateway", "GatewayTimeout"}  # fmt: skip

#: An object is there already, or somebody is writing it at this moment.
EXISTS = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}


class Again(Exception):
    """A call that may succeed when it is made again, ``tries`` times in all."""

    tries = TRIES


class Tampered(Again):
    """What came is not what was sealed: once may be the line's fault, twice is somebody's."""

    tries = 2


def with_retries(call: Callable[[], T]) -> T:
    """Return what a call returns, trying again where that helps; External when it does not."""
    return retried(call, Again, until_next)


def until_next(tries: int, error: Again) -> float:
    """Return the seconds to wait after so many tries: twice as long each time, not all at the same moment.

    External when there were enough of them.
    """
    if tries >= error.tries:
        raise External(f"{error}: {tries} tries", hint="the same command continues from here") from None
    return min(LONGEST_S, 0.2 * float(2 ** (tries - 1))) * random.uniform(0.5, 1)  # noqa: S311 - nothing secret


class Changed(External):
    """An object is not the one any more that was asked for."""


class Bucket:
    """One bucket's API; ``endpoint`` is '' for the real AWS. Every call raises Again, Changed or one clear External."""

    def __init__(self, bucket: str, *, region: str = "", endpoint: str = "", jobs: int = 8) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        def client(attempts: int, **more: Any) -> Any:
            config = Config(
                retries={"mode": "standard", "total_max_attempts": attempts}, connect_timeout=5, read_timeout=TIMEOUT_S,
                max_pool_connections=jobs + 2, **more,
            )  # fmt: skip
            return boto3.Session().client(
                "s3", region_name=region or None, endpoint_url=endpoint or None, config=config, **aws.keys(endpoint)
            )  # fmt: skip

        try:
            # Of a pull the tries are counted where the parts are, and its parts are checked by digests of our own.
            self.client = client(1, request_checksum_calculation="when_required",
                                 response_checksum_validation="when_required")  # fmt: skip
            self._sender = client
        except (BotoCoreError, ValueError) as error:
            raise BadInput(f"no client for S3: {error}", hint="AWS_DEFAULT_REGION, --endpoint?") from None
        self.bucket = bucket

    def sender(self) -> Any:
        """Return a boto3 client for its transfer manager, which tries automatically and lets S3 check what it gets.

        It creates objects and replaces none: what the bucket's policy demands of whoever writes a version. The transfer
        manager does not know that parameter, so it is added where a request is made.
        """
        client = self._sender(8)
        for creates in ("PutObject", "CompleteMultipartUpload"):
            client.meta.events.register(f"before-parameter-build.s3.{creates}", _only_new)
        return client

    def _objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            yield from page.get("Contents", ())

    def listed(self, prefix: str) -> list[dict[str, Any]]:
        """Return what the bucket lists under a prefix."""

        def call() -> list[dict[str, Any]]:
            with self._meaning(f"s3://{self.bucket}/{prefix}"):
                return list(self._objects(prefix))

        return with_retries(call)

    def versions(self, prefix: str) -> list[bytes]:
        """Return the content of every version of the objects under a prefix, also of those that were deleted since."""

        def call() -> list[bytes]:
            found = []
            with self._meaning(f"s3://{self.bucket}/{prefix}"):
                pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
                for it in (it for page in pages for it in page.get("Versions", ())):
                    answer = self.client.get_object(Bucket=self.bucket, Key=it["Key"], VersionId=it["VersionId"])
                    found.append(answer["Body"].read(MOST_BYTES))
            return found

        return with_retries(call)

    def restore(self, key: str, way: str, days: int) -> bool:
        """Ask for an archived object to be readable for some days; return False where it was asked for before."""
        from botocore.exceptions import ClientError

        def call() -> bool:
            with self._meaning(f"s3://{self.bucket}/{key}"):
                try:
                    request = {"Days": days, "GlacierJobParameters": {"Tier": way}}
                    self.client.restore_object(Bucket=self.bucket, Key=key, RestoreRequest=request)
                except ClientError as error:
                    if code(error) != "RestoreAlreadyInProgress":
                        raise
                    return False
            return True

        return with_retries(call)

    def head(self, key: str) -> dict[str, Any] | None:
        """Return what is known of an object, None where there is none."""
        return with_retries(lambda: self._head(key))

    def _head(self, key: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with self._meaning(f"s3://{self.bucket}/{key}"):
            try:
                found: dict[str, Any] = self.client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if code(error) in ("404", "NoSuchKey"):
                    return None
                raise
        return found

    def put_once(self, key: str, data: bytes, **more: Any) -> bool:
        """Write an object that must not exist yet; return False where it does. ``more`` are S3's own parameters."""
        from botocore.exceptions import ClientError

        with self._meaning(f"s3://{self.bucket}/{key}"):
            try:
                self.client.put_object(Bucket=self.bucket, Key=key, Body=data, IfNoneMatch="*", **more)
            except ClientError as error:
                if code(error) in EXISTS:
                    return False
                raise
        return True

    def create(self, key: str, data: bytes) -> bool:
        """Write an object as `put_once`, trying again where that helps."""
        return with_retries(lambda: self.put_once(key, data))

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Write an object in place of the one with a tag; return False where another one is there."""
        from botocore.exceptions import ClientError

        def call() -> bool:
            with self._meaning(f"s3://{self.bucket}/{key}"):
                try:
                    self.client.put_object(Bucket=self.bucket, Key=key, Body=data, IfMatch=etag)
                except ClientError as error:
                    if code(error) in EXISTS:
                        return False
                    raise
            return True

        return with_retries(call)

    def read(self, key: str, most: int) -> tuple[bytes, str] | None:
        """Return an object and its tag, None where there is none; External where it has more than ``most`` bytes."""
        from botocore.exceptions import ClientError

        def call() -> tuple[bytes, str] | None:
            with self._meaning(f"s3://{self.bucket}/{key}"):
                try:
                    answer = self.client.get_object(Bucket=self.bucket, Key=key)
                except ClientError as error:
                    if code(error) in ("404", "NoSuchKey"):
                        return None
                    raise
                data: bytes = answer["Body"].read(most + 1)
                if len(data) > most:
                    raise External(f"s3://{self.bucket}/{key} has more than {most:,} bytes")
                return data, str(answer["ETag"])

        return with_retries(call)

    def remove(self, key: str) -> None:
        """Remove an object, which need not be there."""

        def call() -> None:
            with self._meaning(f"s3://{self.bucket}/{key}"):
                self.client.delete_object(Bucket=self.bucket, Key=key)

        with_retries(call)

    @contextmanager
    def _meaning(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except NoCredentialsError:
            raise External("no AWS credentials", hint="aws configure, or AWS_PROFILE / AWS_ACCESS_KEY_ID") from None
        except ClientError as error:
            raise meaning(error, what, self.bucket) from None
        except (BotoCoreError, HTTPError, OSError) as error:
            raise Again(f"{what}: {error}") from None


def _only_new(params: dict[str, Any], **_: Any) -> None:
    """Let a request create an object, not replace one: an event handler of boto3's."""
    params["IfNoneMatch"] = "*"


def code(error: Any) -> str:
    """Return S3's word for an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def meaning(error: Any, what: str, bucket: str) -> Exception:
    """Return what a refusal of S3 means: Again, Changed, or an error for people."""
    said = error.response.get("Error", {})
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    word, message = code(error), str(said.get("Message", ""))
    if word in BUSY:
        return Again(f"{what}: {word}")
    if word in ("PreconditionFailed", "412"):
        return Changed(f"{what} was replaced by another object meanwhile", hint="nothing of it is served: pull again")
    if word in EXPIRED:
        return External(
            f"{what}: the credentials have expired ({word})", hint="log in again and repeat the command: it continues"
        )
    region = said.get("Region") or headers.get("x-amz-bucket-region") or ""
    if word in ELSEWHERE:
        return BadInput(f"bucket {bucket} is in another region", hint=f"--region {region}" if region else "--region")
    if word == "NoSuchBucket":
        return External(f"there is no bucket {bucket}")
    if word == "InvalidObjectState":
        return External(f"{what} is in an archive", hint="dualtrack tiers restore makes it readable")
    if word in ("NoSuchKey", "404"):
        return External(f"{what} is not there", hint=f"s3://{bucket}/…@latest is the version pushed last")
    if word in ("AccessDenied", "403", "Forbidden", "SignatureDoesNotMatch", "InvalidAccessKeyId"):
        return Refused(f"{what}: S3 refuses: {word}", hint="aws sts get-caller-identity says who you are")
    return External(f"{what}: S3 says {word}: {message}")
