//! The product's events: JSON lines (`docs/interfaces.md`, "Events") as they arrive in a growing file.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

/// One event, and when this side saw it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The whole JSON object.
    pub json: Value,
    /// When the line was read here; at most a quarter of a second after it was written.
    pub seen: Instant,
}

impl Event {
    /// The field `event`, or an empty text.
    pub fn name(&self) -> &str {
        self.text("event")
    }

    /// A text field, or an empty text.
    pub fn text(&self, field: &str) -> &str {
        self.json
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A numeric field, if it is there.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.json.get(field).and_then(Value::as_f64)
    }

    /// Whether this is the event `name` with the text `value` in `field`.
    pub fn is(&self, name: &str, field: &str, value: &str) -> bool {
        self.name() == name && self.text(field) == value
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.json.fmt(f)
    }
}

/// Reads events from a file that grows while it is read.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
    events: Vec<Event>,
    unreadable: Vec<String>,
}

impl EventFile {
    /// Starts at the beginning of `path`, which may not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            offset: 0,
            rest: Vec::new(),
            events: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Where the lines are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that arrived so far, oldest first.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn read(&mut self) -> Result<&[Event]> {
        if let Ok(mut file) = File::open(&self.path) {
            let before = self.rest.len();
            file.seek(SeekFrom::Start(self.offset))
                .and_then(|_| file.read_to_end(&mut self.rest))
                .with_context(|| format!("reading {}", self.path.display()))?;
            self.offset += u64::try_from(self.rest.len() - before)?;
            self.split(Instant::now());
        }
        Ok(&self.events)
    }

    /// Lines that were not JSON objects: a writer that was cut off, or a mistake of the product.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    fn split(&mut self, seen: Instant) {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        for line in lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
        {
            match serde_json::from_slice::<Value>(line) {
                Ok(json) if json.is_object() => self.events.push(Event { json, seen }),
                _ => self
                    .unreadable
                    .push(String::from_utf8_lossy(line).into_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_line_counts_when_it_is_whole_and_garbage_is_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let mut log = EventFile::new(&path);
        assert_eq!(log.read().unwrap().len(), 0, "no file yet");

        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        file.write_all(b"{\"v\":1,\"event\":\"step\",\"text\":\"wri")
            .unwrap();
        assert_eq!(log.read().unwrap().len(), 0, "half a line");
        file.write_all(b"te\",\"index\":3}\r\n\n{\"v\":1,\"event\":\n")
            .unwrap();
        let events = log.read().unwrap();
        assert_eq!(events.len(), 1);
        assert!(events[0].is("step", "text", "write"));
        assert_eq!(events[0].number("index"), Some(3.0));
        assert_eq!(events[0].text("missing"), "");
        assert_eq!(log.unreadable(), ["{\"v\":1,\"event\":"]);
    }
}
