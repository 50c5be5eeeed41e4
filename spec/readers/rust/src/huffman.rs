//! Section 7: Huffman streams.

use crate::chunks;
use crate::conventions::{Bits, Cursor};
use crate::error::{bad_stream, ErrorName, Result};

const LONGEST: u32 = 11;
const SIZE: usize = 1 << LONGEST;

/// For the next 11 bits of a stream, the first lowest: symbol << 4 | length.
type Table = [u16; SIZE];

/// Section 7.1: what a stream begins with, or shares with another.
pub(crate) struct Code {
    alphabet: usize,
    shared: bool,
    /// Absent where fewer than two symbols are used.
    table: Option<Table>,
}

impl Code {
    /// Read the table of a stream of integers of 8 or 16 bits.
    pub fn read(stream: &mut Cursor, bits: u32) -> Result<Code> {
        let lengths = read_lengths(stream, bits)?;
        let table = match lengths.iter().filter(|&&length| length > 0).count() {
            0 => None,
            1 if lengths.last() == Some(&1) => None,
            1 => return bad_stream("the only symbol has not the length 1"),
            _ => Some(build(&lengths)?),
        };
        Ok(Code {
            alphabet: lengths.len(),
            shared: false,
            table,
        })
    }

    /// The table for a stream that has none, but uses this one.
    pub fn share(self) -> Code {
        Code {
            shared: true,
            ..self
        }
    }

    /// Decode `count` integers of 8 or 16 bits from what follows the table.
    pub fn decode(&self, mut stream: Cursor, count: u64, bits: u32) -> Result<Vec<u16>> {
        let mut out = chunks::begin(self.alphabet, count, bits, self.shared)?;
        let table = match &self.table {
            Some(table) if count > 0 => table,
            _ => return chunks::constant(&stream, self.alphabet, out),
        };
        let mut log = 12;
        if out.len() > chunks::SMALL {
            log = u32::from(stream.u8()?);
            if !(12..=20).contains(&log) {
                return bad_stream(format!("chunks of 2^{log} integers do not exist"));
            }
        }
        chunks::each(stream, log, &mut out, |bytes, part| {
            chunk(table, bytes, part)
        })?;
        Ok(out)
    }
}

/// Section 7.1: the code lengths of the symbols below A.
fn read_lengths(stream: &mut Cursor, bits: u32) -> Result<Vec<u8>> {
    let alphabet = chunks::read_alphabet(stream, bits)?;
    let mut lengths: Vec<u8> = Vec::with_capacity(alphabet);
    let mut half: Option<u8> = None;
    let mut nibble = || -> Result<usize> {
        Ok(usize::from(match half.take() {
            Some(high) => high,
            None => {
                let byte = stream.u8()?;
                half = Some(byte >> 4);
                byte & 15
            }
        }))
    };
    while lengths.len() < alphabet {
        let kind = nibble()?;
        if kind <= 11 {
            lengths.push(kind as u8);
            continue;
        }
        let times = match kind {
            12 | 13 => 3 + nibble()?,
            _ => 19 + nibble()? + 16 * nibble()?,
        };
        let value = if kind == 13 || kind == 15 {
            0
        } else {
            match lengths.last() {
                Some(&length) => length,
                None => return bad_stream("a table begins with a repetition"),
            }
        };
        if times > alphabet - lengths.len() {
            return bad_stream("a repetition goes beyond the table");
        }
        lengths.resize(lengths.len() + times, value);
    }
    if half.unwrap_or(0) != 0 {
        return bad_stream("the unused nibble of a table is not zero");
    }
    if lengths.last() == Some(&0) {
        return bad_stream("the last symbol of a table is not used");
    }
    Ok(lengths)
}

/// Section 7.2: assign the codes and lay them out for decoding.
fn build(lengths: &[u8]) -> Result<Table> {
    let mut counts = [0usize; LONGEST as usize + 1];
    for &length in lengths {
        counts[usize::from(length)] += 1;
    }
    let total: usize = (1..=LONGEST as usize)
        .map(|l| counts[l] << (LONGEST as usize - l))
        .sum();
    if total != SIZE {
        return bad_stream("a code is not complete");
    }
    let mut table = [0u16; SIZE];
    let mut code = 0usize;
    for length in 1..=LONGEST {
        code <<= 1;
        for (symbol, _) in lengths
            .iter()
            .enumerate()
            .filter(|(_, &l)| u32::from(l) == length)
        {
            let reversed = (code as u32).reverse_bits() >> (32 - length);
            let entry = (symbol as u16) << 4 | length as u16;
            for place in (reversed as usize..SIZE).step_by(1 << length) {
                table[place] = entry;
            }
            code += 1;
        }
    }
    Ok(table)
}

