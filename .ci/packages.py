"""What .ci/run asks about the workspace: its packages' features, and the compiler they promise."""

import json
import subprocess
import sys


def metadata():
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def workspace(data):
    members = set(data["workspace_members"])
    return [package for package in data["packages"] if package["id"] in members]


def features(data):
    """One line for each package without features, then one for each of its features."""
    for package in workspace(data):
        print(package["name"])
        for feature in package["features"]:
            if feature != "default":
                print(package["name"], feature)


def rust_version(data):
    """Every package of the workspace states one, and no dependency needs a newer one."""
    stated = {package["rust_version"] for package in workspace(data)}
    if len(stated) != 1 or None in stated:
        sys.exit(f"the workspace's packages must state one rust-version, not {stated}")
    oldest = stated.pop()
    print(f"the workspace promises Rust {oldest}")
    newer = [
        f"{package['name']} {package['version']} needs Rust {package['rust_version']}"
        for package in data["packages"]
        if package["rust_version"] and number(package["rust_version"]) > number(oldest)
    ]
    if newer:
        sys.exit("\n".join(newer))


def number(version):
    parts = [int(part) for part in version.split(".")]
    return parts + [0] * (3 - len(parts))


if __name__ == "__main__":
    {"features": features, "rust-version": rust_version}[sys.argv[1]](metadata())
