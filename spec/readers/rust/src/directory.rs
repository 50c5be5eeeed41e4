//! Section 4: the tensor directory.

use std::collections::{HashMap, HashSet};

use crate::conventions::{le32, to_usize, Cursor, LARGEST};
use crate::error::{bad_manifest, limit_memory, unknown, ErrorName, Result};
use crate::file::Section;
use crate::forms::Form;
use crate::manifest::Manifest;
use crate::streams::{Coder, Ints, Owner, Span};

const MOST_RANK: u64 = 32;
const MOST_ELEMENTS: u64 = 1 << 40;
/// Tensors that this reader makes room for; one takes 8 bytes in a directory, hundreds in memory.
const MOST_TENSORS: usize = 1 << 20;

/// A stored tensor.
#[derive(Debug)]
pub(crate) struct Entry {
    pub name: String,
    pub shape: Vec<u64>,
    pub form: Form,
    pub crc32: u32,
    /// The data sections of its streams and of the tables that these share.
    pub sections: Vec<usize>,
}

/// The directory's bytes, and the place in the data sections of the next stream.
pub(crate) struct Parser<'a> {
    pub cursor: Cursor<'a>,
    data: &'a [&'a Section],
    /// Data sections begun so far.
    begun: usize,
    position: u64,
    end: u64,
    /// The Huffman and the rANS streams so far that have tables of their own.
    tables: [Vec<Owner>; 2],
    /// The data sections that the tensor at hand needs.
    sections: Vec<usize>,
    /// Bytes of the largest array that decoding needs beside the tensors themselves.
    pub largest_part: u64,
    max_memory: u64,
}

impl<'a> Parser<'a> {
    /// The next `size` bytes of the section.
    pub fn stream(&mut self, size: u64) -> Result<Span> {
        if size > self.end - self.position {
            return bad_manifest(format!(
                "a stream of {size} bytes goes beyond the end of its section"
            ));
        }
        let offset = self.position;
        self.position += size;
        Ok(Span { offset, size })
    }

    /// Section 6: `count` integers of 8 or 16 bits.
    pub fn ints(&mut self, count: u64, bits: u32) -> Result<Ints> {
        self.part(count, 2)?;
        let head = self.cursor.varint()?;
        let back = head >> 3;
        let coder = match head & 7 {
            0 if head >> 3 <= u64::from(bits) => Coder::Packed((head >> 3) as u32),
            0 => return bad_manifest(format!("integers of {bits} bits have {} bits", head >> 3)),
            1 => Coder::Huffman(self.shared(0, back)?),
            2 => Coder::Rans(self.shared(1, back)?),
            kind @ (3 | 4) if back != 0 => {
                return unknown(format!(
                    "the variant {back} of the coder {kind} is not known"
                ))
            }
            3 if bits != 16 => return unknown("a split stream of integers of 8 bits"),
            3 => Coder::Split,
            4 => Coder::Context(self.max_memory),
            kind => return unknown(format!("the coder {kind} is not known")),
        };
        let size = match coder {
            Coder::Packed(width) => product(&[count, u64::from(width)])?.saturating_add(7) / 8,
            _ => self.cursor.varint()?,
        };
        let span = self.stream(size)?;
        let owner = Owner {
            span,
            bits,
            section: self.section(),
        };
        match coder {
            Coder::Huffman(None) => self.tables[0].push(owner),
            Coder::Rans(None) => self.tables[1].push(owner),
            _ => {}
        }
        Ok(Ints {
            coder,
            count,
            bits,
            span,
        })
    }

    /// The stream whose table is shared, `back` before the end of those of one coder; 0: none.
    fn shared(&mut self, coder: usize, back: u64) -> Result<Option<Owner>> {
        if back == 0 {
            return Ok(None);
        }
        let tables = &self.tables[coder];
        let index = usize::try_from(back)
            .ok()
            .and_then(|b| tables.len().checked_sub(b));
        match index {
            Some(index) => {
                let owner = tables[index];
                if !self.sections.contains(&owner.section) {
                    self.sections.push(owner.section);
                }
                Ok(Some(owner))
            }
            None => bad_manifest(format!("there is no table {back} streams back")),
        }
    }

