//! Files and directories of a step.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::finding::{Findings, Rule};
use crate::place::check_path;
use crate::schema::join;
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
}

impl File {
    /// The bytes of the file. The encoding was checked when the document was read.
    pub fn bytes(&self) -> Vec<u8> {
        match self.encoding {
            Encoding::Plain => self.content.reveal().as_bytes().to_vec(),
            Encoding::Base64 => decode(self.content.reveal()).unwrap_or_default(),
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
    step: &str,
    findings: &mut Findings,
) -> Vec<Directory> {
    let read = |(index, item): (usize, &Node)| {
        let path = format!("{}[{index}]", join(step, "directories"));
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

pub(super) fn read_files(node: Option<&Node>, step: &str, findings: &mut Findings) -> Vec<File> {
    let read = |(index, item): (usize, &Node)| {
        let path = format!("{}[{index}]", join(step, "files"));
        let content = item.text_at("content").unwrap_or_default();
        let encoding = read_encoding(item, &content, &path, findings)?;
        Some(File {
            path: read_path(item, &path, findings)?,
            permissions: read_mode(item, &path, findings),
            owner: read_id(item, "owner", &path, findings),
            group: read_id(item, "group", &path, findings),
            ownerstring: item.text_at("ownerstring"),
            content: Secret::new(content),
            encoding,
        })
    };
    node.map(Node::items)
        .unwrap_or_default()
        .iter()
        .enumerate()
        .filter_map(read)
        .collect()
}

fn read_path(item: &Node, path: &str, findings: &mut Findings) -> Option<String> {
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
    check_path(node, &join(path, "path"), findings);
    node.as_text().map(str::to_owned)
}

fn read_encoding(
    item: &Node,
    content: &str,
    path: &str,
    findings: &mut Findings,
) -> Option<Encoding> {
    let Some(node) = item.at(&["encoding"]) else {
        return Some(Encoding::Plain);
    };
    match node.as_text()? {
        "" | "text/plain" => Some(Encoding::Plain),
        "b64" | "base64" => {
            if decode(content).is_some() {
                return Some(Encoding::Base64);
            }
            let at = item.at(&["content"]).unwrap_or(node).position;
            findings.error(
                Rule::Value,
                at,
                &join(path, "content"),
                "the content is not base64",
                "",
            );
            None
        }
        "gz" | "gzip" | "gz+base64" | "gzip+base64" | "gz+b64" | "gzip+b64" => {
            let reason = "compressed content is not supported by this version";
            findings.error(
                Rule::NotCarriedOut,
                node.position,
                &join(path, "encoding"),
                reason,
                "write `base64`",
            );
            None
        }
        other => {
            let reason = format!("`{other}` is no encoding");
            findings.error(
                Rule::Value,
                node.position,
                &join(path, "encoding"),
                &reason,
                "write `base64` or remove the key",
            );
            None
        }
    }
}

fn decode(content: &str) -> Option<Vec<u8>> {
    let dense: String = content.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(dense).ok()
}

/// Reads a mode as its author means it: `0644`, `"0644"` and `0o644` are octal. A plain `644` is decimal to every
/// reader, that is, octal 1204; nobody means that, so it is refused.
fn read_mode(item: &Node, path: &str, findings: &mut Findings) -> Option<u32> {
    let node = item.at(&["permissions"])?;
    let text = node.as_scalar()?;
    let path = join(path, "permissions");
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
                    &path,
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
            &path,
            "this is not a mode",
            "write it in octal, such as `0644`",
        );
    }
    mode
}

fn read_id(item: &Node, key: &str, path: &str, findings: &mut Findings) -> Option<u32> {
    let node = item.at(&[key])?;
    let id = item.count_at(key)?.try_into().ok();
    if id.is_none() {
        findings.error(
            Rule::Value,
            node.position,
            &join(path, key),
            "the id is too large",
            "",
        );
    }
    id
}
