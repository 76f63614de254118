//! Temporary trees that look like a machine.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::paths::Paths;

/// A prefix with a fake `/sys` and `/dev`.
#[derive(Debug)]
pub(crate) struct Tree {
    dir: tempfile::TempDir,
    pub(crate) paths: Paths,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths {
            prefix: dir.path().to_owned(),
            wait: Duration::ZERO,
            wait_siblings: Duration::ZERO,
        };
        fs::create_dir_all(dir.path().join("sys/class/block")).unwrap();
        Self { dir, paths }
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn file(&self, path: &str, bytes: &[u8]) {
        put(&self.at(path), bytes);
    }

    pub(crate) fn link(&self, path: &str, target: impl AsRef<Path>) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
    }

    /// A partition in sysfs with its node; an empty `name` is an MBR partition.
    pub(crate) fn partition(&self, disk: &str, name: &str, number: u32, label: &str, more: &str) {
        let folder = format!("sys/devices/{disk}/{name}");
        let mut uevent = format!("DEVNAME={name}\nDEVTYPE=partition\nPARTN={number}\n{more}");
        if !label.is_empty() {
            uevent.push_str("PARTNAME=");
            uevent.push_str(label);
            uevent.push('\n');
        }
        self.file(
            &format!("{folder}/partition"),
            format!("{number}\n").as_bytes(),
        );
        self.file(&format!("{folder}/uevent"), uevent.as_bytes());
        self.link(
            &format!("sys/class/block/{name}"),
            format!("../../devices/{disk}/{name}"),
        );
        self.file(&format!("dev/{name}"), b"");
    }
}

/// The beginning of an ext4 file system.
pub(crate) fn ext(label: &str) -> Vec<u8> {
    let mut bytes = vec![0_u8; 4096];
    bytes[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
    bytes[1024 + 0x78..][..label.len()].copy_from_slice(label.as_bytes());
    bytes
}

/// Writes a file and the directories above it.
#[expect(
    clippy::disallowed_methods,
    reason = "a fixture need not survive a power cut"
)]
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A web server that gives one answer (status, headers, body) to each connection; its address.
pub(crate) fn serve(answers: Vec<&'static str>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while request.read_line(&mut line).unwrap() > 2 {}
            write!(stream, "HTTP/1.1 {answer}").unwrap();
        }
    });
    format!("http://{address}/file")
}
