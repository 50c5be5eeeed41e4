//! Section 10: context streams.

use crate::conventions::{room, to_usize, zeros, Cursor};
use crate::error::{bad_stream, limit_memory, ErrorName, Result};
use crate::forms::trellis;
use crate::range::{lg, squash, RangeDecoder};

/// Counters mixed for one decision.
const INPUTS: usize = 6;
/// Decisions of an integer: seven of each quantizer.
const STEPS: usize = 14;
/// From this magnitude on an Exp-Golomb code follows.
const MAGNITUDES: usize = 7;
/// The set of weights of the signs.
const SIGN: usize = 14;
const LONGEST: usize = 15;
const MOST_WEIGHT: i32 = 131_071;

#[derive(Clone, Copy, Default)]
struct Counter {
    /// Probability of a 1, in 1/65536.
    p: i32,
    n: u8,
}

impl Counter {
    fn of(p: i32) -> Counter {
        Counter { p, n: 0 }
    }
}

/// Where the groups of counters begin in the one list of them, each of a step's or a sign's.
const M0: usize = 0;
const M1: usize = M0 + STEPS;
const M2: usize = M1 + 32 * STEPS;
const M3: usize = M2 + 64 * STEPS;
const M4: usize = M3 + 64 * STEPS;
const M5: usize = M4 + 96 * STEPS;
const S0: usize = M5 + 256 * STEPS;
const S1: usize = S0 + 1;
const S2: usize = S1 + 9;
const S3: usize = S2 + 9;
const S4: usize = S3 + 81;
const S5: usize = S4 + 81;
const LENGTHS: usize = S5 + 81;
const DIGITS: usize = LENGTHS + LONGEST;
const COUNTERS: usize = DIGITS + LONGEST;

/// Section 10.1.
struct Mixer<'a> {
    coder: RangeDecoder<'a>,
    rates: Vec<i32>,
    stretched: Vec<i32>,
    weights: [[i32; INPUTS]; SIGN + 1],
    counters: Vec<Counter>,
}

impl<'a> Mixer<'a> {
    fn new(code: &'a [u8]) -> Result<Self> {
        let mut counters = vec![Counter::default(); COUNTERS];
        for d in 0..STEPS {
            counters[M0 + d] = Counter::of(if d % 7 == 0 { 32768 } else { 20000 });
        }
        counters[S0] = Counter::of(32768);
        counters[LENGTHS..].fill(Counter::of(32768));
        Ok(Mixer {
            coder: RangeDecoder::new(code)?,
            rates: (0..256).map(|n| 32768 / (2 * n + 3)).collect(),
            stretched: (0..4096u64)
                .map(|i| ((lg(2 * i + 1) - lg(8191 - 2 * i)) >> 1) as i32)
                .collect(),
            weights: [[13000; INPUTS]; SIGN + 1],
            counters,
        })
    }

    fn learn(&mut self, counter: usize, bit: bool) {
        let k = &mut self.counters[counter];
        let rate = self.rates[usize::from(k.n)];
        k.p += ((65535 * i32::from(bit) - k.p) * rate) >> 14;
        k.n = k.n.saturating_add(1);
    }

    fn mixed(&mut self, set: usize, k: &[usize; INPUTS]) -> Result<bool> {
        let first = self.counters[k[0]].p;
        for &i in &k[1..] {
            if self.counters[i].n == 0 {
                self.counters[i] = Counter { p: first, n: 1 };
            }
        }
        let mut x = [0i32; INPUTS];
        let mut sum = 0i32;
        for i in 0..INPUTS {
            x[i] = self.stretched[(self.counters[k[i]].p >> 4) as usize];
            sum += self.weights[set][i] * x[i];
        }
        let q = squash(i64::from(sum >> 15));
        let bit = self.coder.bit(q)?;
        let error = (i32::from(bit) << 16) - q as i32;
        for i in 0..INPUTS {
            let w = &mut self.weights[set][i];
            *w = (*w + ((x[i] * error + 8192) >> 14)).clamp(-MOST_WEIGHT, MOST_WEIGHT);
            self.learn(k[i], bit);
        }
        Ok(bit)
    }

    fn plain(&mut self, counter: usize) -> Result<bool> {
        let q = self.counters[counter].p.clamp(32, 65504);
        let bit = self.coder.bit(i64::from(q))?;
        self.learn(counter, bit);
        Ok(bit)
    }

    /// The Exp-Golomb code of a number from 1 up.
    fn rest(&mut self) -> Result<i32> {
        let mut e = 0;
        while e < LONGEST && self.plain(LENGTHS + e)? {
            e += 1;
        }
        let mut t = 1;
        for i in (0..e).rev() {
            t = 2 * t + i32::from(self.plain(DIGITS + i)?);
        }
        Ok(t)
    }
}

