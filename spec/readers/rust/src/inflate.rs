//! Raw DEFLATE (RFC 1951), which sections may be stored in (section 1), with the preset dictionary
//! (section 2.3) or without.

use crate::conventions::{room, to_usize, Bits};
use crate::error::{bad_stream, Result};

const LENGTH_BASE: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
const LENGTH_EXTRA: [u8; 29] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
const DISTANCE_BASE: [u16; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
    2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
/// The order in which the lengths of the code-length code are sent.
const LENGTH_ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// A prefix code: how many codes have each length, and the symbols in the order of their codes.
struct Code {
    counts: [u16; 16],
    symbols: Vec<u16>,
}

impl Code {
    /// Codes must be complete, but for a distance code of one symbol of length 1, or of none.
    fn new(lengths: &[u8], may_be_short: bool) -> Result<Code> {
        let mut counts = [0u16; 16];
        for &length in lengths {
            counts[length as usize] += 1;
        }
        counts[0] = 0;
        let mut left = 1i32;
        for &count in &counts[1..] {
            left = 2 * left - i32::from(count);
            if left < 0 {
                return bad_stream("deflate: a code has too many words");
            }
        }
        let longest = counts.iter().rposition(|&c| c > 0).unwrap_or(0);
        if left > 0 && !(may_be_short && longest <= 1) {
            return bad_stream("deflate: a code is not complete");
        }
        let mut symbols: Vec<u16> = (0..lengths.len() as u16)
            .filter(|&s| lengths[s as usize] > 0)
            .collect();
        symbols.sort_by_key(|&s| lengths[s as usize]);
        Ok(Code { counts, symbols })
    }

    fn read(&self, bits: &mut Bits) -> Result<u16> {
        bits.refill();
        let (mut code, mut first, mut index) = (0i32, 0i32, 0i32);
        for length in 1..16 {
            code |= (bits.peek() >> (length - 1) & 1) as i32;
            let count = i32::from(self.counts[length as usize]);
            if code - first < count {
                bits.drop(length);
                return Ok(self.symbols[(index + code - first) as usize]);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        bad_stream("deflate: a code word has no symbol")
    }
}

/// The preset dictionary.
pub(crate) const PRESET: &[u8] = include_bytes!("dictionary.bin");

/// Inflate exactly `size` bytes from exactly the bytes given, as if `preset` stood before them.
pub(crate) fn inflate(bytes: &[u8], preset: &[u8], size: u64) -> Result<Vec<u8>> {
    let size = to_usize(size.saturating_add(preset.len() as u64))?;
    let mut out: Vec<u8> = room(size as u64)?;
    out.extend_from_slice(preset);
    let mut bits = Bits::new(bytes);
    loop {
        let last = bits.read(1) == 1;
        match bits.read(2) {
            0 => stored(&mut bits, bytes, &mut out, size)?,
            1 => {
                let mut lengths = [8u8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                let distances = Code::new(&[5; 32], false)?;
                coded(
                    &mut bits,
                    &Code::new(&lengths, false)?,
                    &distances,
                    &mut out,
                    size,
                )?;
            }
            2 => {
                let (literals, distances) = codes(&mut bits)?;
                coded(&mut bits, &literals, &distances, &mut out, size)?;
            }
            _ => return bad_stream("deflate: a block has no known type"),
        }
        if bits.overrun() {
            return bad_stream("deflate: the data end too early");
        }
        if last {
            break;
        }
    }
    if out.len() != size {
        let (found, due) = (out.len() - preset.len(), size - preset.len());
        return bad_stream(format!("deflate: {found} bytes instead of {due}"));
    }
    if bits.used() != bytes.len() {
        return bad_stream("deflate: bytes follow the last block");
    }
    out.drain(..preset.len());
    Ok(out)
}

fn stored<'a>(bits: &mut Bits<'a>, bytes: &'a [u8], out: &mut Vec<u8>, size: usize) -> Result<()> {
    let start = bits.used();
    let head = match bytes.get(start..start + 4) {
        Some(head) => head,
        None => return bad_stream("deflate: the data end too early"),
    };
    let length = usize::from(head[0]) | usize::from(head[1]) << 8;
    if usize::from(!head[2]) | usize::from(!head[3]) << 8 != length {
        return bad_stream("deflate: the two lengths of a stored block differ");
    }
    let end = start + 4 + length;
    match bytes.get(start + 4..end) {
        Some(data) if data.len() <= size - out.len() => out.extend_from_slice(data),
        Some(_) => return bad_stream("deflate: more bytes than stated"),
        None => return bad_stream("deflate: the data end too early"),
    }
    *bits = Bits::from(bytes, end);
    Ok(())
}

/// Read the two codes of a dynamic block.
fn codes(bits: &mut Bits) -> Result<(Code, Code)> {
    let literals = bits.read(5) as usize + 257;
    let distances = bits.read(5) as usize + 1;
    let sent = bits.read(4) as usize + 4;
    if literals > 286 || distances > 30 {
        return bad_stream("deflate: a block has too many symbols");
    }
    let mut lengths = [0u8; 19];
    for &symbol in &LENGTH_ORDER[..sent] {
        lengths[symbol] = bits.read(3) as u8;
    }
    let code = Code::new(&lengths, false)?;
    let mut lengths = Vec::with_capacity(320);
    while lengths.len() < literals + distances {
        let (value, times) = match code.read(bits)? {
            16 => match lengths.last() {
                Some(&length) => (length, 3 + bits.read(2)),
                None => return bad_stream("deflate: a repetition comes first"),
            },
            17 => (0, 3 + bits.read(3)),
            18 => (0, 11 + bits.read(7)),
            length => (length as u8, 1),
        };
        lengths.resize(lengths.len() + times as usize, value);
    }
    if lengths.len() > literals + distances {
        return bad_stream("deflate: a repetition goes too far");
    }
    if lengths[256] == 0 {
        return bad_stream("deflate: a block has no code for its end");
    }
    Ok((
        Code::new(&lengths[..literals], true)?,
        Code::new(&lengths[literals..], true)?,
    ))
}

fn coded(
    bits: &mut Bits,
    literals: &Code,
    distances: &Code,
    out: &mut Vec<u8>,
    size: usize,
) -> Result<()> {
    loop {
        let symbol = usize::from(literals.read(bits)?);
        if bits.overrun() {
            return bad_stream("deflate: the data end too early");
        }
        if symbol == 256 {
            return Ok(());
        }
        if symbol < 256 {
            if out.len() == size {
                return bad_stream("deflate: more bytes than stated");
            }
            out.push(symbol as u8);
            continue;
        }
        let index = symbol - 257;
        if index >= LENGTH_BASE.len() {
            return bad_stream("deflate: a length has no meaning");
        }
        let extra = bits.read(u32::from(LENGTH_EXTRA[index]));
        let length = usize::from(LENGTH_BASE[index]) + extra as usize;
        let index = usize::from(distances.read(bits)?);
        if index >= DISTANCE_BASE.len() {
            return bad_stream("deflate: a distance has no meaning");
        }
        let extra = bits.read((index as u32 / 2).saturating_sub(1));
        let distance = usize::from(DISTANCE_BASE[index]) + extra as usize;
        if distance > out.len() {
            return bad_stream("deflate: a distance goes before the beginning");
        }
        if length > size - out.len() {
            return bad_stream("deflate: more bytes than stated");
        }
        let start = out.len() - distance;
        if distance >= length {
            out.extend_from_within(start..start + length);
        } else {
            for i in start..start + length {
                out.push(out[i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conventions::crc32;

    #[test]
    fn stored_fixed_and_dynamic_blocks() {
        assert_eq!(
            inflate(&[1, 3, 0, 0xFC, 0xFF, 7, 8, 9], &[], 3),
            Ok(vec![7, 8, 9])
        );
        assert_eq!(inflate(&[0x03, 0x00], &[], 0), Ok(vec![]));
        // "abcabcabcabc": three literals and a copy of nine bytes.
        assert_eq!(
            inflate(&[0x4B, 0x4C, 0x4A, 0x4E, 0x84, 0x21, 0x00], &[], 12).unwrap(),
            b"abcabcabcabc"
        );
        // 600 letters among "abcd", by zlib at level 9.
        let packed = [
            0xED, 0x4F, 0xC9, 0x11, 0x00, 0x21, 0x0C, 0xAA, 0x95, 0xA3, 0xFF, 0x1A, 0x84, 0x44,
            0x5B, 0xD8, 0xD7, 0x6A, 0x46, 0x73, 0x80, 0x20, 0x40, 0x81, 0x04, 0xD1, 0xE5, 0x86,
            0xD0, 0xB8, 0x47, 0x07, 0x82, 0xB9, 0x65, 0x2E, 0xBA, 0x57, 0x77, 0x90, 0x7C, 0x00,
            0xBE, 0x92, 0x8F, 0x3E, 0xBD, 0x0E, 0x1D, 0xBA, 0xAA, 0xD0, 0x7C, 0xD0, 0xA3, 0xC5,
            0xE1, 0x66, 0x05, 0x29, 0xAF, 0xBC, 0xB4, 0x46, 0xFA, 0xD8, 0x12, 0x93, 0x2B, 0xF3,
            0x78, 0xC4, 0xC5, 0xE0, 0x92, 0xA7, 0xD7, 0xCC, 0x01, 0xF4, 0x21, 0x79, 0xCD, 0x94,
            0x82, 0xF5, 0x39, 0x26, 0xAA, 0x68, 0xB7, 0xB7, 0x7E, 0xFE, 0xFF, 0x7E, 0xF1, 0xDF,
            0x03,
        ];
        assert_eq!(packed[0] >> 1 & 3, 2);
        assert_eq!(crc32(&inflate(&packed, &[], 600).unwrap()), 0xEF78BBCB);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let good = [0x4B, 0x4C, 0x4A, 0x4E, 0x84, 0x21, 0x00];
        for end in 0..good.len() {
            assert!(inflate(&good[..end], &[], 12).is_err());
        }
        assert!(inflate(&good, &[], 11).is_err());
        assert!(inflate(&good, &[], 13).is_err());
        assert!(inflate(&[&good[..], &[0]].concat(), &[], 12).is_err());
        assert!(inflate(&[7], &[], 0).is_err());
        assert!(inflate(&[1, 3, 0, 0xFC, 0xFE, 7, 8, 9], &[], 3).is_err());
    }

    #[test]
    fn the_preset_dictionary_comes_before() {
        assert_eq!((PRESET.len(), crc32(PRESET)), (4084, 0xCB34_A2FF));
        // A copy of nine bytes from twelve bytes back; two of them are not in a shorter preset.
        let copy = [0x83, 0xB3, 0x01];
        let preset = b"abcdefghijkl";
        assert_eq!(inflate(&copy, preset, 9).unwrap(), b"abcdefghi");
        assert!(inflate(&copy, &preset[2..], 9).is_err());
        assert!(inflate(&copy, preset, 8).is_err());
    }
}
