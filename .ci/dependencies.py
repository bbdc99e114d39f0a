"""Checks what the workspace is made of against deny.toml: licences, sources, duplicates, bans.

Also: core's own tree stays small and core has no build script; the shipped binary is built without `testing`.
Reads `cargo metadata`; `--all-platforms` also looks at crates that only other systems use. Needs Python 3.11.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict

CORE_CRATES = 92  # most crates in core's tree, itself and build-time ones included: 77, and 15 of the MLS engine
SHIPPED = "postline-node"


def cargo(*args):
    return subprocess.run(["cargo", *args], check=True, stdout=subprocess.PIPE, text=True).stdout


def allowed(expression, allow):
    """Whether an SPDX expression (`/` as in old manifests means OR) can be met by the allowed licences."""
    text = expression.replace("/", " OR ")
    tokens = re.findall(r"\(|\)|[^\s()]+", text)
    position = 0

    def take():
        nonlocal position
        position += 1
        return tokens[position - 1]

    def peek():
        return tokens[position] if position < len(tokens) else None

    def atom():
        token = take()
        if token == "(":
            value = either()
            take()
            return value
        if peek() == "WITH":
            take()
            token = f"{token} WITH {take()}"
        return token in allow

    def both():
        value = atom()
        while peek() == "AND":
            take()
            right = atom()
            value = value and right
        return value

    def either():
        value = both()
        while peek() == "OR":
            take()
            right = both()
            value = value or right
        return value

    value = either()
    if position != len(tokens):
        raise ValueError(f"licence expression {expression!r}")
    return value


assert allowed("MIT/GPL-3.0-only", {"MIT"}) and allowed("(A OR B) AND C", {"B", "C"})
assert not allowed("MIT AND GPL-3.0-only", {"MIT"}) and not allowed("A WITH x OR B", {"A"})


def tree(metadata, name):
    """The ids of `name` and of everything it is built from, tests aside."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    todo = [package["id"] for package in metadata["packages"] if package["name"] == name]
    found = set()
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += [d["pkg"] for d in nodes[one]["deps"] if any(k["kind"] != "dev" for k in d["dep_kinds"])]
    return found


def main():
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    platform = []
    if "--all-platforms" not in sys.argv:
        host = re.search(r"^host: (.*)$", subprocess.check_output(["rustc", "-vV"], text=True), re.M).group(1)
        platform = ["--filter-platform", host]
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", *platform))
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    packages = [package for package in metadata["packages"] if package["id"] in used]
    wrong = []

    allow = set(rules["licenses"]["allow"])
    for package in packages:
        label = f"{package['name']} {package['version']}"
        if not package["license"] or not allowed(package["license"], allow):
            wrong.append(f"{label}: licence {package['license']} is not in deny.toml")
        if package["source"] and not package["source"].startswith(("registry+", "sparse+")):
            wrong.append(f"{label}: comes from {package['source']}, not from a registry")

    versions = defaultdict(set)
    for package in packages:
        versions[package["name"]].add(package["version"])
    for rule in rules["bans"]["deny"]:
        found = versions.get(rule["crate"], set())
        if rule.get("deny-multiple-versions"):
            if len(found) > 1:
                wrong.append(f"{rule['crate']}: {len(found)} versions, {', '.join(sorted(found))}")
        elif found:
            wrong.append(f"{rule['crate']}: banned, {rule['reason']}")

    core = tree(metadata, "postline-core")
    if len(core) > CORE_CRATES:
        wrong.append(f"postline-core: {len(core)} crates in its tree, at most {CORE_CRATES}")
    for package in packages:
        if package["name"].startswith("postline-") and any("custom-build" in t["kind"] for t in package["targets"]):
            wrong.append(f"{package['name']}: has a build script")

    features = cargo("tree", "--locked", "-p", SHIPPED, "-e", "normal,features", "--prefix", "none")
    if "postline-core" not in features:
        wrong.append(f"{SHIPPED}: its features could not be read")
    if re.search(r'postline-\w+ feature "testing"', features):
        wrong.append(f"{SHIPPED}: is built with feature testing")

    if wrong:
        sys.exit("\n".join(wrong))
    repeated = sum(1 for found in versions.values() if len(found) > 1)
    print(f"figure crates {len(packages)} in all, {len(tree(metadata, SHIPPED))} in the binary, {len(core)} in core, "
          f"{repeated} in two versions")


if __name__ == "__main__":
    main()
