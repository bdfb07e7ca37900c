"""The bucket that keeps the state of a real account's stack: made, checked, repaired.

The state holds every address and id of a deployment, and is what an operator restores when a run went wrong. So the
bucket is of this account, private, encrypted, keeps old versions, and answers over TLS alone. It is made through the
API and not by a stack, whose own state would have no place yet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from dualtrack.cloud import account, backend, variables
from dualtrack.cloud.backend import Place
from dualtrack.core import aws
from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.files import write_atomically
from dualtrack.inventory.target import Stack

#: S3's codes for what nobody has set yet.
UNSET = {
    "ServerSideEncryptionConfigurationNotFoundError", "NoSuchPublicAccessBlockConfiguration", "NoSuchBucketPolicy",
}  # fmt: skip
DENIED = {"AccessDenied", "403", "Forbidden"}
PRIVATE = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
VERSIONED = {"Status": "Enabled"}
ENCRYPTED = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """One property of the bucket: what lacks without it, what repairs it, and how it is seen and set."""

    lack: str
    repair: str
    #: Without it nothing is planned or applied.
    required: bool
    holds: Callable[[Any, dict[str, str]], bool]
    set: Callable[[Any, dict[str, str]], object]


class Seen(msgspec.Struct, frozen=True):
    """What was found of a bucket: whether it is there, what it lacks, and what could not be looked at."""

    exists: bool
    lacks: tuple[Property, ...] = ()
    unseen: tuple[str, ...] = ()


def _versioned(s3: Any, at: dict[str, str]) -> bool:
    return bool(s3.get_bucket_versioning(**at).get("Status") == VERSIONED["Status"])


def _encrypted(s3: Any, at: dict[str, str]) -> bool:
    return bool(s3.get_bucket_encryption(**at)["ServerSideEncryptionConfiguration"]["Rules"])


def _private(s3: Any, at: dict[str, str]) -> bool:
    found = s3.get_public_access_block(**at)["PublicAccessBlockConfiguration"]
    return all(found.get(name) for name in PRIVATE)


def _policy(s3: Any, at: dict[str, str]) -> dict[str, Any]:
    """Return the bucket's policy, its statements as a list."""
    policy: dict[str, Any] = json.loads(s3.get_bucket_policy(**at)["Policy"])
    found = policy.get("Statement", [])
    return {**policy, "Statement": found if isinstance(found, list) else [found]}


def _over_tls(s3: Any, at: dict[str, str]) -> bool:
    wanted = _tls_only(s3, at["Bucket"])
    return any({**it, "Sid": wanted["Sid"]} == wanted for it in _policy(s3, at)["Statement"])


