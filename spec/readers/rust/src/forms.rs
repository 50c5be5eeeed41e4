//! Section 5: the forms, parsed from the directory and decoded to float32 bit patterns.

use crate::conventions::{le16, le32, room, to_usize, zeros, LARGEST};
use crate::directory::{product, Parser};
use crate::error::{bad_manifest, bad_stream, unknown, Result};
use crate::mask;
use crate::streams::{planes, Ints, Span};

const DENSE: u8 = 0;
const CODEBOOK: u8 = 1;
const LINEAR: u8 = 2;
const SPARSE: u8 = 3;
const PRODUCT: u8 = 4;
const HASHED: u8 = 5;

const MOST_ENTRIES: u64 = 65_536;

#[derive(Debug)]
pub(crate) enum Form {
    Dense(Dense),
    Codebook(Codebook),
    Linear(Linear),
    Sparse(Sparse),
    Product(Product),
    Hashed(Hashed),
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
pub(crate) struct Sparse {
    count: u64,
    columns: u64,
    /// Height and width.
    block: (u64, u64),
    /// Rows and columns of blocks.
    grid: (u64, u64),
    stored: u64,
    positions: Positions,
    values: Box<Form>,
}

#[derive(Debug)]
enum Positions {
    /// Bits, symbols.
    Relative(u32, Ints),
    Bitmap(Span),
    Mask(Span),
}

#[derive(Debug)]
pub(crate) struct Product {
    shape: Vec<u64>,
    axes: Option<Vec<usize>>,
    stages: u64,
    rows: u64,
    blocks: u64,
    dimension: u64,
    entries: u64,
    shared: bool,
    books: Box<Form>,
    codes: Ints,
    pub rotation: Option<Box<Form>>,
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
        let all = [DENSE, CODEBOOK, LINEAR, SPARSE, PRODUCT, HASHED];
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
            _ => Form::Hashed(Hashed::parse(parser, count, variant)?),
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

impl Sparse {
    fn parse(parser: &mut Parser, shape: &[u64], count: u64, variant: u8) -> Result<Sparse> {
        let (rows, columns) = match shape.split_first() {
            None => (1, 1),
            Some((&rows, others)) => (rows, product(others)?),
        };
        let (height, width) = match variant & 1 {
            0 => (1, 1),
            _ => (parser.cursor.varint()?, parser.cursor.varint()?),
        };
        if height == 0 || width == 0 || rows % height != 0 || columns % width != 0 {
            return bad_manifest(format!(
                "blocks of {height} x {width} do not divide {rows} x {columns} elements"
            ));
        }
        if variant & 1 != 0 && (height, width) == (1, 1) {
            return bad_manifest("blocks of one element are stated");
        }
        let grid = (rows / height, columns / width);
        let blocks = product(&[grid.0, grid.1])?;
        let stored = parser.cursor.varint()?;
        if stored > blocks {
            return bad_manifest(format!("{stored} of {blocks} blocks are stored"));
        }
        let positions = match variant >> 1 {
            0 => Sparse::parse_relative(parser, blocks, stored)?,
            1 => Positions::Bitmap(parser.stream((blocks + 7) / 8)?),
            _ => {
                if blocks >= 1 << 32 {
                    return bad_manifest("a mask has 2^32 or more elements");
                }
                parser.part(blocks, 1)?;
                let size = parser.cursor.varint()?;
                Positions::Mask(parser.stream(size)?)
            }
        };
        let values = product(&[stored, height, width])?;
        Ok(Sparse {
            count,
            columns,
            block: (height, width),
            grid,
            stored,
            positions,
            values: Form::part(parser, &[values], &[DENSE, CODEBOOK, LINEAR])?,
        })
    }

