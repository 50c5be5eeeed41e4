"""This package's reader as the command that spec/vectors/check.py runs."""

from __future__ import annotations

import json
import sys

from cmodel import container
from cmodel.errors import CmodelError
from cmodel.tensors import Product, crc32_of_values


def main() -> int:
    """Print shapes and checksums of a file, or the name of its error."""
    tensors: dict[str, object] = {}
    try:
        opened = container.Container(sys.argv[1])
        for tensor in opened.tensors:
            opened.check_tensor(tensor.name)
            form = opened.form(tensor.name)
            parts = {tensor.name: form.to_dense()}
            if isinstance(form, Product) and form.rotation is not None:
                parts = {
                    f"{tensor.name}:blocks": form.blocks(),
                    f"{tensor.name}:rotation": form.rotation,
                }
            for name, values in parts.items():
                crc = f"{crc32_of_values(values):08x}"
                tensors[name] = {"shape": list(values.shape), "crc32": crc}
    except CmodelError as error:
        print(f"{error.name}: {error.message}", file=sys.stderr)
        return 3
    print(json.dumps({"tensors": tensors}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
