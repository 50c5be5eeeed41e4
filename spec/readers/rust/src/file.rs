//! Section 2: header and section table.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::conventions::{crc32, le32, Crc32, Cursor};
use crate::error::{bad_header, limit_memory, unknown, Error, ErrorName, Result};

const SIGNATURE: [u8; 8] = *b"\x89CMD\r\n\x1A\n";
const MAJOR: u8 = 1;
const HEADER: usize = 20;
const MOST_SECTIONS: usize = 65_536;
/// What the manifest, notes and labels may have when they are inflated.
const MOST_TEXT: u64 = 4 << 20;

pub(crate) const MANIFEST: u16 = 1;
pub(crate) const DATA: u16 = 2;
const NOTES: u16 = 3;
const LABELS: u16 = 4;

const DEFLATED: u8 = 1;
const PRESET: u8 = 2;
const RESERVED: u8 = 4;
const ANCILLARY: u8 = 8;

/// An entry of the section table; it was checked that the stored bytes are in the file.
#[derive(Debug)]
pub(crate) struct Section {
    pub kind: u16,
    pub flags: u8,
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

    /// Whether the preset dictionary comes before what is deflated.
    pub fn preset(&self) -> bool {
        self.flags & PRESET != 0
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
    if let Some(&major) = file.get(8) {
        if major != MAJOR {
            let minor = file.get(9).copied().unwrap_or(0);
            return Err(Error::new(
                ErrorName::BadVersion,
                format!("version {major}.{minor} is not known, only {MAJOR}.x"),
            ));
        }
    }
    if size < HEADER as u64 {
        return short("the header has 20");
    }
    let end = HEADER as u64 + u64::from(le32(&file[12..]));
    if end > size {
        return short(&format!("the section table ends at byte {end}"));
    }
    let table = &file[HEADER..end as usize];
    let mut crc = Crc32::default();
    crc.update(&file[..16]);
    crc.update(table);
    if crc.value() != le32(&file[16..]) {
        return Err(Error::new(
            ErrorName::Checksum,
            "header or section table are damaged",
        ));
    }
    if file[10] > 12 {
        return bad_header(format!("an alignment of 2^{} is too large", file[10]));
    }
    if file[11] != 0 {
        return bad_header("a byte of the header that must be zero is not");
    }
    let mut cursor = Cursor::new(table, ErrorName::BadHeader);
    let mut sections = Vec::new();
    while !cursor.is_empty() {
        if sections.len() == MOST_SECTIONS {
            return bad_header("there are more than 65,536 sections");
        }
        sections.push(entry(&mut cursor)?);
    }
    if sections.is_empty() {
        return bad_header("there are no sections");
    }
    check_kinds(&sections)?;
    place(file, &mut sections, end, 1 << file[10])?;
    Ok(sections)
}

/// An entry of the table; where its section lies is not yet known.
fn entry(cursor: &mut Cursor) -> Result<Section> {
    let head = cursor.varint()?;
    if head >> 4 > u64::from(u16::MAX) {
        return bad_header(format!("a section has the type {}", head >> 4));
    }
    let flags = (head & 15) as u8;
    let stored = cursor.varint()?;
    let decoded = if flags & DEFLATED != 0 {
        cursor.varint()?
    } else {
        stored
    };
    Ok(Section {
        kind: (head >> 4) as u16,
        flags,
        crc32: cursor.u32()?,
        offset: 0,
        stored,
        decoded,
        verified: AtomicBool::new(false),
    })
}

/// Each section is at the first multiple of the alignment, after zeros; the last ends the file.
fn place(file: &[u8], sections: &mut [Section], start: u64, alignment: u64) -> Result<()> {
    let size = file.len() as u64;
    let mut end = start;
    for (i, section) in sections.iter_mut().enumerate() {
        let offset = (end + alignment - 1) & !(alignment - 1);
        if offset > size || section.stored > size - offset {
            return Err(Error::new(
                ErrorName::Truncated,
                format!("section {i} goes beyond the end of the file"),
            ));
        }
        if file[end as usize..offset as usize].iter().any(|&b| b != 0) {
            return bad_header(format!("the padding before section {i} is not zero"));
        }
        section.offset = offset;
        end = offset + section.stored;
    }
    if end != size {
        return Err(Error::new(
            ErrorName::TrailingData,
            format!("the file has {size} bytes, its last section ends at {end}"),
        ));
    }
    Ok(())
}

fn check_kinds(sections: &[Section]) -> Result<()> {
    for (i, section) in sections.iter().enumerate() {
        let ancillary = section.flags & ANCILLARY != 0;
        match section.kind {
            MANIFEST | DATA | NOTES | LABELS => {
                if section.flags & RESERVED != 0 {
                    return unknown(format!("section {i} has flag bit 2, which is not known"));
                }
                if section.preset() && !section.deflated() {
                    return bad_header(format!("section {i} has a dictionary and is not deflated"));
                }
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