    fn parse_relative(parser: &mut Parser, blocks: u64, stored: u64) -> Result<Positions> {
        let bits = parser.cursor.varint()?;
        if bits == 0 || bits > 8 {
            return bad_manifest(format!("relative indices have {bits} bits"));
        }
        let symbols = parser.cursor.varint()?;
        // All gaps together are shorter than the grid.
        let most = if stored == 0 {
            0
        } else {
            stored + blocks / ((1 << bits) - 1)
        };
        if symbols < stored || symbols > most {
            return bad_manifest(format!("{symbols} symbols cannot place {stored} blocks"));
        }
        Ok(Positions::Relative(bits as u32, parser.ints(symbols, 8)?))
    }

    fn decode(&self, file: &[u8]) -> Result<Vec<u32>> {
        let values = self.values.decode(file)?;
        let mut out: Vec<u32> = zeros(self.count)?;
        let (height, width) = (to_usize(self.block.0)?, to_usize(self.block.1)?);
        let columns = to_usize(self.columns)?;
        let grid_columns = self.grid.1;
        let mut blocks = values.chunks(height.saturating_mul(width));
        self.each_position(file, |position| {
            // There are as many positions as blocks of values.
            let block = blocks.next().unwrap_or(&[]);
            let (row, column) = (position / grid_columns, position % grid_columns);
            let start = row as usize * height * columns + column as usize * width;
            for (y, values) in block.chunks(width).enumerate() {
                let at = start + y * columns;
                out[at..at + width].copy_from_slice(values);
            }
        })?;
        Ok(out)
    }

    /// Call `visit` with the positions in the grid, ascending, `stored` in number.
    fn each_position(&self, file: &[u8], mut visit: impl FnMut(u64)) -> Result<()> {
        let blocks = self.grid.0 * self.grid.1;
        match &self.positions {
            Positions::Relative(bits, symbols) => {
                let symbols = symbols.decode_below(file, 1 << bits)?;
                let skip = (1u16 << bits) - 1;
                if symbols.last() == Some(&skip) {
                    return bad_stream("the last symbol of a relative index is a skip");
                }
                if symbols.iter().filter(|&&s| s != skip).count() as u64 != self.stored {
                    return bad_stream("a relative index has another number of positions");
                }
                let mut next = 0u64;
                for symbol in symbols {
                    next += u64::from(symbol);
                    if symbol != skip {
                        if next >= blocks {
                            return bad_stream("a position is beyond the grid");
                        }
                        visit(next);
                        next += 1;
                    }
                }
            }
            Positions::Bitmap(span) => {
                let bytes = span.of(file);
                let ones: u64 = bytes.iter().map(|b| u64::from(b.count_ones())).sum();
                if ones != self.stored {
                    return bad_stream(format!("a bitmap has {ones} ones, not {}", self.stored));
                }
                let padding = (8 - blocks % 8) % 8;
                if bytes
                    .last()
                    .map_or(false, |&b| b.leading_zeros() < padding as u32)
                {
                    return bad_stream("the padding of a bitmap is not zero");
                }
                for (i, &byte) in bytes.iter().enumerate() {
                    let mut byte = byte;
                    while byte != 0 {
                        visit(8 * i as u64 + u64::from(byte.trailing_zeros()));
                        byte &= byte - 1;
                    }
                }
            }
            Positions::Mask(span) => {
                let mask = mask::decode(span.of(file), self.grid.0, self.grid.1, self.stored)?;
                for (i, _) in mask.iter().enumerate().filter(|(_, &bit)| bit != 0) {
                    visit(i as u64);
                }
            }
        }
        Ok(())
    }
}

impl Product {
    fn parse(parser: &mut Parser, shape: &[u64], count: u64, variant: u8) -> Result<Product> {
        let axes = match variant & 1 {
            0 => None,
            _ => Some(Product::parse_axes(parser, shape.len())?),
        };
        let stages = parser.cursor.varint()?;
        let blocks = parser.cursor.varint()?;
        let entries = parser.cursor.varint()?;
        let dimension = parser.cursor.varint()?;
        if stages == 0 || stages > 256 {
            return bad_manifest(format!("a product has {stages} stages"));
        }
        check_entries(entries)?;
        let width = product(&[blocks, dimension])?;
        if width == 0 || count % width != 0 {
            return bad_manifest(format!("rows of {width} do not divide {count} elements"));
        }
        let rows = count / width;
        let shared = variant & 4 != 0;
        let books = if shared { 1 } else { blocks };
        let allowed = [DENSE, LINEAR];
        let books = Form::part(parser, &[stages, books, entries, dimension], &allowed)?;
        let codes = parser.ints(product(&[stages, rows, blocks])?, index_bits(entries))?;
        let rotation = match variant & 2 {
            0 => None,
            _ => Some(Form::part(parser, &[width, width], &[DENSE])?),
        };
        Ok(Product {
            shape: shape.to_vec(),
            axes,
            stages,
            rows,
            blocks,
            dimension,
            entries,
            shared,
            books,
            codes,
            rotation,
        })
    }

