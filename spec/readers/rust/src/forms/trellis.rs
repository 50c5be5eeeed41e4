//! Section 5.7: Trellis.

use super::{group_size, read_groups, Form, DENSE};
use crate::conventions::{room, to_usize};
use crate::directory::Parser;
use crate::error::{bad_manifest, bad_stream, unknown, Result};
use crate::streams::Ints;

const STATES: u64 = 8;
/// The state after an even and after an odd integer.
const NEXT: [[u8; 2]; STATES as usize] = [
    [0, 2],
    [5, 7],
    [1, 3],
    [6, 4],
    [2, 0],
    [4, 6],
    [3, 1],
    [7, 5],
];

/// The multiple of the scale that an integer means; the state moves on.
pub(crate) fn step(state: &mut u8, k: i32) -> i32 {
    let level = 2 * k - i32::from(*state & 1) * k.signum();
    *state = NEXT[usize::from(*state & 7)][(k & 1) as usize];
    level
}

#[derive(Debug)]
pub(crate) struct Trellis {
    count: u64,
    columns: u64,
    groups: u64,
    lowest: i32,
    /// The highest integer of the type.
    highest: i32,
    scales: Box<Form>,
    ints: Ints,
}

impl Trellis {
    pub fn parse(parser: &mut Parser, shape: &[u64], count: u64, variant: u8) -> Result<Trellis> {
        let (bits, lowest_of_type, highest) = match variant & 1 {
            0 => (8, -128, 127),
            _ => (16, -32768, 32767),
        };
        let groups = read_groups(parser, count, variant & 2 != 0)?;
        let states = parser.cursor.varint()?;
        if states != STATES {
            return unknown(format!("a trellis of {states} states is not known"));
        }
        let lowest = parser.cursor.zigzag()?;
        if lowest < lowest_of_type || lowest > 0 {
            return bad_manifest(format!("the lowest integer of a trellis is {lowest}"));
        }
        let rows = shape.first().map_or(1, |&rows| rows.max(1));
        Ok(Trellis {
            count,
            columns: count / rows,
            groups,
            lowest: lowest as i32,
            highest,
            scales: Form::part(parser, &[groups], &[DENSE])?,
            ints: parser.ints(count, bits)?,
        })
    }

    pub fn decode(&self, file: &[u8]) -> Result<Vec<u32>> {
        let scales = self.scales.decode(file)?;
        if scales.iter().any(|&s| !f32::from_bits(s).is_finite()) {
            return bad_stream("a scale is not finite");
        }
        let ints = self.ints.decode(file)?;
        let size = group_size(self.count, self.groups)?;
        let mut out = room(self.count)?;
        for row in ints.chunks(to_usize(self.columns.max(1))?) {
            let mut state = 0;
            for &int in row {
                let k = self.lowest + i32::from(int);
                if k > self.highest {
                    return bad_stream("an integer is out of the range of its type");
                }
                let scale = f32::from_bits(scales[out.len() / size]);
                // At most 2^16 + 1 in magnitude, so exact; adding +0 turns -0 into +0.
                out.push((scale * step(&mut state, k) as f32 + 0.0).to_bits());
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_section_5() {
        let mut state = 0;
        let row = [1, 0, -1, 2].map(|k| (state, step(&mut state, k)));
        assert_eq!(row, [(0, 2), (2, 0), (1, -1), (7, 3)]);
    }
}
