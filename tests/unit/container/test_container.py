"""Containers: round trip, determinism, and every kind of damage."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from tests.nets import make_net, toy_net
from tests.unit.container.making import (
    every_form,
    more_forms,
    packed,
    resealed,
    rotated_forms,
    write,
)

from cmodel import container
from cmodel.container import layout
from cmodel.errors import (
    BadHeader,
    BadManifest,
    BadSignature,
    BadVersion,
    CmodelError,
    LimitMemory,
    NetError,
    OutputError,
    TrailingData,
    Truncated,
    UnknownFeature,
)
from cmodel.net import InputTransform, UnknownField
from cmodel.tensors import Dense


@pytest.mark.parametrize("make", [toy_net, every_form, more_forms, rotated_forms])
def test_round_trip_is_bit_exact(tmp_path, make):
    net = make()
    path = tmp_path / "x.cmodel"
    written = container.write(net, path)
    read = container.read(path)
    assert written == path.stat().st_size
    assert list(read.parameters) == list(net.parameters)
    for name in net.parameters:
        form, back = net.parameters[name], read.parameters[name]
        assert type(back) is type(form)
        assert back.shape == form.shape
        assert (back.to_dense().view(np.uint32) == form.to_dense().view(np.uint32)).all()
    assert [layer.param for layer in read.layers] == [layer.param for layer in net.layers]
    assert read.header == net.header
    assert container.verify(path).ok


def test_everything_beside_the_tensors_comes_back(tmp_path):
    net = toy_net()
    net.unknown = (UnknownField("", text="fork_option: 3"),)
    net.layers[1].unknown = (UnknownField("convolution_param", wire=b"\xf8\x3f\x05"),)
    mean = np.arange(3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8)
    net.transform = InputTransform(
        resize=(10, 12), crop=(8, 8), scale=(0.5,), mean_image=mean, channel_order="rgb"
    )
    net.labels = ("cat", "dog é")
    net.notes = {"recipe": {"name": "x"}}
    path = write(tmp_path / "x.cmodel", packed(net))
    read = container.read(path)
    assert read.unknown == net.unknown
    assert read.layers[1].unknown == net.layers[1].unknown
    assert read.transform == net.transform
    assert read.labels == net.labels
    assert read.notes == net.notes
    assert ":mean" not in read.parameters


def test_the_same_net_gives_the_same_bytes():
    assert packed(every_form()) == packed(every_form())


def test_a_shared_parameter_is_stored_once(tmp_path):
    text = """
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "y" param { name: "w" } param {}
            inner_product_param { num_output: 2 } }
    layer { name: "b" type: "InnerProduct" bottom: "y" top: "z" param { name: "w" } param {}
            inner_product_param { num_output: 2 } }
    """
    rng = np.random.default_rng(0)
    net = make_net(text, {"a": [Dense(rng.normal(size=(2, 2)).astype(np.float32))] * 2})
    net.parameters["a/1"] = Dense(np.ones(2, np.float32))
    net.parameters["b/1"] = Dense(np.zeros(2, np.float32))
    net.layers[1].parameters = ["a/0", "b/1"]
    read = container.read(write(tmp_path / "x.cmodel", packed(net)))
    assert list(read.parameters) == ["a/0", "a/1", "b/1"]
    assert read.layers[1].parameters == ["a/0", "b/1"]


def test_large_payloads_are_aligned_one_section_a_tensor(tmp_path):
    text = """layer { name: "a" type: "InnerProduct" bottom: "x" top: "y"
              inner_product_param { num_output: 600 } }"""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(600, 500)).astype(np.float32)
    net = make_net(text, {"a": [Dense(weights), Dense(weights[:, 0].copy())]})
    opened = container.Container(write(tmp_path / "x.cmodel", packed(net)))
    assert opened.alignment_log2 == 6
    assert [s.offset % 64 for s in opened.sections] == [0, 0, 0]
    dense = opened.form("a/0").to_dense()
    assert (dense == weights).all()
    # Mapped, not copied.
    assert not dense.flags.owndata
    assert not dense.flags.writeable


def test_labels_end_their_lines(tmp_path):
    net = toy_net()
    net.labels = ("a\nb",)
    with pytest.raises(NetError, match="line end"):
        packed(net)
    net.labels = ("k3", "q7")
    data = bytearray(packed(net))
    section = layout.parse_head(memoryview(bytes(data))).sections[2]
    assert bytes(data[section.offset :]) == b"k3\nq7\n"
    data[-1:] = b"!"
    crc = zlib.crc32(data[section.offset :])
    sealed = _with_table(bytes(data), lambda s: [*s[:2], replace(s[2], crc32=crc)])
    opened = container.Container(write(tmp_path / "x.cmodel", sealed))
    with pytest.raises(BadManifest, match="line end"):
        opened.labels()


def test_half_a_size_and_numbers_that_are_not_finite_are_refused(tmp_path):
    for change in (
        lambda m: setattr(m.transform, "resize_height", 5),
        lambda m: m.transform.scale.append(float("nan")),
    ):
        data = resealed(packed(toy_net()), change)
        with pytest.raises(BadManifest):
            container.read(write(tmp_path / "x.cmodel", data))


def test_an_empty_net_costs_at_most_40_bytes(tmp_path):
    data = packed(make_net('name: "empty"', {}))
    assert len(data) <= 40
    assert container.read(write(tmp_path / "x.cmodel", data)).parameters.copy() == {}


def test_a_tensor_of_a_shape_that_its_layer_does_not_need_is_refused(tmp_path):
    net = toy_net()
    net.parameters["fc/0"] = Dense(np.zeros((6, 143), np.float32))
    path = write(tmp_path / "x.cmodel", packed(net))
    with pytest.raises(BadManifest, match="`fc`"):
        container.read(path)


def test_a_parameter_of_no_layer_is_refused():
    net = toy_net()
    net.parameters["stray/0"] = Dense(np.zeros(1, np.float32))
    with pytest.raises(NetError, match="belongs to no layer"):
        packed(net)


def test_an_unwritable_place_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        container.write(toy_net(), tmp_path / "missing" / "x.cmodel")
    with pytest.raises(OutputError, match="folder"):
        container.write(toy_net(), tmp_path)
    assert list(tmp_path.iterdir()) == []


# Damage


def test_every_truncation_is_named(tmp_path):
    data = packed(every_form())
    path = tmp_path / "x.cmodel"
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises((Truncated, BadSignature)):
            container.Container(path)


def test_every_flipped_bit_is_noticed(tmp_path):
    data = packed(every_form())
    path = tmp_path / "x.cmodel"
    rng = np.random.default_rng(1)
    for bit in rng.choice(8 * len(data), 600, replace=False):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        try:
            result = container.verify(path)
        except CmodelError:
            continue
        assert not result.ok


def test_trailing_bytes_are_named(tmp_path):
    path = write(tmp_path / "x.cmodel", packed(toy_net()) + b"\0")
    with pytest.raises(TrailingData):
        container.Container(path)


@pytest.mark.parametrize(
    "data", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\x0a\x03toy"]
)
def test_other_files_have_no_signature(tmp_path, data):
    with pytest.raises(BadSignature):
        container.Container(write(tmp_path / "x.cmodel", data))


def test_ranges_come_back_and_state_version_1_1(tmp_path):
    net = toy_net()
    plain = packed(net)
    net.layers[3].range = (0.0, 2.5)
    net.layers[1].range = (-1.0, 0.0)
    data = packed(net)
    assert (plain[9], data[9]) == (0, 1)
    read = container.read(write(tmp_path / "x.cmodel", data))
    assert [layer.range for layer in read.layers] == [layer.range for layer in net.layers]


@pytest.mark.parametrize(
    ("layers", "low", "high"),
    [([1], [np.nan], [1]), ([1], [0], [np.inf]), ([1], [0], [np.nan]), ([1], [-np.inf], [1]),
     ([1], [1], [2]), ([1], [-2], [-1]), ([1], [2], [-1]), ([1], [], [1]), ([1], [0], []),
     ([], [0], [1]), ([5], [0], [1]), ([1, 1], [0, 0], [1, 1]), ([3, 1], [0, 0], [1, 1])],
)  # fmt: skip
def test_forged_ranges_are_refused(tmp_path, layers, low, high):
    def change(manifest):
        manifest.ranges.layer.extend(layers)
        manifest.ranges.low.extend(low)
        manifest.ranges.high.extend(high)

    path = write(tmp_path / "x.cmodel", resealed(packed(toy_net()), change))
    with pytest.raises(BadManifest):
        container.Container(path)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda m: m.required.append("warp-drive"), UnknownFeature),
        (lambda m: m.network.layer[1].blobs.add(), BadManifest),
        (lambda m: m.unknown.add(layer=77), BadManifest),
        (lambda m: m.ClearField("directory"), BadManifest),
    ],
)
def test_forged_manifests_are_refused(tmp_path, change, error):
    path = write(tmp_path / "x.cmodel", resealed(packed(every_form()), change))
    with pytest.raises(error) as caught:
        container.Container(path)
    assert str(path) in str(caught.value)


def test_resealing_without_a_change_still_reads(tmp_path):
    path = write(tmp_path / "x.cmodel", resealed(packed(every_form()), lambda manifest: None))
    assert container.verify(path).ok


def test_a_required_feature_is_refused_by_its_name(tmp_path):
    data = resealed(packed(toy_net()), lambda m: m.required.append("warp-drive"))
    with pytest.raises(UnknownFeature, match="warp-drive"):
        container.Container(write(tmp_path / "x.cmodel", data))


def test_a_newer_version_is_refused_by_its_number(tmp_path):
    data = bytearray(packed(toy_net()))
    data[8] = 7
    with pytest.raises(BadVersion, match=r"7\.0"):
        container.Container(write(tmp_path / "x.cmodel", bytes(data)))


def _with_table(data: bytes, change) -> bytes:
    """Change the sections that a file states, and make its checksum right again."""
    head = layout.parse_head(memoryview(data))
    body = data[head.sections[0].offset :]
    return layout.pack_head(change(list(head.sections)), head.alignment_log2) + body


def _with_bytes(data: bytes, changes: dict[int, int]) -> bytes:
    """Change bytes of the header, and make its checksum right again."""
    raw = bytearray(data)
    for place, value in changes.items():
        raw[place] = value
    end = layout.HEADER_SIZE + int.from_bytes(raw[12:16], "little")
    crc = zlib.crc32(bytes(raw[layout.HEADER_SIZE : end]), zlib.crc32(bytes(raw[:16])))
    raw[16:20] = crc.to_bytes(4, "little")
    return bytes(raw)


@pytest.mark.parametrize("changes", [{10: 13}, {11: 1}, {20: 0xFF}])
def test_forged_headers_are_refused(tmp_path, changes):
    data = _with_bytes(packed(toy_net()), changes)
    with pytest.raises(BadHeader):
        container.Container(write(tmp_path / "x.cmodel", data))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda s: [], "bad-header"),
        (lambda s: s[1:], "bad-header"),  # no manifest
        (lambda s: [s[0], s[0], s[1]], "bad-header"),  # two
        (lambda s: [s[0], replace(s[1], flags=layout.DEFLATED)], "bad-header"),
        (lambda s: [s[0], replace(s[1], flags=layout.ANCILLARY)], "bad-header"),
        (lambda s: [replace(s[0], flags=layout.PRESET), s[1]], "bad-header"),
        (lambda s: [s[0], replace(s[1], flags=4)], "unknown-feature"),
        (lambda s: [s[0], replace(s[1], type=1 << 16)], "bad-header"),
        (lambda s: [s[0], replace(s[1], stored_size=(1 << 53) + 1)], "bad-header"),
        (lambda s: [s[0], replace(s[1], stored_size=1 << 53)], "truncated"),
        (lambda s: [s[0], replace(s[1], stored_size=1)], "trailing-data"),
        (lambda s: [replace(s[0], decoded_size=1 << 53), s[1]], "limit-memory"),
        (lambda s: [*s, *[layout.Section(77, layout.ANCILLARY, 0, 0, 0, 0)] * 65535], "bad-header"),
    ],
)
def test_forged_tables_are_refused(tmp_path, change, name):
    data = _with_table(packed(toy_net()), change)
    with pytest.raises(CmodelError) as caught:
        container.Container(write(tmp_path / "x.cmodel", data))
    assert caught.value.name == name


def test_a_file_has_at_most_65536_sections(tmp_path):
    more = [layout.Section(77, layout.ANCILLARY, 0, 0, 0, 0)] * 65534
    path = write(tmp_path / "x.cmodel", _with_table(packed(toy_net()), lambda s: [*s, *more]))
    assert len(container.Container(path).sections) == 65536


def test_unknown_critical_sections_are_refused_and_ancillary_ones_skipped(tmp_path):
    net = toy_net()
    net.labels = ("a",)
    data = packed(net)
    critical = _with_table(data, lambda s: [*s[:2], replace(s[2], type=99, flags=0)])
    with pytest.raises(UnknownFeature, match="99"):
        container.Container(write(tmp_path / "x.cmodel", critical))
    ancillary = _with_table(data, lambda s: [*s[:2], replace(s[2], type=99)])
    assert container.read(write(tmp_path / "y.cmodel", ancillary)).labels == ()


def test_memory_is_bounded_before_anything_is_allocated(tmp_path):
    path = write(tmp_path / "x.cmodel", packed(toy_net()))
    with pytest.raises(LimitMemory, match="allowed"):
        container.Container(path, max_memory=100)


def test_verify_names_the_damaged_section_and_its_tensors(tmp_path):
    data = bytearray(packed(every_form()))
    section = layout.parse_head(memoryview(bytes(data))).sections[1]
    data[section.offset] ^= 1
    result = container.verify(write(tmp_path / "x.cmodel", bytes(data)))
    (damage,) = result.damages
    assert damage.what == "section 1 (data)"
    assert damage.tensors == ("conv/0",)


@pytest.mark.parametrize(
    "broken",
    [
        lambda m: m.network.MergeFromString(b"\x0a\x01\xff"),
        lambda m: m.network.layer[1].MergeFromString(b"\x12\x01\xff"),
        lambda m: m.network.layer[1].MergeFromString(b"\x1a\x02\xc3("),
        lambda m: m.unknown.add().MergeFromString(b"\x12\x01\x80"),
    ],
    ids=["name of the net", "type", "bottom", "place of an unknown field"],
)
def test_strings_that_are_not_utf8(tmp_path, broken):
    path = write(tmp_path / "x.cmodel", resealed(packed(toy_net()), broken))
    with pytest.raises(BadManifest, match="not UTF-8"):
        container.read(path)
