//! Section 5.5: Product.

use super::{check_entries, index_bits, Form, DENSE, LINEAR};
use crate::conventions::{room, to_usize, zeros};
use crate::directory::{product, Parser};
use crate::error::{bad_manifest, Result};
use crate::streams::Ints;

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

impl Product {
    pub fn parse(parser: &mut Parser, shape: &[u64], count: u64, variant: u8) -> Result<Product> {
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

    pub fn decode(&self, file: &[u8]) -> Result<Vec<u32>> {
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
