#!/bin/sh
# What the package needs to run, as CycloneDX JSON: sbom.sh PYTHON
#
# Its requirements, without extras, are installed into a clean environment, whose contents are then
# listed; the tool that lists them (cyclonedx-bom) has an environment of its own.
set -eu
python=${1:-python3}
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/build/sbom.cdx.json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$root/build"
"$python" -m venv "$work/tool"
"$work/tool/bin/python" -m pip --disable-pip-version-check --quiet install 'cyclonedx-bom>=5'
"$python" -m venv "$work/run"
"$work/run/bin/python" -m pip --disable-pip-version-check --quiet install \
    $("$python" -c 'import sys, tomllib
for wanted in tomllib.load(open(sys.argv[1], "rb"))["project"]["dependencies"]:
    print(wanted)' "$root/pyproject.toml")
# pip belongs to the environment, not to what the package needs.
"$work/run/bin/python" -m pip --quiet uninstall --yes pip setuptools 2>/dev/null
"$work/tool/bin/cyclonedx-py" environment --output-reproducible --of JSON \
    --pyproject "$root/pyproject.toml" --mc-type library -o "$out" "$work/run/bin/python"
"$python" - "$root/pyproject.toml" "$out" <<'PROGRAM'
import json
import re
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
with open(sys.argv[2], encoding="utf-8") as file:
    bom = json.load(file)
names = {part["name"].lower() for part in bom["components"]}
for wanted in project["dependencies"]:
    if re.match(r"[\w-]+", wanted)[0] not in names:
        sys.exit(f"the list lacks {wanted}")
print(f"{sys.argv[2]}: {bom['bomFormat']} {bom['specVersion']}, {len(names)} components")
for part in sorted(bom["components"], key=lambda part: part["name"]):
    licences = [
        entry.get("expression") or entry.get("license", {}).get("id") or entry["license"].get("name")
        for entry in part.get("licenses", [])
    ]
    print(f"  {part['name']} {part['version']}: {', '.join(map(str, licences)) or 'not stated'}")
PROGRAM
