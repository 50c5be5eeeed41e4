//! Section 6: streams of words and of integers.

use crate::conventions::{room, zeros, Bits};
use crate::error::{bad_stream, Result};
use crate::{huffman, rans};

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coder {
    /// The width of an integer.
    Packed(u32),
    Huffman,
    Rans,
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
            Coder::Huffman => huffman::decode(bytes, self.count, self.bits),
            Coder::Rans => rans::decode(bytes, self.count, self.bits),
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
