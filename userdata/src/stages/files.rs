//! Files and directories of a step.

use std::io::{self, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde::Serialize;

use super::schema::ENCODINGS;
use crate::finding::{Findings, Rule};
use crate::hint::did_you_mean;
use crate::key_path::KeyPath;
use crate::place::check_path;
use crate::secret::Secret;
use crate::tree::{Node, Value};

/// The highest mode: `suid`, `sgid`, sticky and the nine permissions.
const MAX_MODE: u32 = 0o7777;

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// `path`: absolute and clean.
    pub path: String,
    /// `permissions` as a mode, at most `0o7777`.
    pub permissions: Option<u32>,
    /// `owner`: a user id.
    pub owner: Option<u32>,
    /// `group`: a group id.
    pub group: Option<u32>,
    /// `ownerstring`: `user` or `user:group` by name.
    pub ownerstring: Option<String>,
    /// `content` as it is in the document; see [`File::bytes`].
    pub content: Secret,
    /// `encoding` of the content.
    pub encoding: Encoding,
}

/// How the content of a file is written in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As it is.
    #[default]
    Plain,
    /// In base64, lines and blanks allowed.
    Base64,
    /// Compressed by gzip, then in base64.
    #[serde(rename = "gzip+base64")]
    GzipBase64,
}

impl File {
    /// The bytes of the file. The encoding was checked when the document was read.
    pub fn bytes(&self) -> Vec<u8> {
        match self.encoding {
            Encoding::Plain => self.content.reveal().as_bytes().to_vec(),
            Encoding::Base64 => decode(self.content.reveal()).unwrap_or_default(),
            Encoding::GzipBase64 => decode(self.content.reveal())
                .and_then(|compressed| inflate(&compressed))
                .unwrap_or_default(),
        }
    }
}

/// A directory to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directory {
    /// `path`: absolute and clean.
    pub path: String,
    /// `permissions` as a mode, at most `0o7777`.
    pub permissions: Option<u32>,
    /// `owner`: a user id.
    pub owner: Option<u32>,
    /// `group`: a group id.
    pub group: Option<u32>,
}

