meta:
  id: cmodel
  title: The cmodel container of a compressed Caffe network
  file-extension: cmodel
  license: BSD-3-Clause
  ks-version: "0.10"
  endian: le
doc: |
  The layout of a .cmodel file: header, section table, the sections with the padding between them,
  and, where the manifest is not deflated, the tensor directory in it. spec/cmodel-format.md is the
  specification, and section numbers here are its.

  What Kaitai Struct cannot say: checksums; what is deflated, with the preset dictionary or without;
  where the streams of a tensor begin, since their sizes follow from shapes; and the streams
  themselves. It holds that varints of the section table are below 2^53, not that they are short.
doc-ref: spec/cmodel-format.md

seq:
  - id: header
    type: header
  - id: table
    type: table
    size: header.len_table
  - id: sections
    type: section(_index)
    repeat: expr
    repeat-expr: table.entries.size
  - id: nothing_follows
    size-eos: true
    valid:
      expr: _.length == 0

enums:
  section_type:
    1: manifest
    2: data
    3: notes
    4: labels
  form_kind:
    0: dense
    1: codebook
    2: linear
    3: sparse
    4: product
    5: hashed
    6: trellis
  coder:
    0: packed
    1: huffman
    2: rans
    3: split
    4: context
  position_coder:
    0: relative
    1: bitmap
    2: mask
  dense_type:
    0: float32
    1: float16
    2: bfloat16
  integer_type:
    0: int8
    1: uint8
    2: int16
    3: uint16
  wire_type:
    0: varint
    1: fixed64
    2: bytes
    5: fixed32

