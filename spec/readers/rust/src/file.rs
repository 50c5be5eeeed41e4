//! Section 2: header and section table.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::conventions::{crc32, le16, le32, le64, Crc32, LARGEST};
use crate::error::{bad_header, limit_memory, unknown, Error, ErrorName, Result};

const SIGNATURE: [u8; 8] = *b"\x89CMD\r\n\x1A\n";
const VERSION: [u8; 2] = [0, 2];
const HEADER: u64 = 32;
const ENTRY: u64 = 32;
const MOST_SECTIONS: u32 = 65_536;
/// What the manifest, notes and labels may have when they are inflated.
const MOST_TEXT: u64 = 4 << 20;

pub(crate) const MANIFEST: u16 = 1;
pub(crate) const DATA: u16 = 2;
const NOTES: u16 = 3;
const LABELS: u16 = 4;

const DEFLATED: u16 = 1;
const ANCILLARY: u16 = 1 << 15;

/// An entry of the section table; it was checked that the stored bytes are in the file.
#[derive(Debug)]
pub(crate) struct Section {
    pub kind: u16,
    pub flags: u16,
    pub crc32: u32,
    pub offset: u64,
    pub stored: u64,
    pub decoded: u64,
    verified: AtomicBool,
}

impl Section {
    pub fn deflated(&self) -> bool {
        self.flags & DEFLATED != 0
    }

    /// The stored bytes of the section.
    pub fn bytes<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        &file[self.offset as usize..(self.offset + self.stored) as usize]
    }

    /// Check the CRC of the stored bytes, once.
    pub fn verify(&self, file: &[u8]) -> Result<()> {
        if !self.verified.load(Ordering::Relaxed) {
            if crc32(self.bytes(file)) != self.crc32 {
                return Err(Error::new(
                    ErrorName::Checksum,
                    format!("the section at byte {} is damaged", self.offset),
                ));
            }
            self.verified.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Check header, section table and padding, and return the sections.
pub(crate) fn sections(file: &[u8]) -> Result<Vec<Section>> {
    let size = file.len() as u64;
    let short = |what: &str| {
        let text = format!("the file has {size} bytes, {what}");
        Err(Error::new(ErrorName::Truncated, text))
    };
    // A beginning of the signature is a file cut short; nothing at all is no cmodel file.
    if file.is_empty() || !SIGNATURE.starts_with(&file[..file.len().min(8)]) {
        return Err(Error::new(
            ErrorName::BadSignature,
            "this is not a cmodel file",
        ));
    }
    if let Some(version) = file.get(8..10) {
        if version != VERSION {
            return Err(Error::new(
                ErrorName::BadVersion,
                format!("version {}.{} is not known", version[0], version[1]),
            ));
        }
    }
    if size < HEADER {
        return short("the header has 32");
    }
    let stated = le64(&file[16..]);
    if stated > LARGEST {
        return bad_header(format!("the stated size of {stated} bytes is too large"));
    }
    if size < stated {
        return short(&format!("{stated} are stated"));
    }
    if size > stated {
        return Err(Error::new(
            ErrorName::TrailingData,
            format!("the file has {size} bytes, {stated} are stated"),
        ));
    }
    let count = le32(&file[12..]);
    if count == 0 || count > MOST_SECTIONS {
        return bad_header(format!("there cannot be {count} sections"));
    }
    let table_end = HEADER + ENTRY * u64::from(count);
    if table_end > size {
        return short(&format!("the section table ends at byte {table_end}"));
    }
    let table = &file[HEADER as usize..table_end as usize];
    let mut crc = Crc32::default();
    crc.update(&file[..28]);
    crc.update(table);
    if crc.value() != le32(&file[28..]) {
        return Err(Error::new(
            ErrorName::Checksum,
            "header or section table are damaged",
        ));
    }
    if file[10] > 12 {
        return bad_header(format!("an alignment of 2^{} is too large", file[10]));
    }
    if file[11] != 0 || file[24..28] != [0; 4] {
        return bad_header("a byte of the header that must be zero is not");
    }
    let sections: Vec<Section> = table
        .chunks_exact(ENTRY as usize)
        .map(|entry| Section {
            kind: le16(entry),
            flags: le16(&entry[2..]),
            crc32: le32(&entry[4..]),
            offset: le64(&entry[8..]),
            stored: le64(&entry[16..]),
            decoded: le64(&entry[24..]),
            verified: AtomicBool::new(false),
        })
        .collect();
    check_places(file, &sections, table_end, 1 << file[10])?;
    check_kinds(&sections)?;
    Ok(sections)
}

/// Each section is at the first multiple of the alignment, after zeros; the last ends the file.
fn check_places(file: &[u8], sections: &[Section], start: u64, alignment: u64) -> Result<()> {
    let size = file.len() as u64;
    let mut end = start;
    for (i, section) in sections.iter().enumerate() {
        let offset = (end + alignment - 1) & !(alignment - 1);
        if section.offset != offset {
            return bad_header(format!("section {i} does not begin at byte {offset}"));
        }
        if offset > size || section.stored > size - offset {
            return bad_header(format!("section {i} goes beyond the end of the file"));
        }
        if file[end as usize..offset as usize].iter().any(|&b| b != 0) {
            return bad_header(format!("the padding before section {i} is not zero"));
        }
        end = offset + section.stored;
    }
    if end != size {
        return bad_header("the file does not end with its last section");
    }
    Ok(())
}

fn check_kinds(sections: &[Section]) -> Result<()> {
    for (i, section) in sections.iter().enumerate() {
        if section.flags & !(DEFLATED | ANCILLARY) != 0 {
            return bad_header(format!("section {i} has flags that must be zero"));
        }
        if section.decoded > LARGEST {
            return bad_header(format!("the decoded size of section {i} is too large"));
        }
        if !section.deflated() && section.decoded != section.stored {
            return bad_header(format!("section {i} has two sizes but is not deflated"));
        }
        let ancillary = section.flags & ANCILLARY != 0;
        match section.kind {
            MANIFEST | DATA | NOTES | LABELS => {
                if ancillary != (section.kind == NOTES || section.kind == LABELS) {
                    return bad_header(format!("section {i} has the wrong ancillary flag"));
                }
                if (section.kind == MANIFEST) != (i == 0) {
                    return bad_header("the first section, and no other, is the manifest");
                }
                if section.kind == DATA {
                    if section.deflated() {
                        return bad_header(format!("section {i} is data and deflated"));
                    }
                } else if section.decoded > MOST_TEXT {
                    return limit_memory(format!("section {i} has more than 4 MiB"));
                }
            }
            kind if !ancillary => {
                return unknown(format!("section {i} has the unknown type {kind}"));
            }
            _ if i == 0 => return bad_header("the first section is not the manifest"),
            _ => {}
        }
    }
    for kind in [NOTES, LABELS] {
        if sections.iter().filter(|s| s.kind == kind).count() > 1 {
            return bad_header(format!("there is more than one section of type {kind}"));
        }
    }
    Ok(())
}
