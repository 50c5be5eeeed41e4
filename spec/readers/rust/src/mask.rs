//! Section 9: mask streams.

use crate::conventions::{to_usize, zeros, Cursor};
use crate::error::{bad_stream, ErrorName, Result};
use crate::range::{lg, squash, RangeDecoder};

const D: u64 = 16384;

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