/// B of section 10.2, of a number that is not negative.
fn bucket(v: i32) -> usize {
    if v < 4 {
        return v as usize;
    }
    let e = 31 - v.leading_zeros();
    (2 * e) as usize + (v >> (e - 1) & 1) as usize
}

/// T of section 10.2.
fn third(x: i32) -> usize {
    match x.signum() {
        1 => 2,
        -1 => 1,
        _ => 0,
    }
}

/// The place of a number held within -most .. most, from `middle`.
fn clipped(middle: i32, x: i32, most: i32) -> i32 {
    middle + x.clamp(-most, most)
}

/// What the head of a stream says.
struct Head {
    of_trellis: bool,
    rows: usize,
    columns: usize,
    zero: i32,
    /// V and P.
    kernel: usize,
    period: usize,
}

impl Head {
    fn read(cursor: &mut Cursor, count: u64, bits: u32) -> Result<Head> {
        let flags = cursor.u8()?;
        if flags > 3 {
            return bad_stream(format!("a context stream has the flags {flags}"));
        }
        let rows = cursor.varint32()?;
        if rows == 0 || count % rows != 0 || count / rows > u64::from(u32::MAX) {
            return bad_stream(format!("a context stream has {rows} rows"));
        }
        let columns = count / rows;
        let zero = cursor.varint32()?;
        if zero >> bits != 0 {
            return bad_stream(format!("{zero} stands for zero in a context stream"));
        }
        let (kernel, period) = match flags & 2 {
            0 => (0, 0),
            _ => (cursor.varint32()?, cursor.varint32()?),
        };
        if kernel.max(period) > columns || (flags & 2 != 0 && kernel.max(period) == 0) {
            return bad_stream(format!(
                "a context stream has the distances {kernel} and {period}"
            ));
        }
        Ok(Head {
            of_trellis: flags & 1 != 0,
            rows: to_usize(rows)?,
            columns: to_usize(columns)?,
            zero: zero as i32,
            kernel: to_usize(kernel)?,
            period: to_usize(period)?,
        })
    }
}

/// Decode `count` integers of 8 or 16 bits. The rows' memory is at most `most` bytes.
pub(crate) fn decode(stream: &[u8], count: u64, bits: u32, most: u64) -> Result<Vec<u16>> {
    if count == 0 {
        return match stream {
            [] => Ok(Vec::new()),
            _ => bad_stream("a context stream of no integers is not empty"),
        };
    }
    let mut cursor = Cursor::new(stream, ErrorName::BadStream);
    let head = Head::read(&mut cursor, count, bits)?;
    let columns = head.columns as u64;
    if columns.saturating_mul(16) > most {
        return limit_memory(format!("a context stream has {columns} columns"));
    }
    let mut mixer = Mixer::new(cursor.rest())?;
    let mut means: Vec<i32> = zeros(columns)?;
    let mut row: Vec<i32> = zeros(columns)?;
    let mut above: Vec<i32> = zeros(columns)?;
    let mut above2: Vec<i32> = zeros(columns)?;
    let mut out = room(count)?;
    for r in 0..head.rows {
        let (mut mean, mut state) = (0i32, 0u8);
        for j in 0..head.columns {
            let quantizer = usize::from(state & 1);
            let near = Neighbours::of(&head, j, &row, &above, &above2);
            let k = near.integer(&mut mixer, quantizer, means[j], mean)?;
            let integer = head.zero + k;
            if integer < 0 || integer >> bits != 0 {
                return bad_stream("an integer of a context stream is out of range");
            }
            out.push(integer as u16);
            let level = if head.of_trellis {
                trellis::step(&mut state, k)
            } else {
                k
            };
            row[j] = level;
            let y = 256 * level.abs().min(255);
            mean += ((y - mean) * mixer.rates[(j + 1).min(62)]) >> 14;
            means[j] += ((y - means[j]) * mixer.rates[(r + 1).min(30)]) >> 14;
        }
        std::mem::swap(&mut above, &mut above2);
        std::mem::swap(&mut row, &mut above);
    }
    if !mixer.coder.at_end() {
        return bad_stream("bytes follow the end of a context stream");
    }
    Ok(out)
}

/// The levels about an integer, and its column in the period.
struct Neighbours {
    l: i32,
    l2: i32,
    u: i32,
    u2: i32,
    v: i32,
    v2: i32,
    vl: i32,
    vr: i32,
    c: i32,
    phase: usize,
}

impl Neighbours {
    fn of(head: &Head, j: usize, row: &[i32], above: &[i32], above2: &[i32]) -> Neighbours {
        // The level so many columns before; what is not before, or before the row, is 0.
        let back = |distance: Option<usize>| match distance {
            None | Some(0) => 0,
            Some(distance) => j.checked_sub(distance).map_or(0, |i| row[i]),
        };
        let v = Some(head.kernel).filter(|&v| v > 0);
        let cycle = match (head.period, head.kernel) {
            (0, 0) => 1,
            (0, kernel) => kernel,
            (period, _) => period,
        };
        Neighbours {
            l: back(Some(1)),
            l2: back(Some(2)),
            u: above[j],
            u2: above2[j],
            v: back(v),
            v2: back(v.map(|v| v.saturating_mul(2))),
            vl: back(v.map(|v| v.saturating_add(1))),
            vr: back(v.map(|v| v - 1)),
            c: back(Some(head.period)),
            phase: j % cycle % 64,
        }
    }

