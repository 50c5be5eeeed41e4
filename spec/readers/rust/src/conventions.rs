//! Section 1: numbers, bit strings, CRC-32; and room, asked for before it is used.

use crate::error::{limit_memory, Error, ErrorName, Result};

/// The largest size, offset and number of the format.
pub(crate) const LARGEST: u64 = 1 << 53;

/// Bytes read from the front. Where they end too early the error has the name given.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    name: ErrorName,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], name: ErrorName) -> Self {
        Cursor { bytes, name }
    }

    pub fn fail<T>(&self, explanation: impl Into<String>) -> Result<T> {
        Err(Error::new(self.name, explanation))
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        if size > self.bytes.len() {
            return self.fail(format!(
                "{size} bytes are expected where {} are left",
                self.bytes.len()
            ));
        }
        let (taken, left) = self.bytes.split_at(size);
        self.bytes = left;
        Ok(taken)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(le32(self.take(4)?))
    }

    /// A varint of at most 10 bytes and 64 bits, in any form that Protocol Buffers allow.
    pub fn any_varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for i in 0..10 {
            let byte = self.u8()?;
            if i == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7F) << (7 * i);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.fail("a varint has more than 64 bits")
    }

    fn shortest(&mut self, largest: u64) -> Result<u64> {
        let before = self.bytes;
        let value = self.any_varint()?;
        let used = before.len() - self.bytes.len();
        if used > 1 && before[used - 1] == 0 {
            return self.fail("a varint is not in its shortest form");
        }
        if value > largest {
            return self.fail(format!("the number {value} is too large"));
        }
        Ok(value)
    }

    /// A varint in its shortest form, at most 2^53 (section 4).
    pub fn varint(&mut self) -> Result<u64> {
        self.shortest(LARGEST)
    }

    /// A varint in its shortest form, below 2^32 (section 7).
    pub fn varint32(&mut self) -> Result<u64> {
        self.shortest(u64::from(u32::MAX))
    }

    /// A zigzag varint (section 4).
    pub fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()? as i64;
        Ok(if value % 2 == 0 {
            value / 2
        } else {
            -(value + 1) / 2
        })
    }
}

/// The u16 at the beginning of at least two bytes.
pub(crate) fn le16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

/// The u32 at the beginning of at least four bytes.
pub(crate) fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The u64 at the beginning of at least eight bytes.
#[inline(always)]
pub(crate) fn le64(bytes: &[u8]) -> u64 {
    u64::from_le_bytes([
        bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
    ])
}

/// An LSB-first bit string. Beyond its end it reads zeros; `overrun` tells.
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte to load.
    next: usize,
    buffer: u64,
    /// Bits in the buffer; those above are zero.
    held: u32,
    overrun: bool,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Bits::from(bytes, 0)
    }

    /// The bit string from a byte on.
    pub fn from(bytes: &'a [u8], next: usize) -> Self {
        Bits {
            bytes,
            next,
            buffer: 0,
            held: 0,
            overrun: false,
        }
    }

    /// Fill the buffer to at least 56 bits, if eight whole bytes are left; else say no.
    #[inline(always)]
    pub fn refill_fast(&mut self) -> bool {
        match self.bytes.get(self.next..self.next.wrapping_add(8)) {
            Some(eight) => {
                // Bits above `held` are loaded again, equal, by the next call: OR keeps them right.
                self.buffer |= le64(eight) << (self.held & 63);
                self.next = self
                    .next
                    .wrapping_add(((63 - (self.held & 63)) >> 3) as usize);
                self.held |= 56;
                true
            }
            None => false,
        }
    }

    /// Take bits that the buffer is known to hold, without a check.
    #[inline(always)]
    pub fn drop_fast(&mut self, count: u32) {
        self.buffer >>= count & 63;
        self.held = self.held.wrapping_sub(count);
    }

    /// The buffer, whose lowest bit is the next one.
    #[inline(always)]
    pub fn peek(&self) -> u64 {
        self.buffer
    }

    /// Make at least 56 bits available; zeros stand for what lies beyond the end.
    pub fn refill(&mut self) {
        if self.refill_fast() {
            return;
        }
        if self.held < 64 {
            self.buffer &= (1u64 << self.held) - 1;
        }
        while self.held < 56 && self.next < self.bytes.len() {
            self.buffer |= u64::from(self.bytes[self.next]) << self.held;
            self.next += 1;
            self.held += 8;
        }
    }

    /// Take at most 56 bits, seen by `peek` after `refill`.
    pub fn drop(&mut self, count: u32) {
        if count > self.held {
            self.overrun = true;
            self.buffer = 0;
            self.held = 0;
        } else {
            self.drop_fast(count);
        }
    }

    /// Read at most 32 bits, the first one lowest.
    pub fn read(&mut self, count: u32) -> u64 {
        self.refill();
        let value = self.buffer & ((1u64 << count) - 1);
        self.drop(count);
        value
    }

    /// Count the 1 bits before the next 0 bit, which is read too; `None` for more than `most`.
    pub fn unary(&mut self, most: u64) -> Option<u64> {
        let mut ones = 0;
        while self.read(1) == 1 {
            ones += 1;
            if ones > most {
                return None;
            }
        }
        Some(ones)
    }

    /// Whether more bits were taken than there are.
    pub fn overrun(&self) -> bool {
        self.overrun
    }

    /// Bytes of which at least one bit was taken.
    pub fn used(&self) -> usize {
        self.next - (self.held / 8) as usize
    }

    /// Whether just fewer than 8 bits are left, all zero.
    pub fn at_end(&mut self) -> bool {
        self.refill();
        !self.overrun && self.next == self.bytes.len() && self.held < 8 && self.buffer == 0
    }

    /// Whether the bits left in the byte that was begun are zero.
    pub fn padded(&mut self) -> bool {
        let left = self.held % 8;
        self.read(left) == 0
    }
}

