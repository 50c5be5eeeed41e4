//! Section 5: the forms, parsed from the directory and decoded to float32 bit patterns.

mod product;
mod sparse;
pub(crate) mod trellis;

use product::Product;
use sparse::Sparse;
use trellis::Trellis;

use crate::conventions::{le16, le32, room, to_usize, LARGEST};
use crate::directory::{product, Parser};
use crate::error::{bad_manifest, bad_stream, unknown, Result};
use crate::streams::{planes, Ints, Span};

const DENSE: u8 = 0;
const CODEBOOK: u8 = 1;
const LINEAR: u8 = 2;
const SPARSE: u8 = 3;
const PRODUCT: u8 = 4;
const HASHED: u8 = 5;
const TRELLIS: u8 = 6;

const MOST_ENTRIES: u64 = 65_536;

#[derive(Debug)]
pub(crate) enum Form {
    Dense(Dense),
    Codebook(Codebook),
    Linear(Linear),
    Sparse(Sparse),
    Product(Product),
    Hashed(Hashed),
    Trellis(Trellis),
}

#[derive(Clone, Copy, Debug)]
enum Words {
    Float32,
    Float16,
    Bfloat16,
}

#[derive(Debug)]
pub(crate) struct Dense {
    count: u64,
    kind: Words,
    in_planes: bool,
    words: Span,
}

#[derive(Debug)]
pub(crate) struct Codebook {
    count: u64,
    groups: u64,
    entries: u64,
    books: Box<Form>,
    indices: Ints,
}

#[derive(Debug)]
pub(crate) struct Linear {
    count: u64,
    groups: u64,
    lowest: i64,
    /// The highest integer of the type.
    highest: i64,
    scales: Box<Form>,
    /// base, low, high
    zeros: Option<(i64, Ints, Ints)>,
    ints: Ints,
}

#[derive(Debug)]
pub(crate) struct Hashed {
    count: u64,
    buckets: u64,
    seed: u32,
    signed: bool,
    values: Box<Form>,
}

/// Indices into `entries` have 8 bits where they can.
fn index_bits(entries: u64) -> u32 {
    if entries <= 256 {
        8
    } else {
        16
    }
}

fn check_entries(entries: u64) -> Result<()> {
    if entries == 0 || entries > MOST_ENTRIES {
        return bad_manifest(format!("a codebook has {entries} entries"));
    }
    Ok(())
}

impl Form {
    /// Parse the form of a tensor.
    pub fn parse(parser: &mut Parser, shape: &[u64]) -> Result<Form> {
        let all = [DENSE, CODEBOOK, LINEAR, SPARSE, PRODUCT, HASHED, TRELLIS];
        Form::parse_one_of(parser, shape, &all)
    }

    /// Parse a form within a form.
    fn part(parser: &mut Parser, shape: &[u64], allowed: &[u8]) -> Result<Box<Form>> {
        parser.part(product(shape)?, 4)?;
        Ok(Box::new(Form::parse_one_of(parser, shape, allowed)?))
    }

    fn parse_one_of(parser: &mut Parser, shape: &[u64], allowed: &[u8]) -> Result<Form> {
        let kind = parser.cursor.u8()?;
        let (form, variant) = (kind & 15, kind >> 4);
        let known = match form {
            DENSE => variant <= 7 && variant & 3 <= 2,
            CODEBOOK => variant <= 1,
            LINEAR => true,
            SPARSE => variant <= 7 && variant >> 1 <= 2,
            PRODUCT => variant <= 7,
            HASHED => variant <= 1,
            TRELLIS => variant <= 3,
            _ => false,
        };
        if !known {
            return unknown(format!("the kind {kind:#04x} of a form is not known"));
        }
        if !allowed.contains(&form) {
            return bad_manifest(format!("a form of the kind {kind:#04x} cannot stand here"));
        }
        let count = product(shape)?;
        Ok(match form {
            DENSE => Form::Dense(Dense::parse(parser, count, variant)?),
            CODEBOOK => Form::Codebook(Codebook::parse(parser, count, variant)?),
            LINEAR => Form::Linear(Linear::parse(parser, count, variant)?),
            SPARSE => Form::Sparse(Sparse::parse(parser, shape, count, variant)?),
            PRODUCT => Form::Product(Product::parse(parser, shape, count, variant)?),
            HASHED => Form::Hashed(Hashed::parse(parser, count, variant)?),
            _ => Form::Trellis(Trellis::parse(parser, shape, count, variant)?),
        })
    }