pub(super) fn read_directories(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> Vec<Directory> {
    let directories = step.key("directories");
    let read = |(index, item): (usize, &Node)| {
        let path = directories.item(index);
        Some(Directory {
            path: read_path(item, &path, findings)?,
            permissions: read_mode(item, &path, findings),
            owner: read_id(item, "owner", &path, findings),
            group: read_id(item, "group", &path, findings),
        })
    };
    node.map(Node::items)
        .unwrap_or_default()
        .iter()
        .enumerate()
        .filter_map(read)
        .collect()
}

pub(super) fn read_files(
    node: Option<&Node>,
    step: &KeyPath<'_>,
    findings: &mut Findings,
) -> Vec<File> {
    let path = step.key("files");
    let items = node.map(Node::items).unwrap_or_default().iter().enumerate();
    items
        .filter_map(|(index, item)| read_file(item, &path.item(index), findings))
        .collect()
}

/// Reads a file of a step, or one of cloud-init's `write_files`, whose `owner` is a text.
pub(super) fn read_file(item: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<File> {
    let content = item.text_at("content").unwrap_or_default();
    let encoding = read_encoding(item, &content, path, findings)?;
    Some(File {
        path: read_path(item, path, findings)?,
        permissions: read_mode(item, path, findings),
        owner: read_id(item, "owner", path, findings),
        group: read_id(item, "group", path, findings),
        ownerstring: item
            .text_at("ownerstring")
            .or_else(|| item.text_at("owner")),
        content: Secret::new(content),
        encoding,
    })
}

fn read_path(item: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<String> {
    let Some(node) = item.at(&["path"]) else {
        findings.error(
            Rule::Empty,
            item.position,
            path,
            "there is no path",
            "write `path: /...`",
        );
        return None;
    };
    check_path(node, &path.key("path"), findings);
    node.as_text().map(str::to_owned)
}

fn read_encoding(
    item: &Node,
    content: &str,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<Encoding> {
    let Some(node) = item.at(&["encoding"]) else {
        return Some(Encoding::Plain);
    };
    let text = node.as_text()?;
    let (encoding, fault) = match text {
        "" | "text/plain" => return Some(Encoding::Plain),
        "b64" | "base64" => {
            let good = decode(content).is_some();
            (
                Encoding::Base64,
                (!good).then_some("the content is not base64"),
            )
        }
        "gz+base64" | "gzip+base64" | "gz+b64" | "gzip+b64" => {
            (Encoding::GzipBase64, compression_fault(content))
        }
        _ => {
            refuse_encoding(text, node, path, findings);
            return None;
        }
    };
    let Some(reason) = fault else {
        return Some(encoding);
    };
    let at = item.at(&["content"]).unwrap_or(node).position;
    findings.error(Rule::Value, at, path.key("content"), reason, "");
    None
}

fn refuse_encoding(text: &str, node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    let (reason, advice) = match text {
        "gz" | "gzip" => (
            "compressed bytes cannot stand in a text".to_owned(),
            "write the content in base64 and `gz+base64` here",
        ),
        other => {
            let near = did_you_mean(other, ENCODINGS.iter().copied());
            let advice = near.map_or(
                "write `base64` or remove the key",
                |_| "write `base64` or `gz+base64`",
            );
            (format!("`{other}` is no encoding"), advice)
        }
    };
    let path = path.key("encoding");
    findings.error(Rule::Value, node.position, path, &reason, advice);
}

/// The largest file that may come out of compressed content: a small text must not become an endless one.
const MAX_INFLATED: u64 = 8 << 20;

fn compression_fault(content: &str) -> Option<&'static str> {
    let Some(compressed) = decode(content) else {
        return Some("the content is not base64");
    };
    // Counted and thrown away: the bytes are needed only when the file is written.
    let mut reader = GzDecoder::new(compressed.as_slice()).take(MAX_INFLATED.saturating_add(1));
    match io::copy(&mut reader, &mut io::sink()) {
        Ok(length) if length > MAX_INFLATED => Some("the content is larger than 8 MiB"),
        Ok(_) => None,
        Err(_) => Some("the content is not compressed by gzip, or not whole"),
    }
}

fn inflate(compressed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut reader = GzDecoder::new(compressed).take(MAX_INFLATED);
    reader.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn decode(content: &str) -> Option<Vec<u8>> {
    let dense: String = content.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(dense).ok()
}

/// Reads a mode as its author means it: `0644`, `"0644"` and `0o644` are octal. A plain `644` is decimal to every
/// reader, that is, octal 1204; nobody means that, so it is refused.
pub(super) fn read_mode(item: &Node, path: &KeyPath<'_>, findings: &mut Findings) -> Option<u32> {
    let node = item.at(&["permissions"])?;
    let text = node.as_scalar()?;
    let path = path.key("permissions");
    let octal = |digits: &str| {
        u32::from_str_radix(digits, 8)
            .ok()
            .filter(|mode| *mode <= MAX_MODE && !digits.starts_with('+'))
    };
    let quoted = matches!(node.value, Value::Text(_));
    let mode = match text.strip_prefix("0o").or_else(|| text.strip_prefix('0')) {
        Some("") => Some(0),
        Some(digits) => octal(digits),
        None if quoted => octal(&text),
        None => {
            let looks_octal = text.len() <= 4 && text.chars().all(|c| ('0'..='7').contains(&c));
            if looks_octal {
                let reason =
                    format!("`{text}` is a decimal number, not the mode that it looks like");
                findings.error(
                    Rule::Value,
                    node.position,
                    path,
                    &reason,
                    &format!("write `0{text}`"),
                );
                return None;
            }
            text.parse().ok().filter(|mode| *mode <= MAX_MODE)
        }
    };
    if mode.is_none() {
        findings.error(
            Rule::Value,
            node.position,
            path,
            "this is not a mode",
            "write it in octal, such as `0644`",
        );
    }
    mode
}

pub(super) fn read_id(
    item: &Node,
    key: &str,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Option<u32> {
    let node = item.at(&[key])?;
    let id = item.count_at(key)?.try_into().ok();
    if id.is_none() {
        findings.error(
            Rule::Value,
            node.position,
            path.key(key),
            "the id is too large",
            "",
        );
    }
    id
}
