"""Runs a reader over every conformance vector.

    python spec/vectors/check.py COMMAND [ARG ...]

COMMAND ARG ... FILE has to print {"tensors": {name: {"shape": [...], "crc32": "..."}}} for a good file;
for a bad one nothing, with the error name as the first word on stderr and exit code 3. Prints every
disagreement and the counts; exit code 1 where there is any.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def disagreement(command: list[str], path: Path, facts: dict[str, object]) -> str | None:
    """What is wrong with how the reader took one vector; None where nothing is."""
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=120)
    if "error" in facts:
        words = done.stderr.replace(":", " ").split()
        name = words[0] if words else ""
        if (done.returncode, done.stdout, name) == (3, "", facts["error"]):
            return None
        return f"exit {done.returncode}, {name or 'no error'} where {facts['error']} is due"
    if done.returncode:
        return f"refused: {done.stderr.strip()}"
    found = json.loads(done.stdout)["tensors"]
    return None if found == facts["tensors"] else f"other values: {done.stdout[:200]}"


def main() -> int:
    """Check them all."""
    command = sys.argv[1:]
    if not command:
        sys.exit(__doc__)
    index = json.loads((HERE / "index.json").read_text())
    counts: dict[str, list[int]] = {}
    for name, facts in index.items():
        right, total = counts.setdefault(name.split("/")[0], [0, 0])
        wrong = disagreement(command, HERE / name, facts)
        if wrong:
            print(f"{name}: {wrong}")
        counts[name.split("/")[0]] = [right + (wrong is None), total + 1]
    text = ", ".join(f"{folder} {right} of {total}" for folder, (right, total) in counts.items())
    print(f"{' '.join(command)}: {text}")
    return int(any(right != total for right, total in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
