//! The chunks that Huffman and rANS streams have in common (sections 7.3 and 8.2).

use crate::conventions::{crc32, le32, Cursor};
use crate::error::{bad_stream, Error, ErrorName, Result};

/// Integers that are one chunk, which nothing announces.
pub(crate) const SMALL: usize = 4096;

/// Decode integers chunk by chunk: cut `out` into chunks of 2^`log`, and give each with its bytes.
pub(crate) fn each(
    mut stream: Cursor,
    log: u32,
    out: &mut [u16],
    mut decode: impl FnMut(&[u8], &mut [u16]) -> Result<()>,
) -> Result<()> {
    let size = 1usize << log;
    if out.len() <= size {
        return decode(stream.rest(), out);
    }
    let chunks = (out.len() - 1) / size + 1;
    let table = stream.take(chunks.saturating_mul(8))?;
    for (i, (entry, part)) in table.chunks_exact(8).zip(out.chunks_mut(size)).enumerate() {
        let bytes = stream.take(le32(entry) as usize)?;
        if crc32(bytes) != le32(&entry[4..]) {
            let text = format!("chunk {i} of a stream is damaged");
            return Err(Error::new(ErrorName::Checksum, text));
        }
        decode(bytes, part)?;
    }
    if stream.is_empty() {
        Ok(())
    } else {
        bad_stream("bytes follow the last chunk of a stream")
    }
}
