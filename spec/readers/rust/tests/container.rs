//! Whole files, made by hand.

use cmodel_read::{crc32, crc32_of_words, Container, Crc32, ErrorName, Limits};

const DEFLATED: u64 = 1;
const PRESET: u64 = 2;
const ANCILLARY: u64 = 8;

struct Part {
    kind: u64,
    flags: u64,
    stored: Vec<u8>,
    decoded: u64,
}

fn part(kind: u64, flags: u64, stored: &[u8]) -> Part {
    Part {
        kind,
        flags,
        stored: stored.to_vec(),
        decoded: stored.len() as u64,
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Header and section table.
fn head(alignment: u8, parts: &[Part]) -> Vec<u8> {
    let mut table = Vec::new();
    for part in parts {
        varint(&mut table, part.kind << 4 | part.flags);
        varint(&mut table, part.stored.len() as u64);
        if part.flags & DEFLATED != 0 {
            varint(&mut table, part.decoded);
        }
        table.extend(crc32(&part.stored).to_le_bytes());
    }
    let mut head = b"\x89CMD\r\n\x1A\n\x01\x00".to_vec();
    head.extend([alignment, 0]);
    head.extend((table.len() as u32).to_le_bytes());
    let mut crc = Crc32::default();
    crc.update(&head);
    crc.update(&table);
    head.extend(crc.value().to_le_bytes());
    head.extend(table);
    head
}

/// The bytes of a file of these sections, aligned to 2^`alignment`.
fn file(alignment: u8, parts: &[Part]) -> Vec<u8> {
    let unit = 1usize << alignment;
    let mut out = head(alignment, parts);
    for part in parts {
        out.resize((out.len() + unit - 1) / unit * unit, 0);
        out.extend(&part.stored);
    }
    out
}

/// A manifest of one layer named "fc" with this directory.
fn manifest(directory: &[u8]) -> Vec<u8> {
    let network = [0xA2, 0x06, 4, 0x0A, 2, b'f', b'c'];
    let mut out = vec![0x0A, network.len() as u8];
    out.extend(network);
    out.extend([0x1A, directory.len() as u8]);
    out.extend(directory);
    out
}

/// A file of one tensor: its directory entry after the head, and its streams.
fn one(shape_and_form: &[u8], values: &[u32], streams: &[u8]) -> Vec<u8> {
    let mut directory = vec![1];
    directory.extend(crc32_of_words(values).to_le_bytes());
    directory.push(2);
    directory.extend(shape_and_form);
    let parts = [part(1, 0, &manifest(&directory)), part(2, 0, streams)];
    file(0, &parts)
}

fn floats(values: &[f32]) -> (Vec<u32>, Vec<u8>) {
    let bits: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
    let bytes = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
    (bits, bytes)
}

fn open(bytes: &[u8]) -> Container<'_> {
    Container::open(bytes, Limits::default()).unwrap()
}

fn name_of(bytes: &[u8]) -> Option<ErrorName> {
    name_within(bytes, Limits::default())
}

fn name_within(bytes: &[u8], limits: Limits) -> Option<ErrorName> {
    let container = match Container::open(bytes, limits) {
        Ok(container) => container,
        Err(error) => return Some(error.name),
    };
    let read = container.verify().and_then(|()| {
        container
            .tensors()
            .iter()
            .try_for_each(|t| container.decode_bits(&t.name).unwrap().map(|_| ()))
    });
    read.err().map(|error| error.name)
}

#[test]
fn a_dense_tensor_is_read() {
    let (bits, streams) = floats(&[1.0, -2.5, 0.0]);
    let bytes = one(&[1, 3, 0], &bits, &streams);
    let container = open(&bytes);
    assert_eq!(container.tensors()[0].name, "fc/0");
    assert_eq!(container.tensors()[0].shape, [3]);
    assert_eq!(container.decode_bits("fc/0"), Some(Ok(bits)));
    assert_eq!(container.decode("fc/0"), Some(Ok(vec![1.0, -2.5, 0.0])));
    assert!(container.decode("fc/1").is_none());
    assert_eq!(container.verify(), Ok(()));
}

#[test]
fn every_damage_to_a_small_file_is_named() {
    let (bits, streams) = floats(&[1.0, -2.5, 0.0]);
    let bytes = one(&[1, 3, 0], &bits, &streams);
    assert_eq!(name_of(&bytes), None);
    for end in 1..bytes.len() {
        assert_eq!(name_of(&bytes[..end]), Some(ErrorName::Truncated));
    }
    assert_eq!(name_of(b""), Some(ErrorName::BadSignature));
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(name_of(&longer), Some(ErrorName::TrailingData));
    for bit in 0..8 * bytes.len() {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let name = name_of(&damaged);
        match bit / 8 {
            0..=7 => assert_eq!(name, Some(ErrorName::BadSignature)),
            8 => assert_eq!(name, Some(ErrorName::BadVersion)),
            12..=15 => assert!(name.is_some()),
            _ => assert_eq!(name, Some(ErrorName::Checksum)),
        }
    }
}

#[test]
fn padding_is_zero() {
    let (bits, streams) = floats(&[3.0]);
    let mut directory = vec![1];
    directory.extend(crc32_of_words(&bits).to_le_bytes());
    directory.extend([2, 0, 0]);
    let parts = [part(1, 0, &manifest(&directory)), part(2, 0, &streams)];
    let bytes = file(6, &parts);
    assert_eq!(open(&bytes).decode_bits("fc/0"), Some(Ok(bits)));
    let mut damaged = bytes.clone();
    let last = bytes.len() - streams.len() - 1;
    damaged[last] = 1;
    assert_eq!(name_of(&damaged), Some(ErrorName::BadHeader));
}

#[test]
fn sections_of_other_kinds() {
    let text = manifest(&[]);
    let text = &text[..text.len() - 2];
    assert_eq!(name_of(&file(0, &[part(1, 0, text)])), None);
    let with = |kind, flags| file(0, &[part(1, 0, text), part(kind, flags, b"{}")]);
    assert_eq!(name_of(&with(3, ANCILLARY)), None);
    assert_eq!(name_of(&with(99, ANCILLARY)), None);
    assert_eq!(name_of(&with(99, 0)), Some(ErrorName::UnknownFeature));
    assert_eq!(name_of(&with(1, 0)), Some(ErrorName::BadHeader));
    assert_eq!(name_of(&with(3, 0)), Some(ErrorName::BadHeader));
    assert_eq!(name_of(&with(2, ANCILLARY)), Some(ErrorName::BadHeader));
    assert_eq!(name_of(&with(2, DEFLATED)), Some(ErrorName::BadHeader));
    assert_eq!(name_of(&with(2, PRESET)), Some(ErrorName::BadHeader));
    assert_eq!(name_of(&with(2, 4)), Some(ErrorName::UnknownFeature));
    assert_eq!(name_of(&with(99, ANCILLARY | 4)), None);
    // Data that belong to no tensor.
    assert_eq!(name_of(&with(2, 0)), Some(ErrorName::BadManifest));
}

#[test]
fn a_deflated_manifest() {
    let (bits, streams) = floats(&[3.0]);
    let mut directory = vec![1];
    directory.extend(crc32_of_words(&bits).to_le_bytes());
    directory.extend([2, 0, 0]);
    let text = manifest(&directory);
    let size = text.len() as u16;
    let mut stored = vec![1];
    stored.extend(size.to_le_bytes());
    stored.extend((!size).to_le_bytes());
    stored.extend(&text);
    let with = |decoded: u64| {
        let mut first = part(1, DEFLATED, &stored);
        first.decoded = decoded;
        file(0, &[first, part(2, 0, &streams)])
    };
    let right = text.len() as u64;
    assert_eq!(name_of(&with(right)), None);
    assert_eq!(name_of(&with(right + 1)), Some(ErrorName::BadManifest));
    assert_eq!(name_of(&with(right - 1)), Some(ErrorName::BadManifest));
    assert_eq!(name_of(&with(1 << 40)), Some(ErrorName::LimitMemory));
}

#[test]
fn a_rotated_product_is_listed_in_parts() {
    let (books, mut streams) = floats(&[1.0, 2.0, 3.0, 4.0]);
    streams.push(0b01); // codes 1 0
    let (rotation, turn) = floats(&[0.0, 1.0, 1.0, 0.0]);
    streams.extend(turn);
    let blocks = [books[2], books[3], books[0], books[1]];
    // Product, rotated, one codebook: 1 stage, 1 block, 2 entries of 2; Dense; packed by 1; Dense.
    let form = [2, 2, 2, 0x64, 1, 1, 2, 2, 0x00, 0x08, 0x00];
    let bytes = one(&form, &blocks, &streams);
    let container = open(&bytes);
    let listed: Vec<_> = container
        .tensors()
        .iter()
        .map(|t| (t.name.as_str(), t.shape.clone()))
        .collect();
    assert_eq!(
        listed,
        [("fc/0:blocks", vec![2, 2]), ("fc/0:rotation", vec![2, 2])]
    );
    assert_eq!(
        container.decode_bits("fc/0:blocks"),
        Some(Ok(blocks.to_vec()))
    );
    assert_eq!(container.decode_bits("fc/0:rotation"), Some(Ok(rotation)));
}

#[test]
fn residual_stages_are_added_and_axes_restored() {
    let (_, mut streams) = floats(&[1.0, 2.0, 0.5, 0.25]);
    streams.push(0b0100_1010); // stage 0: 0 1 0 1, stage 1: 0 0 1 0
    let (bits, _) = floats(&[1.5, 1.25, 2.5, 2.5]);
    // Axes 1 0: the rows of the matrix are the columns of the tensor.
    let form = [2, 2, 2, 0x54, 1, 0, 2, 2, 2, 1, 0x00, 0x08];
    let bytes = one(&form, &bits, &streams);
    assert_eq!(open(&bytes).decode_bits("fc/0"), Some(Ok(bits)));
}

#[test]
fn linear_with_zeros_has_no_minus_zero() {
    // int8, zeros stated: lowest -1, scale -0.5, zero = -1 + 2; ints -1 0 1 2.
    let (_, mut streams) = floats(&[-0.5]);
    streams.push(0b10); // low
    streams.push(0b1110_0100);
    let (bits, _) = floats(&[1.0, 0.5, 0.0, -0.5]);
    let form = [1, 4, 0x82, 1, 0x00, 1, 0x10, 0x00, 0x10];
    let bytes = one(&form, &bits, &streams);
    assert_eq!(open(&bytes).decode_bits("fc/0"), Some(Ok(bits)));
}

#[test]
fn sparse_blocks_stand_together() {
    // 4 x 4, blocks of 2 x 2, a bitmap: blocks 1 and 2.
    let mut streams = vec![0b0110];
    streams.extend(floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).1);
    let (bits, _) = floats(&[
        0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 7.0, 8.0, 0.0, 0.0,
    ]);
    let form = [2, 4, 4, 0x33, 2, 2, 2, 0x00];
    let bytes = one(&form, &bits, &streams);
    assert_eq!(open(&bytes).decode_bits("fc/0"), Some(Ok(bits)));
}

