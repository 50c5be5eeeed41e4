//! Section 6: streams of words and of integers.

use crate::conventions::{room, to_usize, zeros, Bits, Cursor};
use crate::error::{bad_stream, ErrorName, Result};
use crate::{contexts, huffman, rans};

/// Bytes of the file; it was checked that they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub offset: u64,
    pub size: u64,
}

impl Span {
    pub fn of<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        &file[self.offset as usize..(self.offset + self.size) as usize]
    }
}

/// A Huffman or rANS stream with a table of its own, which others may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub span: Span,
    pub bits: u32,
    /// Which data section it is in.
    pub section: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coder {
    /// The width of an integer.
    Packed(u32),
    /// Whose table it is, where it is another's.
    Huffman(Option<Owner>),
    Rans(Option<Owner>),
    Split,
    /// Bytes that the memory of the rows may have.
    Context(u64),
}

/// A stream of unsigned integers of 8 or 16 bits.
#[derive(Debug)]
pub(crate) struct Ints {
    pub coder: Coder,
    pub count: u64,
    pub bits: u32,
    pub span: Span,
}

impl Ints {
    pub fn decode(&self, file: &[u8]) -> Result<Vec<u16>> {
        let bytes = self.span.of(file);
        match self.coder {
            Coder::Packed(width) => unpack(bytes, self.count, width),
            Coder::Huffman(owner) => huffman(
                bytes,
                self.count,
                self.bits,
                owner.map(|o| (o.span.of(file), o.bits)),
            ),
            Coder::Rans(owner) => rans(
                bytes,
                self.count,
                self.bits,
                owner.map(|o| (o.span.of(file), o.bits)),
            ),
            Coder::Split => split(bytes, self.count),
            Coder::Context(most) => contexts::decode(bytes, self.count, self.bits, most),
        }
    }

    /// Decode, and refuse integers from `limit` up.
    pub fn decode_below(&self, file: &[u8], limit: u64) -> Result<Vec<u16>> {
        let values = self.decode(file)?;
        match values.iter().max() {
            Some(&most) if u64::from(most) >= limit => {
                bad_stream(format!("the integer {most} is not below {limit}"))
            }
            _ => Ok(values),
        }
    }
}

/// Decode a Huffman stream, with the table that another begins with where one is given.
fn huffman(bytes: &[u8], count: u64, bits: u32, owner: Option<(&[u8], u32)>) -> Result<Vec<u16>> {
    let mut stream = Cursor::new(bytes, ErrorName::BadStream);
    let code = match owner {
        Some((owner, bits)) => {
            huffman::Code::read(&mut Cursor::new(owner, ErrorName::BadStream), bits)?.share()
        }
        None => huffman::Code::read(&mut stream, bits)?,
    };
    code.decode(stream, count, bits)
}

/// Decode a rANS stream, likewise.
fn rans(bytes: &[u8], count: u64, bits: u32, owner: Option<(&[u8], u32)>) -> Result<Vec<u16>> {
    let mut stream = Cursor::new(bytes, ErrorName::BadStream);
    let code = match owner {
        Some((owner, bits)) => {
            rans::Code::read(&mut Cursor::new(owner, ErrorName::BadStream), bits)?.share()
        }
        None => rans::Code::read(&mut stream, bits)?,
    };
    code.decode(stream, count, bits)
}

/// Section 6.1: integers of 16 bits in a packed low and a coded high part.
fn split(bytes: &[u8], count: u64) -> Result<Vec<u16>> {
    let mut stream = Cursor::new(bytes, ErrorName::BadStream);
    let head = stream.u8()?;
    let width = u32::from(head & 15);
    if width == 0 || head & 0x70 != 0 {
        return bad_stream(format!("a split stream cannot begin with {head}"));
    }
    let mut values = unpack(stream.take(packed_size(count, width)?)?, count, width)?;
    let coded = stream.rest();
    let high = match head & 0x80 {
        0 => huffman(coded, count, 16, None)?,
        _ => rans(coded, count, 16, None)?,
    };
    for (value, high) in values.iter_mut().zip(high) {
        if u32::from(high) >> (16 - width) != 0 {
            return bad_stream("an integer of a split stream has more than 16 bits");
        }
        *value |= high << width;
    }
    Ok(values)
}

/// Section 6.2: `count` words of `bytes` bytes in byte planes, as the lower bits of what is returned.
pub(crate) fn planes(stream: &[u8], count: u64, bytes: u32) -> Result<Vec<u32>> {
    let mut stream = Cursor::new(stream, ErrorName::BadStream);
    let transform = stream.u8()?;
    let mut words: Vec<u32> = zeros(count)?;
    for plane in 0..bytes {
        for (word, byte) in words.iter_mut().zip(read_plane(&mut stream, count)?) {
            *word |= u32::from(byte) << (8 * plane);
        }
    }
    if !stream.is_empty() {
        return bad_stream("bytes follow the last plane");
    }
    let top = 8 * bytes - 1;
    let mask = u32::MAX >> (31 - top);
    match transform {
        0 => {
            for word in &mut words {
                *word = *word >> 1 | (*word & 1) << top;
            }
        }
        1 => {
            let mut key = 0u32;
            for word in &mut words {
                key = key.wrapping_add(*word) & mask;
                *word = match key >> top {
                    1 => key ^ 1 << top,
                    _ => !key & mask,
                };
            }
        }
        _ => {
            return bad_stream(format!(
                "the transform {transform} of planes does not exist"
            ))
        }
    }
    Ok(words)
}