def _tls_only(s3: Any, bucket: str) -> dict[str, Any]:
    arn = f"arn:{aws.partition(s3.meta.region_name)}:s3:::{bucket}"
    return {
        "Sid": "DualtrackTlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }  # fmt: skip


def _set_tls_only(s3: Any, at: dict[str, str]) -> object:
    """Add the statement to what is there, all of which stays."""
    try:
        policy = _policy(s3, at)
    except s3.exceptions.ClientError as error:
        if _code(error) not in UNSET:
            raise
        policy = {"Version": "2012-10-17", "Statement": []}
    policy["Statement"].append(_tls_only(s3, at["Bucket"]))
    return s3.put_bucket_policy(Policy=json.dumps(policy), **at)


#: In the order in which they are set: nobody else sees the bucket before anything is in it.
PROPERTIES = (
    Property(
        lack="it may be opened to the public", repair="block public access", required=True, holds=_private,
        set=lambda s3, at: s3.put_public_access_block(PublicAccessBlockConfiguration=PRIVATE, **at),
    ),
    Property(
        lack="it keeps no old versions, which a state is restored from", repair="turn versioning on", required=True,
        holds=_versioned, set=lambda s3, at: s3.put_bucket_versioning(VersioningConfiguration=VERSIONED, **at),
    ),
    Property(
        lack="it does not encrypt", repair="turn encryption on", required=True, holds=_encrypted,
        set=lambda s3, at: s3.put_bucket_encryption(ServerSideEncryptionConfiguration=ENCRYPTED, **at),
    ),
    Property(
        lack="it answers without TLS", repair="refuse requests without TLS", required=False, holds=_over_tls,
        set=_set_tls_only,
    ),
)  # fmt: skip


def look(place: Place, owner: str) -> Seen:
    """Return what the bucket at a place is like. Refused where it is not this account's or in another region."""
    s3, at = aws.client("s3", place.region), _at(place, owner)
    with _calls(place):
        try:
            region = s3.head_bucket(**at)["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", place.region)
        except s3.exceptions.ClientError as error:
            if _code(error) in {"404", "NoSuchBucket"}:
                return Seen(exists=False)
            if _code(error) in DENIED:
                hint = "name another in backend.hcl, or with --bucket"
                raise Refused(f"the bucket {place.bucket} is not one of account {owner}", hint=hint) from None
            if _code(error) not in {"301", "PermanentRedirect"}:
                raise
            region = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", "another region")
        if region != place.region:
            said = f"the bucket {place.bucket} is in {region}, not in {place.region}"
            raise Refused(said, hint="write its region in backend.hcl")
        lacks, unseen = [], []
        for it in PROPERTIES:
            try:
                holds = it.holds(s3, at)
            except s3.exceptions.ClientError as error:
                if _code(error) in DENIED:
                    unseen.append(f"these credentials may not see whether {it.lack}")
                    continue
                if _code(error) not in UNSET:
                    raise
                holds = False
            if not holds:
                lacks.append(it)
    return Seen(exists=True, lacks=tuple(lacks), unseen=tuple(unseen))


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What `carry_out` would do for a stack: the place of its state, whose account, and the changes, a line each."""

    stack: Stack
    place: Place
    owner: str
    found: Seen
    writes: bool
    changes: tuple[str, ...]


def plan(stack: Stack, bucket: str = "") -> Planned:
    """Return what is to be done so that a stack's state has a place: that of its backend.hcl, or one in ``bucket``.

    Without either the bucket's name is made of the account and the region. BadInput where the two name different ones.
    """
    folder = variables.folder(stack)
    owner = account.whoami().account
    named = backend.place(folder)
    if named and named.otherwise:
        said = f"{folder / backend.FILE} reaches its bucket by {', '.join(named.otherwise)}"
        raise BadInput(said, hint="look at the bucket with those: versions, encryption, no access for the public")
    if named and bucket and named.bucket != bucket:
        raise BadInput(f"{folder / backend.FILE} names the bucket {named.bucket}, not {bucket}")
    region = str(variables.of_operator(stack)["region"])
    name = bucket or f"dualtrack-state-{owner}-{region}"
    new = Place(bucket=name, region=region, key=f"dualtrack/{stack}.tfstate")
    place = named or backend.check(new, "--bucket" if bucket else "the stack's variables")
    found = look(place, owner)
    lines = changes(place, found)
    if named is None:
        lines.append(f"write {folder / backend.FILE}, which names it")
    return Planned(stack=stack, place=place, owner=owner, found=found, writes=named is None, changes=tuple(lines))


def carry_out(planned: Planned) -> None:
    """Make the bucket, or set what it lacks, and write backend.hcl. Interrupted, the next plan has the rest."""
    repair(planned.place, planned.owner, planned.found)
    if planned.writes:
        directory = variables.folder(planned.stack)
        if (named := backend.place(directory)) not in (None, planned.place):
            raise Refused(f"{directory / backend.FILE} is there now, and names {named.bucket}: it stays as it is")
        write_atomically(directory / backend.FILE, planned.place.text.encode())


def changes(place: Place, found: Seen) -> list[str]:
    """Return what `repair` would do, a line each."""
    if found.exists:
        return [f"{it.repair} for the bucket {place.bucket}" for it in found.lacks]
    return [f"make the bucket {place.bucket} in {place.region}: private, versioned, encrypted, over TLS alone"]


def repair(place: Place, owner: str, found: Seen) -> None:
    """Make the bucket, or set what it lacks. Interrupted, the next look and repair carry on."""
    s3, at = aws.client("s3", place.region), _at(place, owner)
    with _calls(place):
        if not found.exists:
            # The first region has no name here, says its API.
            where = {} if place.region == "us-east-1" else {"LocationConstraint": place.region}
            s3.create_bucket(Bucket=place.bucket, **({"CreateBucketConfiguration": where} if where else {}))
        for it in found.lacks if found.exists else PROPERTIES:
            it.set(s3, at)


def check(stack: Stack, owner: str, say: Callable[[str], None]) -> None:
    """Refuse a bucket that no state should be in; say what is worth a word. Nothing where none is named yet.

    ``owner`` is the number of the operator's account.
    """
    if (place := backend.place(variables.folder(stack))) is None:
        return
    if place.otherwise:
        say(f"the state's bucket {place.bucket} is reached by {', '.join(place.otherwise)}: it was not looked at")
        return
    found = look(place, owner)
    hint = "dualtrack cloud bootstrap shows what it would change, and asks"
    if not found.exists:
        raise Refused(f"the bucket {place.bucket}, which keeps the state, is not there", hint=hint)
    if wrong := [it.lack for it in found.lacks if it.required]:
        raise Refused(f"the bucket {place.bucket} is not fit to keep the state: {'; '.join(wrong)}", hint=hint)
    for line in (*found.unseen, *(it.lack for it in found.lacks)):
        say(f"the state's bucket {place.bucket}: {line}")


def _at(place: Place, owner: str) -> dict[str, str]:
    # A bucket's name is anybody's: one of another account would be handed the state.
    return {"Bucket": place.bucket, "ExpectedBucketOwner": owner}


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _calls(place: Place) -> Iterator[None]:
    from botocore.exceptions import ClientError

    with aws.errors():
        try:
            yield
        except ClientError as error:
            if _code(error) not in {"BucketAlreadyExists", "BucketAlreadyOwnedByYou"}:
                raise
            said = f"the bucket {place.bucket} is there already and is not this account's"
            raise Refused(said, hint="--bucket names another") from None