#[test]
fn relative_indices_skip() {
    // 2 bits, so a skip is 3: gaps 4 = 3 1 and 0 = 0; positions 4 and 5.
    let mut streams = vec![0b00_01_11];
    streams.extend(floats(&[7.0, 8.0]).1);
    let (bits, _) = floats(&[0.0, 0.0, 0.0, 0.0, 7.0, 8.0]);
    let bytes = one(&[1, 6, 0x03, 2, 2, 3, 0x10, 0x00], &bits, &streams);
    assert_eq!(open(&bytes).decode_bits("fc/0"), Some(Ok(bits.clone())));
    streams[0] = 0b11_01_00; // the last symbol is a skip
    let other = one(&[1, 6, 0x03, 2, 2, 3, 0x10, 0x00], &bits, &streams);
    assert_eq!(name_of(&other), Some(ErrorName::BadStream));
}

#[test]
fn memory_is_counted_before_it_is_taken() {
    let (bits, streams) = floats(&[1.0, -2.5, 0.0]);
    let bytes = one(&[1, 3, 0], &bits, &streams);
    let within = |max_memory| name_within(&bytes, Limits { max_memory });
    assert_eq!(within(12), None);
    assert_eq!(within(11), Some(ErrorName::LimitMemory));
    // 2^40 zeros, sparse: no bytes of data.
    let huge = [1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0x03, 0, 1, 0, 0, 0];
    let bytes = one(&huge, &[], &[]);
    assert_eq!(name_of(&bytes), Some(ErrorName::LimitMemory));
}

