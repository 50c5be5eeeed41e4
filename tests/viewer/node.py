"""Runs a piece of JavaScript in plain Node, with the viewer's modules at hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NODE = shutil.which("node")


def evaluate(script: str, modules: dict[str, str], argument: Any = None) -> Any:
    """Return what a function's body gives.

    modules : name -> path from the root of the repository; `argument` is there by that name.
    """
    imports = "".join(
        f"import * as {name} from {json.dumps((ROOT / path).as_uri())};\n"
        for name, path in modules.items()
    )
    text = (
        f'import {{ readFileSync }} from "node:fs";\n{imports}'
        f"const argument = JSON.parse(readFileSync(0));\n"
        f"console.log(JSON.stringify((() => {{ {script} }})()));"
    )
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-e", text],
        input=json.dumps(argument),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