    /// The data section that streams are taken from.
    fn section(&self) -> usize {
        // The first tensor begins one before it has streams.
        self.begun - 1
    }

    /// Note that decoding needs an array of `count` elements of `size` bytes.
    pub fn part(&mut self, count: u64, size: u64) -> Result<()> {
        self.largest_part = self.largest_part.max(product(&[count, size])?);
        Ok(())
    }

    fn next_section(&mut self) -> Result<()> {
        self.end_section()?;
        match self.data.get(self.begun) {
            Some(section) => {
                self.position = section.offset;
                self.end = section.offset + section.stored;
                self.begun += 1;
                Ok(())
            }
            None => bad_manifest("there are fewer data sections than the directory begins"),
        }
    }

    fn end_section(&self) -> Result<()> {
        if self.position == self.end {
            Ok(())
        } else {
            bad_manifest("a data section has bytes that belong to no tensor")
        }
    }
}

/// The product of sizes, which is at most 2^53.
pub(crate) fn product(factors: &[u64]) -> Result<u64> {
    if factors.contains(&0) {
        return Ok(0);
    }
    let all = factors.iter().try_fold(1u64, |all, &f| all.checked_mul(f));
    match all {
        Some(all) if all <= LARGEST => Ok(all),
        _ => bad_manifest(format!("the product of {factors:?} is beyond 2^53")),
    }
}

/// Parse the directory; return its tensors and the bytes of the largest array beside them.
pub(crate) fn parse(
    manifest: &Manifest,
    data: &[&Section],
    max_memory: u64,
) -> Result<(Vec<Entry>, u64)> {
    let mut parser = Parser {
        cursor: Cursor::new(manifest.directory.unwrap_or(&[0]), ErrorName::BadManifest),
        data,
        begun: 0,
        position: 0,
        end: 0,
        tables: [Vec::new(), Vec::new()],
        sections: Vec::new(),
        largest_part: 0,
        max_memory,
    };
    let count = parser.cursor.varint()?;
    if (count == 0) != manifest.directory.is_none() {
        return bad_manifest("a directory without tensors is absent");
    }
    let names = layer_names(&manifest.layers);
    let sums = parser.cursor.take(to_usize(count.saturating_mul(4))?)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut places: Vec<(u64, u64)> = Vec::new();
    for _ in 0..count {
        if entries.len() == MOST_TENSORS {
            return limit_memory(format!("there are more than {MOST_TENSORS} tensors"));
        }
        let place = read_place(&mut parser, places.last().copied())?;
        let (layer, blob) = place;
        let name = match names.get(usize::try_from(layer).unwrap_or(usize::MAX)) {
            Some(name) => format!("{name}/{blob}"),
            None if layer == names.len() as u64 => ":mean".to_string(),
            None => return bad_manifest(format!("there is no layer {layer}")),
        };
        let is_mean = layer == names.len() as u64;
        parser.sections = vec![parser.section()];
        let (shape, form) = read_tensor(&mut parser).map_err(|e| e.at(&name))?;
        if is_mean {
            if blob != 0 || shape.len() != 3 {
                return bad_manifest("the mean image is not one tensor of three dimensions");
            }
            if manifest.has_mean_values {
                return bad_manifest("there are mean values and a mean image");
            }
        }
        entries.push(Entry {
            name,
            shape,
            form,
            crc32: le32(&sums[4 * places.len()..]),
            sections: std::mem::take(&mut parser.sections),
        });
        places.push(place);
    }
    if !parser.cursor.is_empty() {
        return bad_manifest("bytes follow the directory");
    }
    parser.end_section()?;
    if parser.begun != data.len() {
        return bad_manifest("there are data sections without tensors");
    }
    check_numbering(manifest, &places)?;
    Ok((entries, parser.largest_part))
}