#[test]
fn a_tensor_that_decodes_to_something_else_is_damaged() {
    let (_, streams) = floats(&[1.0]);
    let bytes = one(&[0, 0], &[0], &streams);
    assert_eq!(name_of(&bytes), Some(ErrorName::Checksum));
}

#[test]
fn a_table_is_shared_across_sections() {
    // Two tensors of uint8 with the scale 1, each in a section of its own. The first has the
    // example of section 7, the second the same integers by the table of the first.
    let ints = [2.0, 0.0, 2.0, 1.0, 2.0, 2.0, 0.0, 5.0];
    let (bits, _) = floats(&ints);
    let crc = crc32_of_words(&bits).to_le_bytes();
    let scale = 1f32.to_le_bytes();
    let with = |back: u8, second: &[u8], flip: u8| {
        let mut directory = vec![2];
        directory.extend([crc, crc].concat());
        directory.extend([2, 1, 8, 0x12, 0, 0x00, 0x01, 6]);
        directory.extend([2, 1, 8, 0x12, 0, 0x00, 0x01 | back << 3, second.len() as u8]);
        let first = [0x06, 0x32, 0x01, 0x30, 0x32, 0x3A];
        let data = [[&scale[..], &first].concat(), [&scale[..], second].concat()];
        let parts = [
            part(1, 0, &manifest(&directory)),
            part(2, 0, &data[0]),
            part(2, 0, &data[1]),
        ];
        let mut bytes = file(0, &parts);
        let table = bytes.len() - data[1].len() - first.len();
        bytes[table] ^= flip;
        bytes
    };
    let good = with(1, &[0x32, 0x3A], 0);
    assert_eq!(name_of(&good), None);
    assert_eq!(open(&good).decode_bits("fc/1"), Some(Ok(bits)));
    let none = name_of(&with(2, &[0x32, 0x3A], 0));
    assert_eq!(none, Some(ErrorName::BadManifest));
    let long = name_of(&with(1, &[0x32, 0x3A, 0], 0));
    assert_eq!(long, Some(ErrorName::BadStream));
    // A table in a damaged section is not used.
    let damaged = with(1, &[0x32, 0x3A], 1);
    let error = open(&damaged).decode_bits("fc/1").unwrap().unwrap_err();
    assert_eq!(error.name, ErrorName::Checksum);
}
