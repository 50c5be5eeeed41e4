//! Sections 9.1 and 9.2: the range decoder and the logarithms that masks and context streams share.

use crate::error::{bad_stream, Result};

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
pub(crate) struct RangeDecoder<'a> {
    bytes: &'a [u8],
    range: u64,
    code: u64,
    position: usize,
}

impl<'a> RangeDecoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let byte = |i: usize| u64::from(bytes.get(i).copied().unwrap_or(0));
        let decoder = RangeDecoder {
            bytes,
            range: (1 << 32) - 1,
            code: (0..4).fold(0, |code, i| code << 8 | byte(i)),
            position: 4,
        };
        if bytes.is_empty() {
            return bad_stream("there are no code bytes");
        }
        if decoder.code >= decoder.range {
            return bad_stream("the code bytes begin beyond the range");
        }
        Ok(decoder)
    }

    #[inline(always)]
    pub fn bit(&mut self, q: i64) -> Result<bool> {
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
                return bad_stream("the code bytes end too early");
            }
        }
        Ok(one)
    }

    pub fn at_end(&self) -> bool {
        self.position - 3 == self.bytes.len()
    }
}

/// lg: 256 log2 v for v = 1 .. 2^32 - 1.
#[inline(always)]
pub(crate) fn lg(v: u64) -> i64 {
    let e = 63 - v.leading_zeros();
    let f = ((v << 6) >> e) - 64;
    256 * i64::from(e) + LOGARITHMS[f as usize & 63]
}

#[inline(always)]
pub(crate) fn squash(x: i64) -> i64 {
    let a = x.abs().min(4095);
    let (i, f) = ((a >> 7) as usize, a & 127);
    let p = SQUASHED[i] + (((SQUASHED[i + 1] - SQUASHED[i]) * f) >> 7);
    if x >= 0 {
        p
    } else {
        65536 - p
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
}