/// Read the layer and blob of a tensor, after those of the tensor before, and begin its section.
fn read_place(parser: &mut Parser, before: Option<(u64, u64)>) -> Result<(u64, u64)> {
    let head = parser.cursor.varint()?;
    let layer = before.map_or(0, |(layer, _)| layer) + (head >> 2);
    let same = before.filter(|&(l, _)| l == layer).map(|(_, blob)| blob);
    let blob = if head & 1 != 0 {
        parser.cursor.varint()?
    } else {
        same.map_or(0, |blob| blob + 1)
    };
    if same.map_or(false, |last| blob <= last) {
        return bad_manifest("the blobs of a layer do not ascend");
    }
    if head & 2 != 0 {
        parser.next_section()?;
    } else if before.is_none() {
        return bad_manifest("the first tensor does not begin a section");
    }
    Ok((layer, blob))
}

fn read_tensor(parser: &mut Parser) -> Result<(Vec<u64>, Form)> {
    let rank = parser.cursor.varint()?;
    if rank > MOST_RANK {
        return bad_manifest(format!("a tensor has {rank} dimensions"));
    }
    let shape: Vec<u64> = (0..rank)
        .map(|_| parser.cursor.varint())
        .collect::<Result<_>>()?;
    if product(&shape)? > MOST_ELEMENTS {
        return bad_manifest("a tensor has more than 2^40 elements");
    }
    let form = Form::parse(parser, &shape)?;
    Ok((shape, form))
}

/// The layers' names, where a name that was taken gets the next free number.
fn layer_names(layers: &[&str]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut names = Vec::new();
    for &layer in layers {
        let mut name = layer.to_string();
        if taken.contains(&name) {
            let number = last.entry(layer).or_insert(1);
            while taken.contains(&name) {
                *number += 1;
                name = format!("{layer}#{number}");
            }
        }
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

/// The blobs of a layer, stored and shared, are numbered from 0 without gaps.
fn check_numbering(manifest: &Manifest, places: &[(u64, u64)]) -> Result<()> {
    let stored: HashSet<(u64, u64)> = places.iter().copied().collect();
    let mut owners: HashMap<&str, (u64, u64)> = HashMap::new();
    let mut shared: HashSet<(u64, u64)> = HashSet::new();
    for &(layer, blob, name) in &manifest.params {
        let place = (layer as u64, blob);
        let owner = *owners.entry(name).or_insert(place);
        if owner != place && stored.contains(&owner) {
            if owner.0 < place.0 && stored.contains(&place) {
                return bad_manifest(format!("the shared parameter {name:?} is stored twice"));
            }
            shared.insert(place);
        }
    }
    for &(layer, blob) in stored.iter().chain(&shared) {
        if blob > 0 {
            let before = (layer, blob - 1);
            if !stored.contains(&before) && !shared.contains(&before) {
                return bad_manifest(format!(
                    "layer {layer} has blob {blob} but not {}",
                    blob - 1
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_get_numbers() {
        assert_eq!(
            layer_names(&["a", "a#2", "a", "a", "b", "b", ""]),
            ["a", "a#2", "a#3", "a#4", "b", "b#2", ""]
        );
    }

    #[test]
    fn products_do_not_overflow() {
        assert_eq!(product(&[]), Ok(1));
        assert_eq!(product(&[LARGEST, LARGEST, 0]), Ok(0));
        assert!(product(&[1 << 30, 1 << 30]).is_err());
        assert!(product(&[u64::MAX, u64::MAX]).is_err());
    }

    #[test]
    fn shared_blobs_fill_gaps() {
        let manifest = Manifest {
            layers: vec!["a", "b"],
            params: vec![(0, 0, "w"), (1, 0, "w")],
            ..Manifest::default()
        };
        assert!(check_numbering(&manifest, &[(0, 0), (1, 1)]).is_ok());
        assert!(check_numbering(&manifest, &[(0, 0), (1, 2)]).is_err());
        assert!(check_numbering(&manifest, &[(0, 0), (1, 0)]).is_err());
        assert!(check_numbering(&manifest, &[(1, 1)]).is_err());
    }
}