/// Section 7.3: one sub-stream, or four.
fn chunk(table: &Table, bytes: &[u8], out: &mut [u16]) -> Result<()> {
    if out.len() <= chunks::SMALL {
        return finish(table, &mut Bits::new(bytes), out);
    }
    let mut cursor = Cursor::new(bytes, ErrorName::BadStream);
    let mut sizes = [0usize; 3];
    for size in &mut sizes {
        *size = cursor.varint32()? as usize;
    }
    let mut streams = [Bits::new(&[]); 4];
    for (stream, &size) in streams.iter_mut().zip(&sizes) {
        *stream = Bits::new(cursor.take(size)?);
    }
    streams[3] = Bits::new(cursor.rest());

    let quarter = (out.len() + 3) / 4;
    let mut parts: Vec<&mut [u16]> = out.chunks_mut(quarter).collect();
    let done = side_by_side(table, &mut streams, &mut parts);
    for (stream, part) in streams.iter_mut().zip(parts) {
        finish(table, stream, &mut part[done..])?;
    }
    Ok(())
}

/// Decode from four streams in turn for as long as each has eight bytes; return how many from each.
fn side_by_side(table: &Table, streams: &mut [Bits; 4], parts: &mut [&mut [u16]]) -> usize {
    const STEP: usize = 5; // symbols of at most 11 bits that 56 bits hold
    let [mut s0, mut s1, mut s2, mut s3] = *streams;
    let mut done = 0;
    if let [p0, p1, p2, p3] = parts {
        let steps = p0
            .chunks_exact_mut(STEP)
            .zip(p1.chunks_exact_mut(STEP))
            .zip(p2.chunks_exact_mut(STEP).zip(p3.chunks_exact_mut(STEP)));
        for ((o0, o1), (o2, o3)) in steps {
            if !(s0.refill_fast() && s1.refill_fast() && s2.refill_fast() && s3.refill_fast()) {
                break;
            }
            for (((a, b), c), d) in o0.iter_mut().zip(o1).zip(o2).zip(o3) {
                *a = next(table, &mut s0);
                *b = next(table, &mut s1);
                *c = next(table, &mut s2);
                *d = next(table, &mut s3);
            }
            done += STEP;
        }
    }
    *streams = [s0, s1, s2, s3];
    done
}

#[inline(always)]
fn next(table: &Table, bits: &mut Bits) -> u16 {
    let entry = table[bits.peek() as usize & (SIZE - 1)];
    bits.drop_fast(u32::from(entry & 15));
    entry >> 4
}

/// Decode what is left of a sub-stream, to its very end.
fn finish(table: &Table, bits: &mut Bits, out: &mut [u16]) -> Result<()> {
    for symbol in out {
        bits.refill();
        let entry = table[bits.peek() as usize & (SIZE - 1)];
        bits.drop(u32::from(entry & 15));
        *symbol = entry >> 4;
    }
    if bits.at_end() {
        Ok(())
    } else {
        bad_stream("a sub-stream does not end with its last symbol")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], count: u64, bits: u32) -> Result<Vec<u16>> {
        let mut stream = Cursor::new(bytes, ErrorName::BadStream);
        Code::read(&mut stream, bits)?.decode(stream, count, bits)
    }

    #[test]
    fn the_example_of_section_7() {
        let stream = [0x06, 0x32, 0x01, 0x30, 0x32, 0x3A];
        assert_eq!(decode(&stream, 8, 8), Ok(vec![2, 0, 2, 1, 2, 2, 0, 5]));
        // The two bits of padding could be two symbols more; only a third cannot be there.
        for count in [0, 1, 7, 11, 100] {
            assert!(decode(&stream, count, 8).is_err(), "{count}");
        }
        for end in 0..stream.len() {
            assert!(decode(&stream[..end], 8, 8).is_err());
        }
        assert!(decode(&[0x06, 0x32, 0x01, 0x30, 0x32, 0x7A], 8, 8).is_err());
        assert!(decode(&[0x06, 0x32, 0x01, 0x30, 0x32, 0x3A, 0x00], 8, 8).is_err());
    }

    #[test]
    fn no_symbol_and_one_symbol() {
        assert_eq!(decode(&[0], 0, 8), Ok(vec![]));
        assert!(decode(&[0], 1, 8).is_err());
        assert_eq!(decode(&[3, 0x00, 0x01], 5000, 8), Ok(vec![2; 5000]));
        assert!(decode(&[3, 0x00, 0x02], 5, 8).is_err());
        assert!(decode(&[3, 0x00, 0x11], 5, 8).is_err());
        assert!(decode(&[3, 0x00, 0x01, 0x00], 5, 8).is_err());
    }

    #[test]
    fn runs_repeat_lengths() {
        // 256 symbols of length 8: one stated, 19 + 11 + 16 * 14 = 254 more, and one more.
        let table = [0x80, 0x02, 0xE8, 0xEB, 0x08];
        let stream = [&table[..], &[0x80, 0x40, 0xFF]].concat();
        assert_eq!(decode(&stream, 3, 8), Ok(vec![1, 2, 255]));
        assert!(decode(&[0x81, 0x02, 0xE8, 0xEB, 0x08, 0], 1, 8).is_err());
    }

    #[test]
    fn codes_must_be_complete() {
        assert!(decode(&[2, 0x21, 0], 1, 8).is_err());
        assert!(decode(&[3, 0x11, 0x01, 0], 1, 8).is_err());
    }
}