fn read_plane(stream: &mut Cursor, count: u64) -> Result<Vec<u16>> {
    let head = stream.u8()?;
    match head {
        0..=8 => {
            let width = u32::from(head);
            unpack(stream.take(packed_size(count, width)?)?, count, width)
        }
        0x10 | 0x20 => {
            let size = stream.varint32()? as usize;
            let coded = stream.take(size)?;
            if head == 0x10 {
                huffman(coded, count, 8, None)
            } else {
                rans(coded, count, 8, None)
            }
        }
        _ => bad_stream(format!("a plane cannot begin with {head}")),
    }
}

/// The bytes of `count` packed integers, which are not more than 2^53 bits.
fn packed_size(count: u64, width: u32) -> Result<usize> {
    to_usize((count.saturating_mul(u64::from(width)).saturating_add(7)) / 8)
}

/// Integers of `width` bits, at most 16, LSB-first, from exactly the bytes that hold them.
fn unpack(bytes: &[u8], count: u64, width: u32) -> Result<Vec<u16>> {
    if width == 0 {
        return zeros(count);
    }
    let mut values = room(count)?;
    if width == 8 {
        values.extend(bytes.iter().map(|&b| u16::from(b)));
        return Ok(values);
    }
    let mask = (1u64 << width) - 1;
    let mut bits = Bits::new(bytes);
    let per_fill = u64::from(56 / width);
    let mut left = count;
    while left > 0 {
        bits.refill();
        for _ in 0..left.min(per_fill) {
            values.push((bits.peek() & mask) as u16);
            bits.drop(width);
        }
        left -= left.min(per_fill);
    }
    if bits.at_end() {
        Ok(values)
    } else {
        bad_stream("the padding of packed integers is not zero")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_integers_have_two_parts() {
        // Width 4, Huffman; low parts 2 and 1; high parts 0 and 1 by codes of one bit.
        let stream = [0x04, 0x12, 0x02, 0x11, 0b10];
        assert_eq!(split(&stream, 2), Ok(vec![0x02, 0x11]));
        assert!(split(&[0x14, 0x12, 0x02, 0x11, 0b10], 2).is_err());
        assert!(split(&[0x00, 0x02, 0x11, 0b10], 2).is_err());
        // The only high part is 1, the width 15: 2^15 + 1; a high part of 2 is too much.
        assert_eq!(split(&[0x0F, 1, 0, 2, 0x10], 1), Ok(vec![0x8001]));
        assert!(split(&[0x0F, 1, 0, 3, 0x00, 0x01], 1).is_err());
        assert_eq!(split(&[0x81, 0, 9, 0xC0], 3), Ok(vec![16; 3]));
        assert_eq!(split(&[0x01, 0], 0), Ok(vec![]));
    }

    #[test]
    fn planes_are_bytes_of_words() {
        // Rotated left by one, 1.0 (0x3F800000) is 0x7F000000, and -1.0 0x7F000001.
        let stream = [0, 1, 0b10, 0, 0, 7, 0xFF, 0x3F];
        let expected = vec![0x3F80_0000, 0xBF80_0000];
        assert_eq!(planes(&stream, 2, 4), Ok(expected));
        assert!(planes(&[0, 1, 0b110, 0, 0, 7, 0xFF, 0x3F], 2, 4).is_err());
        assert!(planes(&[&stream[..], &[0]].concat(), 2, 4).is_err());
        assert!(planes(&[2, 1, 0b10, 0, 0, 7, 0xFF, 0x3F], 2, 4).is_err());
        assert!(planes(&[0, 9, 0b10, 0, 0, 7, 0xFF, 0x3F], 2, 4).is_err());
    }

    #[test]
    fn planes_of_differences() {
        // Words of 16 bits, keys 0x7FFF (x = 0x8000), 0x8000 (0x0000) and 0x8001 (0x0001).
        let stream = [1, 8, 0xFF, 1, 1, 8, 0x7F, 0, 0];
        assert_eq!(planes(&stream, 3, 2), Ok(vec![0x8000, 0, 1]));
        // A plane by Huffman and one by rANS, of one symbol each: keys 0x0302, 0x0604.
        let stream = [1, 0x10, 3, 3, 0x00, 0x01, 0x20, 2, 4, 0xC0];
        assert_eq!(planes(&stream, 2, 2), Ok(vec![0xFCFD, 0xF9FB]));
    }

    #[test]
    fn packed_integers_are_lowest_first() {
        assert_eq!(unpack(&[0b1101_0001, 0b0], 3, 3), Ok(vec![1, 2, 3]));
        assert!(unpack(&[0b1101_0001, 0b10], 3, 3).is_err());
        assert_eq!(unpack(&[], 4, 0), Ok(vec![0; 4]));
        assert_eq!(unpack(&[7, 9], 2, 8), Ok(vec![7, 9]));
        assert_eq!(
            unpack(&[0x34, 0x12, 0xFF, 0xFF], 2, 16),
            Ok(vec![0x1234, 0xFFFF])
        );
        assert_eq!(unpack(&[0xFF; 11], 8, 11), Ok(vec![2047; 8]));
        assert_eq!(unpack(&[], 0, 5), Ok(vec![]));
    }
}