    /// Decode to bit patterns of float32; a rotated Product gives its blocks.
    pub fn decode(&self, file: &[u8]) -> Result<Vec<u32>> {
        match self {
            Form::Dense(form) => form.decode(file),
            Form::Codebook(form) => form.decode(file),
            Form::Linear(form) => form.decode(file),
            Form::Sparse(form) => form.decode(file),
            Form::Product(form) => form.decode(file),
            Form::Hashed(form) => form.decode(file),
            Form::Trellis(form) => form.decode(file),
        }
    }
}

/// Read the number of groups, 1 where it is not stated.
fn read_groups(parser: &mut Parser, count: u64, stated: bool) -> Result<u64> {
    let groups = if stated { parser.cursor.varint()? } else { 1 };
    if groups == 0 || count % groups != 0 {
        return bad_manifest(format!("{groups} groups do not divide {count} elements"));
    }
    Ok(groups)
}

/// A group's elements, never 0 so that slices can be cut into groups.
fn group_size(count: u64, groups: u64) -> Result<usize> {
    to_usize((count / groups).max(1))
}

impl Dense {
    fn parse(parser: &mut Parser, count: u64, variant: u8) -> Result<Dense> {
        let (kind, bytes) = match variant & 3 {
            0 => (Words::Float32, 4),
            1 => (Words::Float16, 2),
            _ => (Words::Bfloat16, 2),
        };
        let in_planes = variant & 4 != 0;
        let size = if in_planes {
            parser.cursor.varint()?
        } else {
            product(&[count, bytes])?
        };
        Ok(Dense {
            count,
            kind,
            in_planes,
            words: parser.stream(size)?,
        })
    }

    fn decode(&self, file: &[u8]) -> Result<Vec<u32>> {
        let bytes = self.words.of(file);
        let is_single = matches!(self.kind, Words::Float32);
        let mut words: Vec<u32> = if self.in_planes {
            planes(bytes, self.count, if is_single { 4 } else { 2 })?
        } else {
            let mut words = room(self.count)?;
            if is_single {
                words.extend(bytes.chunks_exact(4).map(le32));
            } else {
                words.extend(bytes.chunks_exact(2).map(|b| u32::from(le16(b))));
            }
            words
        };
        match self.kind {
            Words::Float32 => {}
            Words::Float16 => words.iter_mut().for_each(|w| *w = widened(*w)),
            Words::Bfloat16 => words.iter_mut().for_each(|w| *w <<= 16),
        }
        Ok(words)
    }
}

/// The float32 of the same value (of a NaN: with the same bits, extended by zeros).
fn widened(half: u32) -> u32 {
    let sign = (half & 0x8000) << 16;
    let exponent = half >> 10 & 31;
    let fraction = half & 0x3FF;
    sign | match exponent {
        0 => (fraction as f32 * (1.0 / 16_777_216.0)).to_bits(),
        31 => 0x7F80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    }
}

impl Codebook {
    fn parse(parser: &mut Parser, count: u64, variant: u8) -> Result<Codebook> {
        let groups = read_groups(parser, count, variant & 1 != 0)?;
        let entries = parser.cursor.varint()?;
        check_entries(entries)?;
        let books = Form::part(parser, &[groups, entries], &[DENSE, LINEAR])?;
        let indices = parser.ints(count, index_bits(entries))?;
        Ok(Codebook {
            count,
            groups,
            entries,
            books,
            indices,
        })
    }

    fn decode(&self, file: &[u8]) -> Result<Vec<u32>> {
        let books = self.books.decode(file)?;
        let indices = self.indices.decode_below(file, self.entries)?;
        let mut out = room(self.count)?;
        let groups = indices.chunks(group_size(self.count, self.groups)?);
        for (group, book) in groups.zip(books.chunks(to_usize(self.entries)?)) {
            out.extend(group.iter().map(|&i| book[usize::from(i)]));
        }
        Ok(out)
    }
}

impl Linear {
    fn parse(parser: &mut Parser, count: u64, variant: u8) -> Result<Linear> {
        let (bits, range) = match variant & 3 {
            0 => (8, (-128, 127)),
            1 => (8, (0, 255)),
            2 => (16, (-32768, 32767)),
            _ => (16, (0, 65535)),
        };
        let groups = read_groups(parser, count, variant & 4 != 0)?;
        let lowest = parser.cursor.zigzag()?;
        if lowest < range.0 || lowest > range.1 {
            return bad_manifest(format!(
                "the lowest integer {lowest} is out of its type's range"
            ));
        }
        let scales = Form::part(parser, &[groups], &[DENSE])?;
        let zeros = if variant & 8 != 0 {
            let base = parser.cursor.zigzag()?;
            Some((base, parser.ints(groups, 16)?, parser.ints(groups, 16)?))
        } else {
            None
        };
        Ok(Linear {
            count,
            groups,
            lowest,
            highest: range.1,
            scales,
            zeros,
            ints: parser.ints(count, bits)?,
        })
    }