    /// The next integer, from the one that stands for zero.
    fn integer(&self, mixer: &mut Mixer, quantizer: usize, column: i32, row: i32) -> Result<i32> {
        let d = 7 * quantizer;
        let (l, u, v) = (self.l.abs(), self.u.abs(), self.v.abs());
        let few = |x: i32| x.min(3) as usize;
        let around = bucket(2 * l + 2 * v + u + self.c.abs()).min(31);
        let means = 16 * bucket(column >> 3).min(15) + bucket(row >> 3).min(15);
        let mut k = [
            M0 + d,
            M1 + d + STEPS * bucket(column >> 2),
            M2 + d + STEPS * (few(l) + 4 * few(v) + 16 * few(u)),
            M3 + d + STEPS * around,
            M4 + d + STEPS * self.phase,
            M5 + d + STEPS * means,
        ];
        if !mixer.mixed(d, &k)? {
            return Ok(0);
        }
        let g = if self.is_negative(mixer)? { -1 } else { 1 };
        let sum = 2 * self.l + 2 * self.v + self.u + self.c;
        let sides = clipped(76 + 5 * clipped(0, g * self.l, 2), g * self.v, 2);
        k[3] = M3 + d + STEPS * clipped(47, g * sum, 15) as usize;
        k[4] = M4 + d + STEPS * sides as usize;
        for a in 1..MAGNITUDES {
            k.iter_mut().for_each(|k| *k += 1);
            if !mixer.mixed(d + a, &k)? {
                return Ok(g * a as i32);
            }
        }
        Ok(g * (mixer.rest()? + MAGNITUDES as i32 - 1))
    }

    fn is_negative(&self, mixer: &mut Mixer) -> Result<bool> {
        let (l, u, v, c) = (third(self.l), third(self.u), third(self.v), third(self.c));
        let k = [
            S0,
            S1 + l + 3 * v,
            S2 + u + 3 * c,
            S3 + l + 3 * u + 9 * v + 27 * c,
            S4 + third(self.l2) + 3 * third(self.u2) + 9 * l + 27 * u,
            S5 + v + 3 * third(self.vl) + 9 * third(self.vr) + 27 * third(self.v2),
        ];
        mixer.mixed(SIGN, &k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: [u8; 8] = [0x00, 0x02, 0x02, 0x8D, 0x22, 0xE4, 0x9D, 0x6F];

    fn name_of(stream: &[u8], count: u64, most: u64) -> ErrorName {
        decode(stream, count, 8, most).unwrap_err().name
    }

    #[test]
    fn the_examples_of_section_10() {
        assert_eq!(decode(&EXAMPLE, 6, 8, 48), Ok(vec![2, 1, 2, 2, 3, 12]));
        let trellis = [0x01, 0x01, 0x02, 0x79, 0x04];
        assert_eq!(decode(&trellis, 4, 8, 64), Ok(vec![3, 2, 1, 4]));
    }

    #[test]
    fn no_integers_are_an_empty_stream() {
        assert_eq!(decode(&[], 0, 8, 0), Ok(vec![]));
        assert!(decode(&[0], 0, 8, 0).is_err());
        assert!(decode(&[], 1, 8, 99).is_err());
    }

    #[test]
    fn the_rows_count_for_the_memory() {
        assert_eq!(name_of(&EXAMPLE, 6, 47), ErrorName::LimitMemory);
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        // Within the head, or without code bytes.
        for cut in 0..=3 {
            assert_eq!(name_of(&EXAMPLE[..cut], 6, 48), ErrorName::BadStream);
        }
        let longer = [&EXAMPLE[..], &[0]].concat();
        assert_eq!(name_of(&longer, 6, 48), ErrorName::BadStream);
        // Flags, rows and distances; then an integer below zero; then a code beyond the range.
        for (place, byte) in [(0, 4), (0, 2), (1, 0), (1, 4), (2, 0), (3, 0xFF)] {
            let mut stream = EXAMPLE;
            stream[place] = byte;
            if byte == 0xFF {
                stream[3..7].fill(0xFF);
            }
            assert_eq!(
                name_of(&stream, 6, 96),
                ErrorName::BadStream,
                "{place} {byte}"
            );
        }
    }

    #[test]
    fn buckets_are_half_octaves() {
        let buckets: Vec<usize> = (0..9).chain([12, 16, 24]).map(bucket).collect();
        assert_eq!(buckets, [0, 1, 2, 3, 4, 4, 5, 5, 6, 7, 8, 9]);
    }
}
