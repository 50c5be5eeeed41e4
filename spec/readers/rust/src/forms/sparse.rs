//! Section 5.4: Sparse.

use super::{Form, CODEBOOK, DENSE, LINEAR};
use crate::conventions::{to_usize, zeros};
use crate::directory::{product, Parser};
use crate::error::{bad_manifest, bad_stream, Result};
use crate::mask;
use crate::streams::{Ints, Span};

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

impl Sparse {
    pub fn parse(parser: &mut Parser, shape: &[u64], count: u64, variant: u8) -> Result<Sparse> {
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

    pub fn decode(&self, file: &[u8]) -> Result<Vec<u32>> {
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
