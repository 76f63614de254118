//! OVMF's store of variables as a file: what firmware and installer left in it, and what a test puts there.
//!
//! The format is that of EDK II (`MdeModulePkg/Include/Guid/VariableFormat.h`): a firmware volume whose first part is a
//! header and variables one after the other, each with the header for authenticated variables.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use uuid::{Uuid, uuid};

use crate::door;

/// The variables of the boot order belong to this vendor (`EFI_GLOBAL_VARIABLE`).
const GLOBAL: Uuid = uuid!("8be4df61-93ca-11d2-aa0d-00e098032b8c");
/// Variables of nobody, which take room.
const FILLER: Uuid = uuid!("6c616e64-6661-4c6c-8000-66696c6c6572");

/// Kept over a restart, seen by firmware and system.
const ATTRIBUTES: u32 = 7;
/// Begins a variable.
const START: [u8; 2] = [0xaa, 0x55];
/// State of a variable that is in force; one that was replaced or deleted has fewer bits.
const IN_FORCE: u8 = 0x3f;
/// Flash that was never written.
const ERASED: u8 = 0xff;
/// Length of the header of the store, and of that of a variable.
const STORE_HEADER: usize = 28;
const HEADER: usize = 60;

/// A store in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variables {
    /// Up to the first variable, as the file has it.
    head: Vec<u8>,
    found: Vec<Variable>,
    /// Bytes for variables.
    room: usize,
    /// What follows the variables; it belongs to the firmware.
    tail: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    vendor: Uuid,
    name: String,
    value: Vec<u8>,
    /// With header and padding.
    bytes: Vec<u8>,
}

