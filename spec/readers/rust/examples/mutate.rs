//! `mutate COUNT SEED FILE...`: damage each file COUNT times at random and read what comes of it.
//!
//! Half of the damaged files get their CRCs made right again, so that what lies behind them is
//! reached. Prints how often each outcome came as `name count` lines; a panic ends the run.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::process::ExitCode;

use cmodel_read::{crc32, Container, Crc32, Limits};

/// Numbers that are random enough (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % limit.max(1) as u64) as usize
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (count, seed) = match (
        arguments.first().and_then(|a| a.parse::<usize>().ok()),
        arguments.get(1).and_then(|a| a.parse::<u64>().ok()),
    ) {
        (Some(count), Some(seed)) => (count, seed),
        _ => {
            eprintln!("usage: mutate COUNT SEED FILE...");
            return ExitCode::from(2);
        }
    };
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for path in &arguments[2..] {
        let original = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                eprintln!("cannot read {path}: {error}");
                return ExitCode::from(1);
            }
        };
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..count {
            let mut file = original.clone();
            damage(&mut file, &mut random);
            if random.below(2) == 0 {
                reseal(&mut file);
            }
            *outcomes.entry(read_all(&file)).or_insert(0) += 1;
        }
    }
    for (name, count) in outcomes {
        println!("{name} {count}");
    }
    ExitCode::SUCCESS
}

/// Change a few places: a bit, a byte, a run of bytes from elsewhere; or cut or grow the file.
fn damage(file: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        if file.is_empty() {
            return;
        }
        let at = random.below(file.len());
        match random.below(10) {
            0..=3 => file[at] ^= 1 << random.below(8),
            4..=6 => file[at] = random.below(256) as u8,
            7 => {
                let size = 1 + random.below(16).min(file.len() - at - 1);
                let from = random.below(file.len() - size + 1);
                file.copy_within(from..from + size, at);
            }
            8 => file[at] = [0, 0x7F, 0x80, 0xFF][random.below(4)],
            _ => match random.below(8) {
                0 => file.truncate(at),
                1 => file.push(0),
                _ => {
                    let end = (at + 1 + random.below(8)).min(file.len());
                    file[at..end].fill(0xFF);
                }
            },
        }
    }
}

/// Make the CRCs of header and sections right, where a section table can be found.
fn reseal(file: &mut [u8]) {
    if file.len() < 20 {
        return;
    }
    file[..10].copy_from_slice(b"\x89CMD\r\n\x1A\n\x01\x00");
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
    let table_end = 20 + number(&file[12..16]) as usize;
    if table_end > file.len() {
        return;
    }
    let unit = 1usize << (file[10] % 13);
    let (mut at, mut end) = (20, table_end);
    while let Some((stored, crc_at)) = entry(&file[..table_end], at) {
        let start = (end + unit - 1) / unit * unit;
        end = start.saturating_add(stored);
        if end > file.len() {
            break;
        }
        let crc = crc32(&file[start..end]);
        file[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        at = crc_at + 4;
    }
    let mut crc = Crc32::default();
    crc.update(&file[..16]);
    crc.update(&file[20..table_end]);
    file[16..20].copy_from_slice(&crc.value().to_le_bytes());
}

/// The entry of the table at a place: the stored size, and where its CRC is.
fn entry(table: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut varint = || {
        let mut value = 0usize;
        for shift in (0..56).step_by(7) {
            let byte = *table.get(at)?;
            at += 1;
            value |= usize::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    };
    let head = varint()?;
    let stored = varint()?;
    if head & 1 != 0 {
        varint()?;
    }
    if at + 4 > table.len() {
        return None;
    }
    Some((stored, at))
}

/// Read everything, each tensor even where one before is bad; return the first outcome.
fn read_all(file: &[u8]) -> &'static str {
    let limits = Limits {
        max_memory: 16 << 20,
    };
    let container = match Container::open(file, limits) {
        Ok(container) => container,
        Err(error) => return error.name.as_str(),
    };
    let mut outcome = container
        .verify()
        .map_or_else(|e| e.name.as_str(), |()| "ok");
    for tensor in container.tensors() {
        if let Some(Err(error)) = container.decode_bits(&tensor.name) {
            if outcome == "ok" {
                outcome = error.name.as_str();
            }
        }
    }
    outcome
}
