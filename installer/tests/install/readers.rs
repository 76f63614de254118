//! Programs that know nothing of Landfall and say what is on a disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use host::{Argv, Host as _, Linux, LoopRequest};

/// Runs a program that must succeed and gives what it said.
pub(crate) fn run(argv: &Argv) -> String {
    Linux
        .run(argv)
        .unwrap_or_else(|error| panic!("{argv}: {error:#}"))
        .stdout
}

/// The value behind `name:` in what a program printed as a table of facts.
pub(crate) fn fact<'a>(said: &'a str, name: &str) -> &'a str {
    said.lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {name} in {said}"))
        .trim()
}

/// What `sgdisk` says of a partition.
pub(crate) fn sgdisk(disk: &Path, number: u32) -> String {
    run(&Argv::new("sgdisk")
        .arg(format!("--info={number}"))
        .arg(disk))
}

fn number_in(text: &str) -> u64 {
    let digits = text.split(' ').next().unwrap_or_default();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("{text} begins with no number"))
}

/// First byte and length of a partition, from the table on the disk.
pub(crate) fn extent(disk: &Path, number: u32) -> (u64, u64) {
    let said = sgdisk(disk, number);
    let sectors = |name| number_in(fact(&said, name)) * 512;
    (sectors("First sector"), sectors("Partition size"))
}

/// A partition as a loop device, read-only but for `writable`, at the place that `sgdisk` tells.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) node: PathBuf,
}

impl Part {
    pub(crate) fn of(disk: &Path, number: u32) -> Self {
        let (offset, size) = extent(disk, number);
        Self::at(disk, offset, Some(size), None)
    }

    /// A part of a disk, or with a length of `None` its rest, with sectors of another size.
    pub(crate) fn at(
        disk: &Path,
        offset: u64,
        size: Option<u64>,
        sector_size: Option<u32>,
    ) -> Self {
        let request = LoopRequest {
            file: disk.to_owned(),
            offset,
            size,
            read_only: true,
            sector_size,
        };
        Self {
            node: Linux.attach_loop(&request).unwrap(),
        }
    }

    /// A partition that a program may change.
    pub(crate) fn writable(disk: &Path, number: u32) -> Self {
        let (offset, size) = extent(disk, number);
        let request = LoopRequest {
            file: disk.to_owned(),
            offset,
            size: Some(size),
            read_only: false,
            sector_size: None,
        };
        Self {
            node: Linux.attach_loop(&request).unwrap(),
        }
    }

    /// A program on this partition.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> String {
        run(&Argv::new(program).args(args).arg(&self.node))
    }

    /// A command of `debugfs`.
    pub(crate) fn debugfs(&self, command: &str) -> String {
        self.run("debugfs", &["-R", command])
    }

    /// What `blkid` finds in the superblock under `tag`.
    pub(crate) fn blkid(&self, tag: &str) -> String {
        let said = self.run("blkid", &["--probe", "-o", "value", "-s", tag]);
        said.trim().to_owned()
    }

    /// Every file and folder of a FAT file system, sorted.
    pub(crate) fn mdir(&self) -> Vec<String> {
        let argv = Argv::new("mdir").args(["-/", "-b", "-i"]);
        let said = run(&argv.arg(&self.node));
        let mut found: Vec<String> = said
            .lines()
            .map(|line| line.trim_start_matches("::/").to_owned())
            .collect();
        found.sort_unstable();
        found
    }

    /// A file of a FAT file system.
    pub(crate) fn mtype(&self, path: &str) -> String {
        let argv = Argv::new("mtype").arg("-i").arg(&self.node);
        run(&argv.arg(format!("::{path}")))
    }

    /// Every file of an ext4 file system, taken out by `debugfs`, below `to`.
    pub(crate) fn files(&self, to: &Path) -> BTreeMap<String, File> {
        fs::create_dir_all(to).unwrap();
        self.debugfs(&format!("rdump / {}", to.display()));
        tree(to)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(Linux.detach_loop(&self.node));
    }
}

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) bytes: Vec<u8>,
}

/// Every regular file below a folder, by its path in it.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, File> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let facts = fs::symlink_metadata(&path).unwrap();
        if facts.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(folder).unwrap();
            let file = File {
                mode: facts.mode() & 0o7777,
                owner: (facts.uid(), facts.gid()),
                bytes: fs::read(&path).unwrap(),
            };
            found.insert(name.display().to_string(), file);
        }
    }
    found
}

/// The first 512 bytes of a disk.
pub(crate) fn boot_sector(disk: &Path) -> [u8; 512] {
    use std::os::unix::fs::FileExt as _;
    let mut sector = [0; 512];
    fs::File::open(disk)
        .unwrap()
        .read_exact_at(&mut sector, 0)
        .unwrap();
    sector
}

/// Sector 0 of a GPT disk that no BIOS starts: no code or code that only says so, and an entry over the whole disk
/// without the active flag.
#[track_caller]
pub(crate) fn assert_not_bootable(disk: &Path) {
    let sector = boot_sector(disk);
    let code = String::from_utf8_lossy(&sector[..440]);
    assert!(
        code.trim_matches('\0').is_empty() || code.contains("did not finish"),
        "sector 0 has boot code: {code:?}"
    );
    // An empty entry is fine as well: the run ended between wiping and the table.
    let entry = &sector[446..462];
    assert_eq!(entry[0], 0, "the protective entry is active");
    assert!(matches!(entry[4], 0 | 0xee), "type {:#x}", entry[4]);
}