    fn parse_axes(parser: &mut Parser, rank: usize) -> Result<Vec<usize>> {
        let mut seen = vec![false; rank];
        let mut axes = Vec::with_capacity(rank);
        for _ in 0..rank {
            let axis = to_usize(parser.cursor.varint()?)?;
            match seen.get_mut(axis) {
                Some(seen) if !*seen => *seen = true,
                _ => return bad_manifest("the axes of a product are not a permutation"),
            }
            axes.push(axis);
        }
        Ok(axes)
    }

    /// Rows and D.
    pub fn blocks_shape(&self) -> Vec<u64> {
        vec![self.rows, self.width()]
    }

    pub fn width(&self) -> u64 {
        self.blocks * self.dimension
    }

    fn decode(&self, file: &[u8]) -> Result<Vec<u32>> {
        let books = self.books.decode(file)?;
        let codes = self.codes.decode_below(file, self.entries)?;
        let blocks = to_usize(self.blocks)?;
        let dimension = to_usize(self.dimension)?;
        let book_size = to_usize(self.entries)? * dimension;
        let book_step = if self.shared { 0 } else { book_size };
        let stage_step = if self.shared {
            book_size
        } else {
            book_size * blocks
        };
        let stage_codes = to_usize(self.rows)? * blocks;

        let mut out = room(self.rows * self.width())?;
        for place in 0..stage_codes {
            let start = |stage: usize| {
                let code = usize::from(codes[stage * stage_codes + place]);
                stage * stage_step + place % blocks * book_step + code * dimension
            };
            if self.stages == 1 {
                let at = start(0);
                out.extend_from_slice(&books[at..at + dimension]);
            } else {
                for k in 0..dimension {
                    let value = |stage: usize| f64::from(f32::from_bits(books[start(stage) + k]));
                    let sum = (1..self.stages as usize).fold(value(0), |sum, t| sum + value(t));
                    out.push((sum as f32).to_bits());
                }
            }
        }
        match &self.axes {
            Some(axes) if self.rotation.is_none() => self.restore_axes(axes, &out),
            _ => Ok(out),
        }
    }

    /// Bring a tensor whose axis k is axis `axes[k]` of the result into the result's order.
    fn restore_axes(&self, axes: &[usize], ordered: &[u32]) -> Result<Vec<u32>> {
        let mut out = zeros(ordered.len() as u64)?;
        let extents: Vec<usize> = axes
            .iter()
            .map(|&a| to_usize(self.shape[a]))
            .collect::<Result<_>>()?;
        let strides: Vec<usize> = axes
            .iter()
            .map(|&a| to_usize(product(&self.shape[a + 1..])?))
            .collect::<Result<_>>()?;
        let mut index = vec![0usize; axes.len()];
        let mut at = 0usize;
        for &value in ordered {
            out[at] = value;
            for k in (0..axes.len()).rev() {
                index[k] += 1;
                at += strides[k];
                if index[k] < extents[k] {
                    break;
                }
                at -= strides[k] * extents[k];
                index[k] = 0;
            }
        }
        Ok(out)
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