impl Variables {
    /// Reads a store; only variables that are in force count.
    ///
    /// # Errors
    /// The file cannot be read, or is no such store.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&bytes).with_context(|| format!("{} is no store of variables", file.display()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| -> Option<usize> {
            let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        // A firmware volume says its signature, and in two bytes how long its header is.
        if bytes.get(40..44)? != b"_FVH" {
            return None;
        }
        let volume_header = number(48)? & 0xffff;
        let start = volume_header + STORE_HEADER;
        let end = volume_header + number(volume_header + 16)?;
        let (mut at, mut found) = (start, Vec::new());
        while at < end && bytes.get(at..at + 2)? == START {
            let (name, value) = (number(at + 36)?, number(at + 40)?);
            let length = (HEADER + name + value).next_multiple_of(4);
            let whole = bytes.get(at..at + length)?;
            if whole.get(2) == Some(&IN_FORCE) {
                let (units, _) = whole.get(HEADER..HEADER + name)?.as_chunks();
                let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
                found.push(Variable {
                    vendor: Uuid::from_slice_le(whole.get(44..HEADER)?).ok()?,
                    name: String::from_utf16(&units)
                        .ok()?
                        .trim_end_matches('\0')
                        .into(),
                    value: whole.get(HEADER + name..HEADER + name + value)?.to_vec(),
                    bytes: whole.to_vec(),
                });
            }
            at += length;
        }
        Some(Self {
            head: bytes.get(..start)?.to_vec(),
            found,
            room: end - start,
            tail: bytes.get(end..)?.to_vec(),
        })
    }

    /// The value of a variable of the boot order.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.found.iter();
        let found =
            found.find(|variable| (variable.vendor, variable.name.as_str()) == (GLOBAL, name));
        found.map(|variable| variable.value.as_slice())
    }

    /// The boot entries by their names, such as `Boot0007`.
    pub fn boot_entries(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let digits = |name: &str| name.len() == 4 && name.bytes().all(|c| c.is_ascii_hexdigit());
        let entries = self.found.iter().filter(move |variable| {
            let digits = variable.name.strip_prefix("Boot").is_some_and(digits);
            variable.vendor == GLOBAL && digits
        });
        entries.map(|variable| (variable.name.as_str(), variable.value.as_slice()))
    }

    /// The names of the boot entries in the order in which the firmware tries them.
    pub fn boot_order(&self) -> Vec<String> {
        let (units, _) = self.get("BootOrder").unwrap_or_default().as_chunks();
        let numbers = units.iter().map(|unit| u16::from_le_bytes(*unit));
        numbers.map(|number| format!("Boot{number:04X}")).collect()
    }

    /// Adds a variable of the boot order that is not there yet.
    ///
    /// # Errors
    /// It is there, or has no room.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<()> {
        ensure!(self.get(name).is_none(), "{name} is there");
        self.put(GLOBAL, name, value)
    }

    fn put(&mut self, vendor: Uuid, name: &str, value: &[u8]) -> Result<()> {
        let name_bytes: Vec<u8> = name
            .encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let mut bytes = START.to_vec();
        bytes.extend([IN_FORCE, 0]);
        bytes.extend(ATTRIBUTES.to_le_bytes());
        // No counter, time and key: it is not authenticated.
        bytes.resize(36, 0);
        for length in [name_bytes.len(), value.len()] {
            bytes.extend(u32::try_from(length)?.to_le_bytes());
        }
        bytes.extend(vendor.to_bytes_le());
        bytes.extend(&name_bytes);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), ERASED);
        ensure!(bytes.len() <= self.left(), "no room for {name}");
        self.found.push(Variable {
            vendor,
            name: name.to_owned(),
            value: value.to_vec(),
            bytes,
        });
        Ok(())
    }

    /// Bytes that are free.
    pub fn left(&self) -> usize {
        let used = self.found.iter().map(|variable| variable.bytes.len());
        self.room.saturating_sub(used.sum())
    }

    /// Adds variables until `left` bytes are free, or up to three less.
    ///
    /// # Errors
    /// So little is to be filled that no variable fits there.
    pub fn fill(&mut self, left: usize) -> Result<()> {
        const OVERHEAD: usize = HEADER + "Filler000\0".len() * 2;
        // Firmware has a limit for one variable.
        const ONE: usize = 4096;
        for number in 0.. {
            let over = self.left().saturating_sub(left);
            if over == 0 {
                break;
            }
            // The last one takes the whole rest, so that none is left that is too small for a variable.
            let take = if over < 2 * ONE { over } else { ONE };
            let value = take.checked_sub(OVERHEAD).context("too little to fill")?;
            let name = format!("Filler{number:03}");
            self.put(FILLER, &name, &vec![0x5a; value])?;
        }
        Ok(())
    }

    /// Writes the store, without variables that are no longer in force.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        door::write_file(file, &self.bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        bytes.extend(self.found.iter().flat_map(|variable| &variable.bytes));
        bytes.resize(self.head.len() + self.room, ERASED);
        bytes.extend(&self.tail);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store with room for 1000 bytes, as a firmware volume.
    fn store() -> Vec<u8> {
        let mut bytes = vec![0; 72];
        bytes[40..44].copy_from_slice(b"_FVH");
        bytes[48] = 72;
        bytes.extend([0x11; 16]);
        bytes.extend(1028_u32.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.resize(72 + 1028, ERASED);
        bytes.extend(b"of the firmware");
        bytes
    }

    #[test]
    fn what_was_added_is_read_again_and_what_is_no_longer_in_force_is_not() {
        let empty = Variables::parse(&store()).unwrap();
        assert_eq!((empty.left(), empty.bytes()), (1000, store()));
        let mut some = empty.clone();
        some.add("Boot00AF", b"an entry").unwrap();
        some.add("BootNext", &[1, 0]).unwrap();
        some.add("BootOrder", &[0xaf, 0, 1, 0]).unwrap();
        assert!(some.add("BootOrder", &[]).is_err());
        let bytes = some.bytes();
        let read = Variables::parse(&bytes).unwrap();
        assert_eq!(read, some);
        assert_eq!(read.boot_order(), ["Boot00AF", "Boot0001"]);
        let entries: Vec<_> = read.boot_entries().collect();
        assert_eq!(entries, [("Boot00AF", b"an entry".as_slice())]);
        assert!(bytes.ends_with(b"of the firmware"));

        let mut deleted = bytes;
        deleted[100 + 2] = 0x3c;
        let read = Variables::parse(&deleted).unwrap();
        assert_eq!(read.get("Boot00AF"), None);
        assert_eq!(read.get("BootNext"), Some([1, 0].as_slice()));
    }

    #[test]
    fn a_filled_store_has_the_room_that_was_asked_for_and_no_more() {
        for left in [0, 3, 500, 920] {
            let mut store = Variables::parse(&store()).unwrap();
            store.fill(left).unwrap();
            assert_eq!(store.left(), left / 4 * 4);
            assert!(store.add("Boot0000", &vec![0; left]).is_err());
            assert_eq!(Variables::parse(&store.bytes()).unwrap(), store);
        }
        let mut store = Variables::parse(&store()).unwrap();
        assert!(store.fill(960).is_err());
        store.room = 100_000;
        store.fill(1234).unwrap();
        assert_eq!(store.left(), 1232);
    }

    #[test]
    fn what_is_no_store_is_not_taken_for_one() {
        for length in [0, 60, 90, 1000] {
            assert_eq!(Variables::parse(&store()[..length]), None, "{length}");
        }
        assert_eq!(Variables::parse(&[0; 2000]), None);
    }
}
