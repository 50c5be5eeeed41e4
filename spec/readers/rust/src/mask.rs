//! Section 9: mask streams.

use crate::conventions::{to_usize, zeros, Cursor};
use crate::error::{bad_stream, ErrorName, Result};

const D: u64 = 16384;

/// LG of section 9.2: round(256 log2(1 + f/64)).
const LOGARITHMS: [i64; 64] = [
    0, 6, 11, 17, 22, 28, 33, 38, 44, 49, 54, 59, 63, 68, 73, 78, 82, 87, 92, 96, 100, 105, 109,
    113, 118, 122, 126, 130, 134, 138, 142, 146, 150, 154, 157, 161, 165, 169, 172, 176, 179, 183,
    186, 190, 193, 197, 200, 203, 207, 210, 213, 216, 220, 223, 226, 229, 232, 235, 238, 241, 244,
    247, 250, 253,
];
/// S of section 9.2: round(65536 / (1 + 2^(-i/2))), at most 65535.
const SQUASHED: [i64; 33] = [
    32768, 38390, 43691, 48418, 52429, 55691, 58254, 60214, 61681, 62762, 63550, 64119, 64528,
    64820, 65028, 65176, 65281, 65355, 65408, 65446, 65472, 65491, 65504, 65513, 65520, 65525,
    65528, 65530, 65532, 65533, 65534, 65535, 65535,
];

/// Section 9.1.
struct RangeDecoder<'a> {
    bytes: &'a [u8],
    range: u64,
    code: u64,
    position: usize,
}

impl<'a> RangeDecoder<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let byte = |i: usize| u64::from(bytes.get(i).copied().unwrap_or(0));
        let decoder = RangeDecoder {
            bytes,
            range: (1 << 32) - 1,
            code: (0..4).fold(0, |code, i| code << 8 | byte(i)),
            position: 4,
        };
        if bytes.is_empty() {
            return bad_stream("a mask has no code bytes");
        }
        if decoder.code >= decoder.range {
            return bad_stream("a mask begins with a code beyond the range");
        }
        Ok(decoder)
    }

    #[inline(always)]
    fn bit(&mut self, q: i64) -> Result<bool> {
        let bound = (self.range * q as u64) >> 16;
        let one = self.code < bound;
        if one {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            let byte = self.bytes.get(self.position).copied().unwrap_or(0);
            self.code = self.code << 8 | u64::from(byte);
            self.position += 1;
            if self.position - 3 > self.bytes.len() {
                return bad_stream("a mask ends too early");
            }
        }
        Ok(one)
    }

    fn at_end(&self) -> bool {
        self.position - 3 == self.bytes.len()
    }
}

/// lg: 256 log2 v for v = 1 .. 2^32 - 1.
#[inline(always)]
fn lg(v: u64) -> i64 {
    let e = 63 - v.leading_zeros();
    let f = ((v << 6) >> e) - 64;
    256 * i64::from(e) + LOGARITHMS[f as usize & 63]
}

#[inline(always)]
fn squash(x: i64) -> i64 {
    let a = x.abs().min(4095);
    let (i, f) = ((a >> 7) as usize, a & 127);
    let p = SQUASHED[i] + (((SQUASHED[i + 1] - SQUASHED[i]) * f) >> 7);
    if x >= 0 {
        p
    } else {
        65536 - p
    }
}

/// Decode the mask of `rows` x `columns` elements with `count` ones: a byte, 0 or 1, for each.
pub(crate) fn decode(stream: &[u8], rows: u64, columns: u64, count: u64) -> Result<Vec<u8>> {
    let area = rows.saturating_mul(columns);
    if area >= 1 << 32 {
        return bad_stream("a mask has 2^32 or more elements");
    }
    let mut mask: Vec<u8> = zeros(area)?;
    if count == 0 || count == area {
        if !stream.is_empty() {
            return bad_stream("the mask of all or nothing is not empty");
        }
        mask.fill(u8::from(count > 0));
        return Ok(mask);
    }
    if count > area {
        return bad_stream("a mask has more ones than elements");
    }
    let mut cursor = Cursor::new(stream, ErrorName::BadStream);
    let period = cursor.varint32()?;
    if period > columns {
        return bad_stream(format!(
            "the period {period} of a mask is beyond its columns"
        ));
    }
    let coder = RangeDecoder::new(cursor.rest())?;
    decode_rows(
        coder,
        &mut mask,
        to_usize(columns)?,
        to_usize(period)?,
        count,
    )?;
    Ok(mask)
}

