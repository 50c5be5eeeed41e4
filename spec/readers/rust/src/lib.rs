//! A reader of the cmodel container format, written from `spec/cmodel-format.md` alone.
//!
//! The modules stand in the order of the document:
//!
//! | module | section |
//! |---|---|
//! | `conventions`, `inflate` | 1 |
//! | `file` | 2 |
//! | `manifest` | 3 |
//! | `directory` | 4 |
//! | `forms` | 5 |
//! | `streams` | 6 |
//! | `huffman`, `chunks` | 7 |
//! | `rans` | 8 |
//! | `range`, `mask` | 9 |
//! | `contexts` | 10 |
//! | `error` | 12 |
//!
//! No input makes it panic: what is wrong is an [`Error`] with a normative name.

#![forbid(unsafe_code)]

mod chunks;
mod contexts;
mod conventions;
mod directory;
mod error;
mod file;
mod forms;
mod huffman;
mod inflate;
mod manifest;
mod mask;
mod range;
mod rans;
mod streams;

use std::borrow::Cow;
use std::collections::HashMap;

pub use conventions::{crc32, crc32_of_words, Crc32};
pub use error::{Error, ErrorName, Result};

use directory::{product, Entry};
use error::{bad_manifest, limit_memory};
use file::Section;
use forms::Form;
use manifest::Manifest;

/// What a reader allows (section 11).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of float32 that all tensors together may decode to, and that any array which decoding
    /// needs may have.
    pub max_memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_memory: 4 << 30,
        }
    }
}

/// Something that can be decoded: a tensor, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<u64>,
    entry: usize,
    is_rotation: bool,
}

/// An open container. Header, section table and manifest are checked; the rest is when decoded.
pub struct Container<'a> {
    file: &'a [u8],
    sections: Vec<Section>,
    /// The indices of the data sections.
    data: Vec<usize>,
    entries: Vec<Entry>,
    tensors: Vec<Tensor>,
    by_name: HashMap<String, usize>,
}

impl<'a> Container<'a> {
    /// Open a container that is in memory.
    pub fn open(file: &'a [u8], limits: Limits) -> Result<Container<'a>> {
        let sections = file::sections(file)?;
        let first = &sections[0];
        first.verify(file)?;
        let text = section_text(first, file, limits)?;
        let manifest = Manifest::parse(&text)?;

        let data: Vec<usize> = (0..sections.len())
            .filter(|&i| sections[i].kind == file::DATA)
            .collect();
        let places: Vec<&Section> = data.iter().map(|&i| &sections[i]).collect();
        let (entries, largest_part) = directory::parse(&manifest, &places, limits.max_memory)?;

        let tensors = list(&entries);
        let mut total = 0u64;
        for tensor in &tensors {
            total = total.saturating_add(product(&tensor.shape)?.saturating_mul(4));
        }
        let needed = total.max(largest_part);
        if needed > limits.max_memory {
            return limit_memory(format!(
                "decoding takes {needed} bytes where {} are allowed",
                limits.max_memory
            ));
        }
        let by_name = (0..tensors.len())
            .map(|i| (tensors[i].name.clone(), i))
            .collect();
        Ok(Container {
            file,
            sections,
            data,
            entries,
            tensors,
            by_name,
        })
    }

    /// The tensors in the order of the file. A rotated Product is listed as two parts, and a
    /// parameter that several layers share once, under its owner.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Decode a tensor to the bit patterns of its float32 values, and check its CRC; `None` where
    /// no tensor has the name.
    pub fn decode_bits(&self, name: &str) -> Option<Result<Vec<u32>>> {
        let tensor = &self.tensors[*self.by_name.get(name)?];
        Some(self.decode_tensor(tensor).map_err(|e| e.at(name)))
    }

    /// Decode a tensor to floats; `None` where no tensor has the name. Where floats pass through
    /// x87 registers, signalling NaNs keep their bits only in `decode_bits`.
    pub fn decode(&self, name: &str) -> Option<Result<Vec<f32>>> {
        let bits = self.decode_bits(name)?;
        Some(bits.map(|bits| bits.into_iter().map(f32::from_bits).collect()))
    }

    /// Check the CRC of every section.
    pub fn verify(&self) -> Result<()> {
        self.sections
            .iter()
            .try_for_each(|section| section.verify(self.file))
    }

    fn decode_tensor(&self, tensor: &Tensor) -> Result<Vec<u32>> {
        let entry = &self.entries[tensor.entry];
        for &section in &entry.sections {
            self.sections[self.data[section]].verify(self.file)?;
        }
        match (&entry.form, tensor.is_rotation) {
            (Form::Product(product), true) => match &product.rotation {
                Some(rotation) => rotation.decode(self.file),
                None => Ok(Vec::new()),
            },
            (form, _) => {
                let bits = form.decode(self.file)?;
                if crc32_of_words(&bits) == entry.crc32 {
                    Ok(bits)
                } else {
                    Err(Error::new(
                        ErrorName::Checksum,
                        "the tensor decodes to something else",
                    ))
                }
            }
        }
    }
}

/// The decoded bytes of the manifest.
fn section_text<'a>(section: &Section, file: &'a [u8], limits: Limits) -> Result<Cow<'a, [u8]>> {
    let bytes = section.bytes(file);
    if !section.deflated() {
        return Ok(Cow::Borrowed(bytes));
    }
    if section.decoded > limits.max_memory {
        return limit_memory("the manifest takes more memory than is allowed");
    }
    let preset = if section.preset() {
        inflate::PRESET
    } else {
        &[]
    };
    match inflate::inflate(bytes, preset, section.decoded) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(error) if error.name == ErrorName::BadStream => bad_manifest(error.explanation),
        Err(error) => Err(error),
    }
}

/// What a file lists: its tensors, rotated Products in parts (section 5.5).
fn list(entries: &[Entry]) -> Vec<Tensor> {
    let mut tensors = Vec::with_capacity(entries.len());
    for (entry, stored) in entries.iter().enumerate() {
        let mut add = |name: String, shape: Vec<u64>, is_rotation: bool| {
            tensors.push(Tensor {
                name,
                shape,
                entry,
                is_rotation,
            });
        };
        match &stored.form {
            Form::Product(product) if product.rotation.is_some() => {
                let width = product.width();
                add(
                    format!("{}:blocks", stored.name),
                    product.blocks_shape(),
                    false,
                );
                add(
                    format!("{}:rotation", stored.name),
                    vec![width, width],
                    true,
                );
            }
            _ => add(stored.name.clone(), stored.shape.clone(), false),
        }
    }
    tensors
}