const CRC_TABLES: [[u32; 256]; 16] = crc_tables();

const fn crc_tables() -> [[u32; 256]; 16] {
    let mut tables = [[0u32; 256]; 16];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut k = 1;
    while k < 16 {
        let mut i = 0;
        while i < 256 {
            let before = tables[k - 1][i];
            tables[k][i] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            i += 1;
        }
        k += 1;
    }
    tables
}

/// A CRC-32 that grows with the bytes it is given.
#[derive(Clone, Copy)]
pub struct Crc32(u32);

impl Default for Crc32 {
    fn default() -> Self {
        Crc32(u32::MAX)
    }
}

impl Crc32 {
    pub fn update(&mut self, bytes: &[u8]) {
        let t = &CRC_TABLES;
        let mut crc = self.0;
        let mut blocks = bytes.chunks_exact(16);
        for block in &mut blocks {
            let low = le64(block) ^ u64::from(crc);
            let high = le64(&block[8..]);
            crc = 0;
            for i in 0..8 {
                crc ^= t[15 - i][(low >> (8 * i)) as usize & 0xFF];
                crc ^= t[7 - i][(high >> (8 * i)) as usize & 0xFF];
            }
        }
        for &byte in blocks.remainder() {
            crc = (crc >> 8) ^ t[0][((crc ^ u32::from(byte)) & 0xFF) as usize];
        }
        self.0 = crc;
    }

    pub fn value(self) -> u32 {
        !self.0
    }
}

/// The CRC-32 of bytes.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc32::default();
    crc.update(bytes);
    crc.value()
}

/// The CRC-32 of float32 bit patterns as little-endian bytes.
pub fn crc32_of_words(words: &[u32]) -> u32 {
    let mut crc = Crc32::default();
    let mut buffer = [0u8; 4096];
    for part in words.chunks(1024) {
        for (to, word) in buffer.chunks_exact_mut(4).zip(part) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        crc.update(&buffer[..4 * part.len()]);
    }
    crc.value()
}

/// A size as the machine counts; what does not fit cannot be held either.
pub(crate) fn to_usize(size: u64) -> Result<usize> {
    match usize::try_from(size) {
        Ok(size) => Ok(size),
        Err(_) => limit_memory(format!("{size} elements are more than this machine counts")),
    }
}

/// An empty vector with room for `size` elements, or an error where the system has none.
pub(crate) fn room<T>(size: u64) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    match vector.try_reserve_exact(to_usize(size)?) {
        Ok(()) => Ok(vector),
        Err(_) => limit_memory(format!("the system has no room for {size} elements")),
    }
}

/// A vector of `size` zeros.
pub(crate) fn zeros<T: Clone + Default>(size: u64) -> Result<Vec<T>> {
    let mut vector = room(size)?;
    vector.resize(to_usize(size)?, T::default());
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_the_one_of_zlib() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        let long: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
        let mut parts = Crc32::default();
        parts.update(&long[..37]);
        parts.update(&long[37..]);
        assert_eq!(parts.value(), crc32(&long));
    }

    #[test]
    fn words_have_the_crc_of_their_bytes() {
        let words: Vec<u32> = (0..3000u32).map(|i| i.wrapping_mul(0x9E37_79B1)).collect();
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(crc32_of_words(&words), crc32(&bytes));
    }

    #[test]
    fn varints_are_in_their_shortest_form() {
        let read = |bytes: &[u8]| Cursor::new(bytes, ErrorName::BadManifest).varint();
        assert_eq!(read(&[0xAC, 0x02]), Ok(300));
        assert_eq!(read(&[0x00]), Ok(0));
        assert!(read(&[0x80, 0x00]).is_err());
        assert!(read(&[0x80]).is_err());
        assert_eq!(
            read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]),
            Ok(LARGEST)
        );
        assert!(read(&[0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]).is_err());
        assert!(read(&[0xFF; 10]).is_err());
    }

    #[test]
    fn zigzag_alternates_signs() {
        let read = |byte: u8| Cursor::new(&[byte], ErrorName::BadManifest).zigzag();
        assert_eq!(
            (0..5).map(|b| read(b).unwrap()).collect::<Vec<_>>(),
            [0, -1, 1, -2, 2]
        );
    }

    #[test]
    fn bits_come_lowest_first_and_end_in_zeros() {
        let bytes: Vec<u8> = (0..40).map(|i| (i * 37 + 5) as u8).collect();
        let mut bits = Bits::new(&bytes);
        let mut at = 0;
        while at + 11 <= 320 {
            let expected = (0..11).fold(0u64, |v, k| {
                let i = at + k;
                v | u64::from(bytes[i / 8] >> (i % 8) & 1) << k
            });
            assert_eq!(bits.read(11), expected);
            at += 11;
            assert_eq!(bits.used(), (at + 7) / 8);
        }
        assert!(!bits.overrun());
        bits.read(11);
        assert!(bits.overrun());
        assert!(Bits::new(&[]).at_end());
        assert!(!Bits::new(&[0]).at_end());
    }
}