/// Section 9.2.
fn decode_rows(
    mut coder: RangeDecoder,
    mask: &mut [u8],
    columns: usize,
    period: usize,
    count: u64,
) -> Result<()> {
    let p1 = 1 + count * (D - 2) / mask.len() as u64;
    let p0 = D - p1;
    let stretch = |ones: u64, zeros: u64, k: u64| lg(ones * D + k * p1) - lg(zeros * D + k * p0);
    let mut weights: [i64; 4] = [-32768, 40960, 32768, 24576];
    let mut column: Vec<u16> = zeros(columns as u64)?;
    let mut above: Vec<u8> = zeros(columns as u64)?;
    let mut above2: Vec<u8> = zeros(columns as u64)?;
    let mut n = 0u64;
    let (mut one, mut all) = ([0u64; 64], [0u64; 64]);
    let (mut used, mut empty) = (0u64, 0u64);
    let mut left = count;
    let bias = lg(p1) - lg(p0);
    for row in mask.chunks_exact_mut(columns) {
        if left == 0 {
            break;
        }
        let q = squash(lg(used * D + D / 2) - lg(empty * D + D / 2));
        if !coder.bit(q)? {
            empty += 1;
        } else {
            used += 1;
            let (mut ones, mut seen) = (0u64, 0u64);
            let before = left;
            for j in 0..columns {
                if left == 0 {
                    break;
                }
                let at = |back: usize| j.checked_sub(back).map_or(0, |i| usize::from(row[i]));
                let mut c =
                    at(1) + 2 * at(2) + 4 * usize::from(above[j]) + 8 * usize::from(above2[j]);
                if period > 0 {
                    c += 16 * at(period) + 32 * at(period.saturating_mul(2));
                }
                let of_column = u64::from(column[j]);
                let x = [
                    bias,
                    stretch(of_column, n - of_column, 1),
                    stretch(ones, seen - ones, 24),
                    stretch(one[c], all[c] - one[c], 1),
                ];
                let sum: i64 = weights.iter().zip(&x).map(|(w, x)| w * x).sum();
                let q = squash(sum >> 16);
                let bit = coder.bit(q)?;
                let b = u64::from(bit);
                row[j] = u8::from(bit);
                let error = 65536 * i64::from(bit) - q;
                for (w, x) in weights.iter_mut().zip(&x) {
                    *w = (*w + ((x * error + 32768) >> 16)).clamp(-524_288, 524_288);
                }
                column[j] += u16::from(bit);
                ones += b;
                one[c] += b;
                left -= b;
                seen += 1;
                if seen == 65535 {
                    seen >>= 1;
                    ones >>= 1;
                }
                all[c] += 1;
                if all[c] == 1024 {
                    all[c] = 512;
                    one[c] >>= 1;
                }
            }
            if left == before {
                return bad_stream("a used row of a mask has no element");
            }
            std::mem::swap(&mut above, &mut above2);
            above.copy_from_slice(row);
            n += 1;
            if n == 65535 {
                n >>= 1;
                column.iter_mut().for_each(|c| *c >>= 1);
            }
        }
        if used + empty == 65535 {
            used >>= 1;
            empty >>= 1;
        }
    }
    if left == 0 && coder.at_end() {
        Ok(())
    } else {
        bad_stream("a mask does not end where it must")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_what_the_text_says() {
        for (f, &value) in LOGARITHMS.iter().enumerate() {
            let exact = 256.0 * (1.0 + f as f64 / 64.0).log2();
            assert_eq!(value, exact.round() as i64);
        }
        for (i, &value) in SQUASHED.iter().enumerate() {
            let exact = 65536.0 / (1.0 + 2f64.powf(-(i as f64) / 2.0));
            assert_eq!(value, (exact.round() as i64).min(65535));
        }
        assert_eq!(lg(1), 0);
        assert_eq!(lg(u64::from(u32::MAX)), 31 * 256 + 253);
        assert_eq!(squash(0), 32768);
        assert_eq!(squash(-1_000_000) + squash(1_000_000), 65536);
    }

    #[test]
    fn the_example_of_section_9() {
        let mask = decode(&[0x00, 0x2C, 0xBA], 2, 4, 2);
        assert_eq!(mask, Ok(vec![0, 1, 0, 0, 0, 0, 1, 0]));
    }

    #[test]
    fn a_stream_of_the_vectors() {
        let mask = decode(&[0x00, 0x13, 0xAA, 0x22], 2, 10, 5).unwrap();
        let ones: Vec<usize> = (0..20).filter(|&i| mask[i] == 1).collect();
        assert_eq!(ones, [0, 3, 7, 11, 19]);
        assert!(decode(&[0x00, 0x13, 0xAA], 2, 10, 5).is_err());
        assert!(decode(&[0x00, 0x13, 0xAA, 0x22, 0x00], 2, 10, 5).is_err());
    }

    #[test]
    fn all_and_nothing_are_empty_streams() {
        assert_eq!(decode(&[], 2, 3, 0), Ok(vec![0; 6]));
        assert_eq!(decode(&[], 2, 3, 6), Ok(vec![1; 6]));
        assert!(decode(&[0], 2, 3, 6).is_err());
        assert!(decode(&[], 2, 3, 1).is_err());
        assert!(decode(&[], 2, 3, 7).is_err());
        assert!(decode(&[4, 0], 2, 3, 1).is_err());
        assert!(decode(&[0, 0xFF, 0xFF, 0xFF, 0xFF], 2, 3, 1).is_err());
    }
}