    fn decode(&self, file: &[u8]) -> Result<Vec<u32>> {
        let scales = self.scales.decode(file)?;
        if scales.iter().any(|&s| !f32::from_bits(s).is_finite()) {
            return bad_stream("a scale is not finite");
        }
        let zeros = self.decode_zeros(file)?;
        let ints = self.ints.decode(file)?;
        if ints
            .iter()
            .any(|&int| self.lowest + i64::from(int) > self.highest)
        {
            return bad_stream("an integer is out of the range of its type");
        }
        let mut out = room(self.count)?;
        let groups = ints.chunks(group_size(self.count, self.groups)?);
        for (j, (group, scale)) in groups.zip(scales).enumerate() {
            let scale = f32::from_bits(scale);
            let offset = self.lowest - zeros.as_ref().map_or(0, |z| z[j]);
            out.extend(group.iter().map(|&int| {
                // At most 2^23 + 2^16 in magnitude, so exact; adding +0 turns -0 into +0.
                let difference = (offset + i64::from(int)) as f32;
                (scale * difference + 0.0).to_bits()
            }));
        }
        Ok(out)
    }

    fn decode_zeros(&self, file: &[u8]) -> Result<Option<Vec<i64>>> {
        let (base, low, high) = match &self.zeros {
            Some(zeros) => zeros,
            None => return Ok(None),
        };
        let mut zeros = room(self.groups)?;
        for (low, high) in low.decode(file)?.into_iter().zip(high.decode(file)?) {
            let zero = base + i64::from(low) + (i64::from(high) << 16);
            if zero.abs() > 1 << 23 {
                return bad_stream("a zero is beyond 2^23");
            }
            zeros.push(zero);
        }
        Ok(Some(zeros))
    }
}

impl Hashed {
    fn parse(parser: &mut Parser, count: u64, variant: u8) -> Result<Hashed> {
        let buckets = parser.cursor.varint()?;
        if buckets == 0 || buckets > LARGEST {
            return bad_manifest("a hashed tensor has no buckets");
        }
        Ok(Hashed {
            count,
            buckets,
            seed: parser.cursor.u32()?,
            signed: variant & 1 != 0,
            values: Form::part(parser, &[buckets], &[DENSE, CODEBOOK, LINEAR])?,
        })
    }

    fn decode(&self, file: &[u8]) -> Result<Vec<u32>> {
        let values = self.values.decode(file)?;
        let key = mix(self.seed.wrapping_add(0x9E37_79B1));
        let mut out = room(self.count)?;
        out.extend((0..self.count).map(|i| {
            let hash = mix(i as u32 ^ key);
            let value = values[(u64::from(hash) % self.buckets) as usize];
            if !self.signed {
                return value;
            }
            let sign = mix(hash ^ 0x9E37_79B1) & 0x8000_0000;
            match value ^ sign {
                0x8000_0000 => 0,
                value => value,
            }
        }));
        Ok(out)
    }
}

fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x85EB_CA6B);
    x ^= x >> 13;
    x = x.wrapping_mul(0xC2B2_AE35);
    x ^ x >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_are_widened_exactly() {
        let cases: [(u32, u32); 8] = [
            (0x3C00, 1f32.to_bits()),
            (0xC000, (-2f32).to_bits()),
            (0x0000, 0),
            (0x8000, 0x8000_0000),
            (0x0001, 2f32.powi(-24).to_bits()),
            (0x83FF, (-1023.0 * 2f32.powi(-24)).to_bits()),
            (0x7C00, f32::INFINITY.to_bits()),
            (0x7BFF, 65504f32.to_bits()),
        ];
        for (half, single) in cases {
            assert_eq!(widened(half), single, "{half:#06x}");
        }
        assert_eq!(widened(0x7D01), 0x7FA0_2000);
    }

    #[test]
    fn mix_is_a_bijection_that_moves_bits() {
        assert_eq!(mix(0), 0);
        assert_ne!(mix(1), 1);
        let seen: std::collections::HashSet<u32> = (0..1000).map(mix).collect();
        assert_eq!(seen.len(), 1000);
    }
}
