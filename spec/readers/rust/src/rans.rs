//! Section 8: rANS streams.

use crate::chunks;
use crate::conventions::{le16, le32, Bits, Cursor};
use crate::error::{bad_stream, ErrorName, Result};

const TOTAL: u64 = 4096;
const LANES: usize = 32;
const LOW: u32 = 1 << 16;

/// E of section 8.1: 2^(16 - i/16), rounded.
const POWERS: [u64; 16] = [
    65536, 62757, 60097, 57549, 55109, 52773, 50535, 48393, 46341, 44376, 42495, 40693, 38968,
    37316, 35734, 34219,
];

/// What a slot stands for: a symbol, its frequency, and the slot's place in its range.
#[derive(Clone, Copy, Default)]
struct Slot {
    symbol: u16,
    frequency: u16,
    place: u16,
}

type Table = [Slot; TOTAL as usize];

/// Section 8.1: what a stream begins with, or shares with another.
pub(crate) struct Code {
    alphabet: usize,
    shared: bool,
    /// Absent where at most one symbol is used.
    table: Option<Box<Table>>,
}

impl Code {
    /// Read the table of a stream of integers of 8 or 16 bits.
    pub fn read(stream: &mut Cursor, bits: u32) -> Result<Code> {
        let alphabet = chunks::read_alphabet(stream, bits)?;
        let table = match alphabet {
            0 => None,
            _ => match read_weights(stream, alphabet)? {
                Some(weights) => Some(build(&weights)?),
                None => None,
            },
        };
        Ok(Code {
            alphabet,
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
        let (mut log, mut wide) = (12, false);
        if out.len() > chunks::SMALL {
            let byte = stream.u8()?;
            log = u32::from(byte & 31);
            wide = byte & 0x80 != 0;
            if !(12..=20).contains(&log) || byte & 0x60 != 0 {
                return bad_stream(format!("chunks of the kind {byte} do not exist"));
            }
        }
        chunks::each(stream, log, &mut out, |bytes, part| {
            if wide && part.len() > chunks::SMALL {
                wide_chunk(table, bytes, part)
            } else {
                narrow_chunk(table, bytes, part)
            }
        })?;
        Ok(out)
    }
}

/// Section 8.1: the weight of each symbol, `None` for one that is not used; nothing for a table of
/// a single symbol.
fn read_weights(stream: &mut Cursor, alphabet: usize) -> Result<Option<Vec<Option<u64>>>> {
    let head = stream.u8()?;
    let weights = match head {
        0x00..=0x7F => listed(stream, alphabet, head)?,
        0x80 => parametric(stream, alphabet)?,
        0xC0 => return Ok(None),
        _ => return bad_stream(format!("a table of the kind {head} does not exist")),
    };
    if weights.iter().flatten().count() < 2 {
        return bad_stream("a table has fewer than two symbols");
    }
    Ok(Some(weights))
}

fn listed(stream: &mut Cursor, alphabet: usize, head: u8) -> Result<Vec<Option<u64>>> {
    let p = u32::from(head & 7);
    let r = u32::from(head >> 3 & 7);
    let has_gaps = head & 0x40 != 0;
    let all = stream.rest();
    let mut bits = Bits::new(all);
    let mut weights = vec![None; alphabet];
    let mut previous: Option<u64> = None;
    let mut s = 0;
    while s < alphabet {
        if has_gaps {
            let k = match bits.unary(11) {
                Some(k) => k as u32,
                None => return bad_stream("a gap of a table is too long"),
            };
            s += (1usize << k) - 1 + bits.read(k) as usize;
            if s >= alphabet {
                return bad_stream("a gap goes beyond its table");
            }
        }
        let v = match previous {
            None => bits.read(p + 4),
            Some(previous) => {
                let q = match bits.unary(1 << (p + 5)) {
                    Some(q) => q,
                    None => return bad_stream("a step of a table is too long"),
                };
                let m = (q << r) + bits.read(r);
                let half = (m + 1) / 2;
                // A value below zero wraps around to one that is too large.
                if m % 2 == 0 {
                    previous + half
                } else {
                    previous.wrapping_sub(half)
                }
            }
        };
        if v >= 1 << (p + 4) {
            return bad_stream("a weight of a table is out of range");
        }
        let exponent = v >> p;
        let mantissa = v & ((1 << p) - 1);
        weights[s] = Some(match exponent {
            0 => v,
            _ => ((1 << p) + mantissa) << (exponent - 1),
        });
        if bits.overrun() {
            return bad_stream("a table ends too early");
        }
        previous = Some(v);
        s += 1;
    }
    if !bits.padded() {
        return bad_stream("the padding of a table is not zero");
    }
    *stream = Cursor::new(&all[bits.used()..], ErrorName::BadStream);
    Ok(weights)
}

fn parametric(stream: &mut Cursor, alphabet: usize) -> Result<Vec<Option<u64>>> {
    let center = stream.varint32()?;
    let (a, b) = (stream.u8()?, stream.u8()?);
    if alphabet < 2 || center > 4 * alphabet as u64 {
        return bad_stream("a parametric table is out of range");
    }
    let mut slope = i64::from(a & 15) << (a >> 4 & 7);
    if a & 128 != 0 {
        slope = -slope;
    }
    let bend = i64::from(b & 15) << (b >> 4);
    let losses: Vec<i64> = (0..alphabet as i64)
        .map(|s| {
            let d = (4 * s - center as i64).abs();
            (slope * 512 * d + bend * d * d) >> 16
        })
        .collect();
    let least = losses.iter().copied().min().unwrap_or(0);
    let weight = |loss: &i64| {
        let k = (loss - least) as u64;
        if k / 16 > 16 {
            Some(0)
        } else {
            Some(POWERS[k as usize % 16] >> (k / 16))
        }
    };
    Ok(losses.iter().map(weight).collect())
}

/// From weights to frequencies, and from these to slots.
fn build(weights: &[Option<u64>]) -> Result<Box<Table>> {
    let used = weights.iter().flatten().count() as u64;
    let sum: u64 = weights.iter().flatten().sum();
    if sum == 0 {
        return bad_stream("all weights of a table are zero");
    }
    let share = TOTAL - used;
    let mut table = Box::new([Slot::default(); TOTAL as usize]);
    let (mut before, mut first) = (0u64, 0usize);
    for (symbol, weight) in weights.iter().enumerate() {
        if let Some(weight) = weight {
            let frequency = 1 + ((before + weight) * share / sum - before * share / sum) as usize;
            for (place, slot) in table[first..first + frequency].iter_mut().enumerate() {
                *slot = Slot {
                    symbol: symbol as u16,
                    frequency: frequency as u16,
                    place: place as u16,
                };
            }
            before += weight;
            first += frequency;
        }
    }
    Ok(table)
}

/// One step of a state: the symbol, and the state before it takes up a word.
#[inline(always)]
fn step(table: &Table, state: &mut u32) -> u16 {
    let slot = table[(*state & 4095) as usize];
    *state = u32::from(slot.frequency)
        .wrapping_mul(*state >> 12)
        .wrapping_add(u32::from(slot.place));
    slot.symbol
}

/// Section 8.2: one lane.
fn narrow_chunk(table: &Table, bytes: &[u8], out: &mut [u16]) -> Result<()> {
    let (start, words) = bytes.split_at(bytes.len().min(4));
    let mut state = start
        .iter()
        .rev()
        .fold(0u32, |x, &byte| x << 8 | u32::from(byte));
    let well_begun = if words.is_empty() {
        !matches!(start.last(), None | Some(0))
    } else {
        state >= LOW && words.len() % 2 == 0
    };
    if !well_begun {
        return bad_stream("a rANS chunk begins or ends with bytes that nothing needs");
    }
    let mut words = words.chunks_exact(2);
    for symbol in out {
        *symbol = step(table, &mut state);
        if state < LOW {
            if let Some(word) = words.next() {
                state = state << 16 | u32::from(le16(word));
            }
        }
    }
    if state == 1 && words.next().is_none() {
        Ok(())
    } else {
        bad_stream("a rANS chunk does not end where it must")
    }
}

/// Section 8.2: 32 lanes.
fn wide_chunk(table: &Table, bytes: &[u8], out: &mut [u16]) -> Result<()> {
    if bytes.len() < 4 * LANES || bytes.len() % 2 != 0 {
        return bad_stream("a wide rANS chunk has an impossible size");
    }
    let (start, words) = bytes.split_at(4 * LANES);
    let mut states = [0u32; LANES];
    for (state, four) in states.iter_mut().zip(start.chunks_exact(4)) {
        *state = le32(four);
        if *state < LOW {
            return bad_stream("a state of a wide rANS chunk is too small");
        }
    }
    let mut words = words.chunks_exact(2);
    for row in out.chunks_mut(LANES) {
        for (symbol, state) in row.iter_mut().zip(&mut states) {
            *symbol = step(table, state);
            if *state < LOW {
                match words.next() {
                    Some(word) => *state = *state << 16 | u32::from(le16(word)),
                    None => return bad_stream("a wide rANS chunk ends too early"),
                }
            }
        }
    }
    if states == [LOW; LANES] && words.next().is_none() {
        Ok(())
    } else {
        bad_stream("a wide rANS chunk does not end where it must")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], count: u64, bits: u32) -> Result<Vec<u16>> {
        let mut stream = Cursor::new(bytes, ErrorName::BadStream);
        Code::read(&mut stream, bits)?.decode(stream, count, bits)
    }

    /// The encoder of section 8.2, for one lane (from 1) or many (from 2^16).
    fn encode(table: &Table, symbols: &[u16], lanes: usize) -> Vec<u8> {
        let range = |symbol: u16| {
            let first = table.iter().position(|slot| slot.symbol == symbol).unwrap() as u32;
            (u32::from(table[first as usize].frequency), first)
        };
        let mut states = vec![if lanes == 1 { 1 } else { LOW }; lanes];
        let mut words: Vec<u16> = Vec::new();
        for (i, &symbol) in symbols.iter().enumerate().rev() {
            let (f, first) = range(symbol);
            let x = &mut states[i % lanes];
            if u64::from(*x) >= u64::from(f) << 20 {
                words.push(*x as u16);
                *x >>= 16;
            }
            *x = *x / f * 4096 + *x % f + first;
        }
        let mut out: Vec<u8> = states.iter().flat_map(|x| x.to_le_bytes()).collect();
        out.extend(words.iter().rev().flat_map(|w| w.to_le_bytes()));
        if out.len() == 4 {
            while out.last() == Some(&0) {
                out.pop();
            }
        }
        out
    }

    fn symbols(count: usize, alphabet: u32) -> Vec<u16> {
        let mut x = 12345u32;
        (0..count)
            .map(|_| {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (a, b) = (x >> 16 & 255, x >> 24);
                ((a * b * alphabet) >> 16) as u16
            })
            .collect()
    }

    fn frequencies(table: &[u8]) -> Vec<usize> {
        let code = Code::read(&mut Cursor::new(table, ErrorName::BadStream), 8).unwrap();
        let slots = code.table.unwrap();
        let count = |s: usize| slots.iter().filter(|slot| slot.symbol == s as u16).count();
        (0..code.alphabet).map(count).collect()
    }

    #[test]
    fn the_examples_of_section_8() {
        assert_eq!(frequencies(&[0x04, 0x02, 0xC3, 0x05]), [3070, 1024, 1, 1]);
        let stream = [0x04, 0x02, 0xC3, 0x05, 0x03, 0x14];
        assert_eq!(decode(&stream, 4, 8), Ok(vec![0, 0, 1, 0]));
        assert_eq!(frequencies(&[0x04, 0x00, 0x0B]), [1024; 4]);
        let stream = [
            0x04, 0x00, 0x0B, 0xE4, 0x90, 0x93, 0x03, 0xE4, 0xE4, 0x01, 0xE4,
        ];
        assert_eq!(decode(&stream, 24, 8), Ok([0, 1, 2, 3].repeat(6)));
        assert_eq!(
            frequencies(&[0x06, 0x5A, 0xCA, 0x72, 0x3A]),
            [1365, 0, 0, 2184, 0, 547]
        );
        assert_eq!(
            frequencies(&[0x09, 0x80, 0x10, 0x1B, 0xBA]),
            [32, 144, 441, 883, 1095, 883, 441, 144, 33]
        );
        assert_eq!(
            frequencies(&[0x05, 0x80, 0x08, 0x00, 0xC4]),
            [556, 935, 1113, 935, 557]
        );
    }

    #[test]
    fn one_lane_comes_back() {
        // Parametric: 17 symbols about symbol 0, a bend and no slope.
        let table = [17, 0x80, 0, 0x05, 0x62];
        let weights = read_weights(&mut Cursor::new(&table[1..], ErrorName::BadStream), 17)
            .unwrap()
            .unwrap();
        let slots = build(&weights).unwrap();
        for count in [1, 2, 3, 5, 8, 100, 4096] {
            let expected = symbols(count, 17);
            let payload = encode(&slots, &expected, 1);
            let stream = [&table[..], &payload].concat();
            assert_eq!(decode(&stream, count as u64, 8), Ok(expected), "{count}");
            assert!(decode(&stream[..stream.len() - 1], count as u64, 8).is_err());
            assert!(decode(&[&stream[..], &[0]].concat(), count as u64, 8).is_err());
            assert!(decode(&[&stream[..], &[0, 0]].concat(), count as u64, 8).is_err());
        }
    }

    #[test]
    fn wide_chunks_come_back() {
        let table = [17, 0x80, 0, 0x05, 0x62];
        let weights = read_weights(&mut Cursor::new(&table[1..], ErrorName::BadStream), 17)
            .unwrap()
            .unwrap();
        let slots = build(&weights).unwrap();
        let expected = symbols(5000, 17);
        let payload = encode(&slots, &expected, LANES);
        let stream = [&table[..], &[0x80 | 13], &payload].concat();
        assert_eq!(decode(&stream, 5000, 8), Ok(expected.clone()));
        assert!(decode(&stream[..stream.len() - 2], 5000, 8).is_err());

        // Two chunks: 4096 integers are one lane, however wide the stream.
        let (a, b) = expected.split_at(4096);
        let (a, b) = (encode(&slots, a, 1), encode(&slots, b, 1));
        let mut stream = [&table[..], &[0x80 | 12]].concat();
        for part in [&a, &b] {
            stream.extend((part.len() as u32).to_le_bytes());
            stream.extend(crate::conventions::crc32(part).to_le_bytes());
        }
        stream.extend(a);
        stream.extend(b);
        assert_eq!(decode(&stream, 5000, 8), Ok(expected));
        let last = stream.len() - 1;
        stream[last] ^= 1;
        let error = decode(&stream, 5000, 8).unwrap_err();
        assert_eq!(error.name, ErrorName::Checksum);
    }

    #[test]
    fn a_listed_table_with_gaps() {
        // p = 0, r = 0, gaps. Symbol 1: gap k = 1, bit 0; v = 3 of four bits. Symbol 2: gap 0; q = 1
        // is m = 1, v = 2.  Bits: 1 0 0 | 1 1 0 0 | 0 | 1 0 and six of padding.
        let bits = [0b0001_1001u8, 0b01];
        let table = [&[3, 0x40], &bits[..]].concat();
        let weights = read_weights(&mut Cursor::new(&table[1..], ErrorName::BadStream), 3);
        // v = 3: (1 + 0) << 2 = 4; v = 2: 2.
        assert_eq!(weights, Ok(Some(vec![None, Some(4), Some(2)])));
        let slots = build(&[None, Some(4), Some(2)]).unwrap();
        assert_eq!(slots[0].frequency, 1 + 4094 * 4 / 6);
        assert_eq!(slots[4095].symbol, 2);
        let expected = vec![1, 2, 1, 1, 2];
        let stream = [&table[..], &encode(&slots, &expected, 1)].concat();
        assert_eq!(decode(&stream, 5, 16), Ok(expected));
    }

    #[test]
    fn single_and_none() {
        assert_eq!(decode(&[0], 0, 8), Ok(vec![]));
        assert!(decode(&[0, 0], 0, 8).is_err());
        assert!(decode(&[0], 1, 8).is_err());
        assert_eq!(decode(&[9, 0xC0], 10_000, 8), Ok(vec![8; 10_000]));
        assert!(decode(&[9, 0xC0], 0, 8).is_err());
        assert!(decode(&[9, 0xC0, 0], 1, 8).is_err());
        assert!(decode(&[9, 0xC1], 1, 8).is_err());
        assert!(decode(&[9, 0x81], 1, 8).is_err());
    }
}