types:
  # Section 2: the file

  header:
    seq:
      - id: signature
        contents: [0x89, "CMD", 0x0d, 0x0a, 0x1a, 0x0a]
      - id: major_version
        type: u1
        valid: 1
      - id: minor_version
        type: u1
      - id: alignment_log2
        type: u1
        valid:
          max: 12
      - id: reserved
        type: u1
        valid: 0
      - id: len_table
        type: u4
        valid:
          min: 1
      - id: crc32
        type: u4
        doc: Of bytes 0 to 15 followed by the section table.
    instances:
      alignment:
        value: 1 << alignment_log2

  table:
    seq:
      - id: entries
        type: entry
        repeat: eos

  entry:
    seq:
      - id: head
        type: varint
        valid:
          expr: _.value <= 0xfffff
      - id: stored
        type: varint
      - id: decoded
        type: varint
        if: is_deflated
      - id: crc32
        type: u4
        doc: Of the stored bytes.
    instances:
      type:
        value: head.value / 16
        enum: section_type
      flags:
        value: head.value % 16
      stored_size:
        value: stored.value
      decoded_size:
        value: "is_deflated ? decoded.value : stored.value"
      is_deflated:
        value: flags % 2 == 1
      has_preset:
        value: flags / 2 % 2 == 1
      is_ancillary:
        value: flags / 8 == 1

  section:
    params:
      - id: index
        type: u4
    seq:
      - id: padding
        size: (_root.header.alignment - _io.pos % _root.header.alignment) % _root.header.alignment
        type: padding
      - id: body
        size: entry.stored_size
        type:
          switch-on: "entry.is_deflated ? section_type::data : entry.type"
          cases:
            section_type::manifest: manifest
            section_type::notes: text
            section_type::labels: text
    instances:
      entry:
        value: _root.table.entries[index]

  padding:
    seq:
      - id: zeros
        type: u1
        valid: 0
        repeat: eos

  text:
    seq:
      - id: value
        type: str
        encoding: UTF-8
        size-eos: true

  # Section 3: the manifest, a Protocol Buffers message (proto/cmodel/manifest.proto)

  manifest:
    seq:
      - id: fields
        type: manifest_field
        repeat: eos

  manifest_field:
    seq:
      - id: tag
        type: varint
      - id: len
        type: varint
        if: wire_type == wire_type::bytes
      - id: value
        size: len.value
        type:
          switch-on: number
          cases:
            1: message
            2: message
            3: directory
            4: message
            5: text
        if: wire_type == wire_type::bytes
    instances:
      number:
        value: tag.value / 8
      wire_type:
        value: tag.value % 8
        enum: wire_type

  message:
    doc: Any message; what its fields mean is said in the .proto files.
    seq:
      - id: fields
        type: field
        repeat: eos

  field:
    seq:
      - id: tag
        type: varint
      - id: len
        type: varint
        if: wire_type == wire_type::bytes
      - id: value
        type:
          switch-on: wire_type
          cases:
            wire_type::varint: varint
            wire_type::fixed64: u8
            wire_type::bytes: bytes(len.value)
            wire_type::fixed32: u4
    instances:
      number:
        value: tag.value / 8
      wire_type:
        value: tag.value % 8
        enum: wire_type

  bytes:
    params:
      - id: size
        type: u8
    seq:
      - id: value
        size: size

  # Section 1

  varint:
    doc: |
      Unsigned LEB128. `value` is exact up to 2^53, which is the most that sizes may be; longer ones
      occur only in the network, as negative numbers.
    seq:
      - id: groups
        type: varint_group
        repeat: until
        repeat-until: not _.has_next
    instances:
      len:
        value: groups.size
      value:
        value: |
          (groups[0].value
          + (len > 1 ? groups[1].value * 0x80 : 0)
          + (len > 2 ? groups[2].value * 0x4000 : 0)
          + (len > 3 ? groups[3].value * 0x20_0000 : 0)
          + (len > 4 ? groups[4].value * 0x1000_0000 : 0)
          + (len > 5 ? groups[5].value * 0x8_0000_0000 : 0)
          + (len > 6 ? groups[6].value * 0x400_0000_0000 : 0)
          + (len > 7 ? groups[7].value * 0x2_0000_0000_0000 : 0)).as<u8>

  varint_group:
    seq:
      - id: byte
        type: u1
    instances:
      has_next:
        value: (byte & 0x80) != 0
      value:
        value: byte & 0x7f

  zigzag:
    seq:
      - id: coded
        type: varint
    instances:
      value:
        value: "coded.value % 2 == 0 ? coded.value / 2 : -((coded.value + 1) / 2)"

  # Section 4: the tensor directory

  directory:
    seq:
      - id: num_tensors
        type: varint
      - id: checksums
        type: u4
        repeat: expr
        repeat-expr: num_tensors.value
        doc: Of what the tensors decode to.
      - id: tensors
        type: tensor
        repeat: expr
        repeat-expr: num_tensors.value
      - id: nothing_follows
        size-eos: true
        valid:
          expr: _.length == 0

  tensor:
    seq:
      - id: head
        type: varint
      - id: blob
        type: varint
        if: has_blob
      - id: rank
        type: varint
        valid:
          expr: _.value <= 32
      - id: extents
        type: varint
        repeat: expr
        repeat-expr: rank.value
      - id: form
        type: form(rank.value)
    instances:
      has_blob:
        value: head.value % 2 == 1
      begins_section:
        value: head.value / 2 % 2 == 1
      layer_step:
        value: head.value / 4

  # Section 5: forms

  form:
    params:
      - id: rank
        type: u4
    seq:
      - id: head
        type: u1
      - id: body
        type:
          switch-on: kind
          cases:
            form_kind::dense: dense(variant)
            form_kind::codebook: codebook(variant)
            form_kind::linear: linear(variant)
            form_kind::sparse: sparse(variant)
            form_kind::product: product(variant, rank)
            form_kind::hashed: hashed(variant)
            form_kind::trellis: trellis(variant)
    instances:
      kind:
        value: head & 15
        enum: form_kind
      variant:
        value: head >> 4

  dense:
    doc: Its words are a stream; only of byte planes is the size stated.
    params:
      - id: variant
        type: u1
    seq:
      - id: size
        type: varint
        if: has_planes
    instances:
      type:
        value: variant & 3
        enum: dense_type
      has_planes:
        value: (variant & 4) != 0

  codebook:
    params:
      - id: variant
        type: u1
    seq:
      - id: groups
        type: varint
        if: (variant & 1) != 0
      - id: entries
        type: varint
        valid:
          expr: _.value >= 1 and _.value <= 65536
      - id: centroids
        type: form(2)
      - id: codes
        type: ints

  linear:
    params:
      - id: variant
        type: u1
    seq:
      - id: groups
        type: varint
        if: (variant & 4) != 0
      - id: lowest
        type: zigzag
      - id: scales
        type: form(1)
      - id: base
        type: zigzag
        if: (variant & 8) != 0
      - id: zeros
        type: ints
        repeat: expr
        repeat-expr: 2
        if: (variant & 8) != 0
      - id: integers
        type: ints
    instances:
      type:
        value: variant & 3
        enum: integer_type

  sparse:
    params:
      - id: variant
        type: u1
    seq:
      - id: height
        type: varint
        if: (variant & 1) != 0
      - id: width
        type: varint
        if: (variant & 1) != 0
      - id: count
        type: varint
      - id: positions
        type:
          switch-on: coder
          cases:
            position_coder::relative: relative
            position_coder::mask: varint
      - id: values
        type: form(1)
    instances:
      coder:
        value: variant >> 1
        enum: position_coder

  relative:
    seq:
      - id: bits
        type: varint
        valid:
          expr: _.value >= 1 and _.value <= 8
      - id: num_symbols
        type: varint
      - id: symbols
        type: ints

  product:
    params:
      - id: variant
        type: u1
      - id: rank
        type: u4
    seq:
      - id: axes
        type: varint
        repeat: expr
        repeat-expr: rank
        if: (variant & 1) != 0
      - id: stages
        type: varint
        valid:
          expr: _.value >= 1 and _.value <= 256
      - id: blocks
        type: varint
      - id: entries
        type: varint
        valid:
          expr: _.value >= 1 and _.value <= 65536
      - id: dimension
        type: varint
      - id: centroids
        type: form(4)
      - id: codes
        type: ints
      - id: rotation
        type: form(2)
        if: (variant & 2) != 0

  hashed:
    params:
      - id: variant
        type: u1
    seq:
      - id: buckets
        type: varint
        valid:
          expr: _.value >= 1
      - id: seed
        type: u4
      - id: values
        type: form(1)
    instances:
      is_signed:
        value: (variant & 1) != 0

  trellis:
    params:
      - id: variant
        type: u1
    seq:
      - id: groups
        type: varint
        if: (variant & 2) != 0
      - id: states
        type: varint
        valid:
          expr: _.value == 8
      - id: lowest
        type: zigzag
      - id: scales
        type: form(1)
      - id: values
        type: ints
    instances:
      is_wide:
        value: (variant & 1) != 0

  # Section 6: streams

  ints:
    seq:
      - id: head
        type: varint
      - id: size
        type: varint
        if: coder != coder::packed
    instances:
      coder:
        value: head.value % 8
        enum: coder
      width:
        value: head.value / 8
        if: coder == coder::packed
      table_back:
        doc: 0 for a table of its own, else how many streams before it the owner of its table is.
        value: head.value / 8
        if: coder == coder::huffman or coder == coder::rans
