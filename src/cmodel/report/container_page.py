"""The page of a container."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cmodel.report import bars
from cmodel.report.container_facts import KINDS, MAX_CARDS
from cmodel.report.markup import Content, Markup, join, shorten, tag
from cmodel.report.page import facts_list, note, page, section, table, tiles
from cmodel.report.scales import bytes_of, logarithmic, points_of, ratio_of, text_of

MAX_LINES = 250
_NAME = 40
_WHAT = {
    "indices": "indices, codes and integers, one for each stored weight",
    "positions": "where the stored weights stand: gaps, bitmaps, masks",
    "floats": "weights stored as floats, biases included",
    "codebooks": "shared values and rotations",
    "scales": "scales and zero points",
    "tables": "tables of the entropy coders",
    "side": "the network, notes, labels, mean image, header",
}
_COLOURS = (0, 1, 2, 3, 4, 5, 7)
_SERIES = {kind: bars.series(number) for kind, number in zip(KINDS, _COLOURS, strict=True)}


def container_page(facts: Mapping[str, Any]) -> str:
    """Return the HTML of what `container_facts` found."""
    name = shorten(facts["name"] or facts["file"], 80)
    body = join(
        tag("h1", name),
        tag("p", facts["file"], class_="soft") if name != facts["file"] else None,
        _headline(facts),
        _accuracy_note(facts["accuracy"]),
        _bytes_section(facts),
        _layers_section(facts["layers"]),
        _rates_section(facts["layers"]),
        _outputs_section(facts["outputs"]),
        _cards_section(facts["layers"]),
        _recipe_section(facts),
        _file_section(facts),
    )
    return page(name, body)


def _headline(facts: Mapping[str, Any]) -> Markup:
    entries = [
        (bytes_of(facts["bytes"]), f"instead of {bytes_of(facts['bytes_before'])}"),
        (ratio_of(facts["ratio"]), "smaller than as float32"),
        (text_of(facts["bits_per_weight"]), "bits per weight, the whole file"),
    ]
    accuracy = facts["accuracy"]
    if accuracy is not None and accuracy["top1"] is not None:
        before = accuracy["top1_before"]
        what = "top-1" if before is None else f"top-1, before {before:.2f} %"
        entries.append((f"{accuracy['top1']:.2f} %", what))
    else:
        entries.append((f"{facts['parameters']:,}", "parameters"))
    return tiles(entries)


def _accuracy_note(accuracy: Mapping[str, Any] | None) -> Markup:
    if accuracy is None:
        text = "Accuracy was not measured; --data, or --figures with what `pack` printed, adds it."
    else:
        text = f"Accuracy on {accuracy['images']:,} images, {accuracy['source']}."
        if accuracy["top5"] is not None:
            text += f" Top-5 {accuracy['top5']:.2f} %"
            before = accuracy["top5_before"]
            text += "." if before is None else f", before {before:.2f} %."
        if accuracy["top1_before"] is not None and accuracy["top1"] is not None:
            lost = accuracy["top1_before"] - accuracy["top1"]
            text += f" Top-1 lost: {points_of(lost)} points."
    return tag("p", text, class_="note below")


def _bytes_section(facts: Mapping[str, Any]) -> Markup:
    kinds: Mapping[str, int] = facts["kinds"]
    total = facts["bytes"]
    rows: list[list[Content]] = []
    for kind in KINDS:
        if kinds[kind]:
            key = tag("span", bars.swatch(_SERIES[kind]), kind if kind != "side" else "side data")
            share = f"{100 * kinds[kind] / total:.1f} %"
            rows.append([key, _WHAT[kind], bytes_of(kinds[kind]), share])
    side = ", ".join(f"{name} {bytes_of(size)}" for name, size in facts["side"].items())
    before = bars.stacked([("before", facts["bytes_before"], "before")], facts["bytes_before"], 14)
    after = bars.stacked(_parts(kinds), facts["bytes_before"], 14)
    return section(
        "Where the bytes are",
        tag("div", bars.stacked(_parts(kinds), total, 34), class_="hero"),
        table(["", "", "bytes", "share"], rows, text=2, optional=frozenset({1})),
        tag("p", f"Side data: {side}.", class_="note below"),
        tag(
            "div",
            tag("span", "before", class_="head"),
            before,
            tag("span", bytes_of(facts["bytes_before"]), class_="num"),
            tag("span", "after", class_="head"),
            after,
            tag("span", bytes_of(total), class_="num"),
            class_="scale",
        ),
    )


def _parts(kinds: Mapping[str, int]) -> list[tuple[str, int, str]]:
    return [(kind, kinds[kind], _SERIES[kind]) for kind in KINDS]


def _layers_section(layers: Sequence[Mapping[str, Any]]) -> Markup | None:
    if not layers:
        return None
    shown = _largest(layers, MAX_LINES, "bytes_before")
    most_before = max(layer["bytes_before"] for layer in layers)
    most_after = max(layer["bytes"] for layer in layers)
    cells: list[Markup] = [
        tag("span", text, class_=f"head {style}")
        for text, style in (
            ("layer", ""),
            ("float32", ""),
            ("", "num"),
            ("packed", ""),
            ("", "num"),
            ("ratio", "num"),
        )
    ]
    for layer in shown:
        before = [("before", layer["bytes_before"], "before")]
        ratio = layer["bytes_before"] / layer["bytes"] if layer["bytes"] else 0.0
        cells += [
            tag("span", shorten(layer["name"], _NAME)),
            tag("span", bars.stacked(before, most_before), class_="off"),
            tag("span", bytes_of(layer["bytes_before"]), class_="num soft off"),
            tag("span", bars.stacked(_parts(layer["kinds"]), most_after), class_="full"),
            tag("span", bytes_of(layer["bytes"]), class_="num"),
            tag("span", ratio_of(ratio) if ratio else "", class_="num"),
        ]
    return section(
        "Layers before and after",
        note(
            "Weights and biases of each layer, without side data. The two columns have scales of "
            "their own; the colours are those above."
        ),
        tag("div", *cells, class_="rows six"),
        _left_out(len(layers) - len(shown), "layers"),
    )


def _rates_section(layers: Sequence[Mapping[str, Any]]) -> Markup | None:
    coded = [
        tensor
        for layer in layers
        for tensor in layer["tensors"]
        if tensor["weight"] and tensor["coded_bits_per_weight"] is not None
    ]
    if not coded:
        return None
    shown = _largest(coded, MAX_LINES, "elements")
    most = max(
        max(tensor["coded_bits_per_weight"], tensor["entropy_bits_per_weight"]) for tensor in shown
    )
    cells = [
        tag("span", text, class_=f"head {style}")
        for text, style in (
            ("weights", ""),
            ("bits of indices and positions", ""),
            ("spent", "num"),
            ("entropy", "num"),
            ("in all", "num"),
        )
    ]
    for tensor in shown:
        spent, entropy = tensor["coded_bits_per_weight"], tensor["entropy_bits_per_weight"]
        title = f"{spent:.3f} bits a weight spent, entropy {entropy:.3f}"
        cells += [
            tag("span", shorten(tensor["name"], _NAME)),
            tag("span", bars.bar_with_mark(spent, entropy, most, title), class_="full"),
            tag("span", f"{spent:.2f}", class_="num"),
            tag("span", f"{entropy:.2f}", class_="num soft"),
            tag("span", f"{tensor['bits_per_weight']:.2f}", class_="num off"),
        ]
    return section(
        "Entropy and bits spent",
        note(
            "Bits for each weight of the tensor, pruned ones counted. The mark is the zero-order "
            "entropy: what an ideal coder needs that knows only how often each value and each "
            "position occurs. Coders that look at neighbours can stay below it. “In all” "
            "adds codebooks, scales and code tables."
        ),
        tag("div", *cells, class_="rows five"),
        _left_out(len(coded) - len(shown), "tensors"),
    )


def _outputs_section(outputs: Mapping[str, Any] | None) -> Markup:
    title = "Error of each layer's output"
    if outputs is None:
        return section(title, note("Not measured: --original names the net to compare with."))
    if outputs["why"] is not None:
        return section(title, note(f"Not measured: {outputs['why']}."))
    measured = [entry for entry in outputs["blobs"] if entry["error"] is not None]
    positive = [entry["error"] for entry in measured if entry["error"] > 0]
    text = (
        "Relative to the original's output, |packed - original| / |original|, over "
        f"{outputs['images']} images: {outputs['source']}. "
        "Blobs as they stand at the end of the run."
    )
    if not measured:
        return section(title, note("Not measured: no output of finite values."))
    if not positive:
        return section(title, note(f"All outputs are equal. {text}"))
    axis = logarithmic(min(positive) / 1.3, max(positive) * 1.3, 0, 100, 5)
    cells = [
        tag("span", "output", class_="head"),
        tag("span", bars.axis_labels(axis, 100, " %"), class_="full axis-labels"),
        tag("span", "error", class_="head num"),
    ]
    for entry in measured[:MAX_LINES]:
        value = entry["error"]
        dot = bars.dot_on_axis(value, axis, f"{entry['blob']}: {value:.3g}") if value > 0 else None
        cells += [
            tag("span", shorten(entry["blob"], _NAME)),
            tag("span", dot, class_="full"),
            tag("span", _percent(value), class_="num"),
        ]
    return section(
        title,
        note(text),
        tag("div", *cells, class_="rows three"),
        _left_out(len(measured) - MAX_LINES, "outputs"),
        _left_out(len(outputs["blobs"]) - len(measured), "outputs without a finite error"),
    )


def _cards_section(layers: Sequence[Mapping[str, Any]]) -> Markup | None:
    tensors = [tensor for layer in layers for tensor in layer["tensors"]]
    drawn = [t for t in tensors if t["histogram"] is not None or t["picture"] is not None]
    if not drawn:
        return None
    weights = sum(tensor["weight"] for tensor in tensors)
    text = (
        "How the weights that are not zero are spread; ticks below the axis are the values they "
        "can take. The square is the weight matrix, outputs from top to bottom, inputs from left "
        "to right, stretched: where some weights are zero it shows where the others stand, "
        "elsewhere how large they are."
    )
    if weights > MAX_CARDS:
        text += f" The {MAX_CARDS} largest of {weights}."
    return section(
        "Weights", note(text), tag("div", *(_card(tensor) for tensor in drawn), class_="cards")
    )


def _card(tensor: Mapping[str, Any]) -> Markup:
    shape = " × ".join(str(extent) for extent in tensor["shape"])  # noqa: RUF001
    lines = [f"{tensor['form']}, {text_of(tensor['bits_per_weight'])} bits per weight"]
    if tensor["density"] is not None:
        lines.append(f"{100 * tensor['density']:.1f} % stored")
    if tensor["levels"] is not None:
        lines.append(f"{len(tensor['levels'])} values")
    if tensor["error"] is not None:
        lines.append(f"error of the weights {_percent(tensor['error'])}")
    spread = tensor["histogram"]
    if spread is not None and spread["sampled"] < tensor["elements"]:
        lines.append(f"a sample of {spread['sampled']:,}")
    picture = tensor["picture"]
    name = shorten(tensor["name"], _NAME)
    chart = (
        note("all zero")
        if spread is None
        else bars.histogram_svg(spread, tensor["levels"], f"histogram of {name}")
    )
    image = None
    if picture is not None:
        image = tag(
            "img",
            src=f"data:image/png;base64,{picture['png']}",
            alt=f"{picture['shows']} of {name}",
            title=f"{picture['shows']}: {picture['rows']} rows, {picture['columns']} columns, "
            f"drawn as {picture['height']} x {picture['width']} cells",
        )
    return tag(
        "div",
        tag("h3", name, tag("span", shape, class_="shape")),
        tag("div", chart, image, class_="pair"),
        note("; ".join(lines)),
        class_="card",
    )


def _recipe_section(facts: Mapping[str, Any]) -> Markup:
    recipe = facts["recipe"]
    if not isinstance(recipe, Mapping):
        return section("Recipe", note("The file states none."))
    lines: list[str] = []
    for key, value in recipe.items():
        if key != "step":
            lines.append(f"{key} = {_toml(value)}")
    steps = recipe.get("step")
    for step in steps if isinstance(steps, list) else []:
        lines.append("\n[[step]]")
        pairs = (
            sorted(step.items(), key=_method_first) if isinstance(step, Mapping) else [("?", step)]
        )
        lines += [f"{key} = {_toml(value)}" for key, value in pairs]
    return section("Recipe", tag("pre", shorten("\n".join(lines), 20_000)))


def _method_first(pair: tuple[str, Any]) -> bool:
    return pair[0] != "method"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(value, ensure_ascii=False)


def _file_section(facts: Mapping[str, Any]) -> Markup:
    tensors = [tensor for layer in facts["layers"] for tensor in layer["tensors"]]
    rows = [
        [
            shorten(tensor["name"], _NAME),
            tensor["form"],
            ", ".join(tensor["coders"]),
            bytes_of(tensor["bytes"]),
            tag("code", tensor["crc32"]),
        ]
        for tensor in tensors[: 2 * MAX_LINES]
    ]
    seed = facts["seed"]
    return section(
        "File",
        facts_list(
            [
                ("SHA-256", tag("code", facts["sha256"])),
                ("bytes", f"{facts['bytes']:,}"),
                ("container format", facts["format"]),
                ("parameters", f"{facts['parameters']:,}"),
                ("seed", "not stated" if seed is None else shorten(str(seed), 40)),
            ]
        ),
        tag(
            "details",
            tag("summary", f"{len(tensors)} tensors with their checksums"),
            table(
                ["tensor", "form", "coders", "bytes", "CRC-32 decoded"],
                rows,
                text=3,
                optional=frozenset({1, 2}),
            ),
            _left_out(len(tensors) - len(rows), "tensors"),
        ),
    )


def _largest(
    entries: Sequence[Mapping[str, Any]], count: int, size: str
) -> list[Mapping[str, Any]]:
    """Return the `count` largest, in their order."""
    if len(entries) <= count:
        return list(entries)
    by_size = sorted(range(len(entries)), key=lambda i: -entries[i][size])
    return [entries[i] for i in sorted(by_size[:count])]


def _left_out(count: int, what: str) -> Markup | None:
    return note(f"Not shown: {count} {what}; `--json` has them.") if count > 0 else None


def _percent(part: float) -> str:
    percent = 100 * part
    return f"{percent:.2f} %" if percent >= 0.01 or percent == 0 else f"{percent:.0e} %"
