//! Several documents become one: the installer's user-data, that of the site, what a medium brings.
//!
//! The rules are those of Kairos (`reference/kairos.md` 5): mappings are merged key by key and the later document wins,
//! lists of mappings (steps, users, partitions) are joined, lists of scalars are united, null takes a key away, and two
//! different kinds of value under one key are an error. The order is the caller's (`reference/palette.md` 3.2).

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::finding::{Finding, Findings, Position, Rule, printable};
use crate::oem::list_steps;
use crate::schema::join;
use crate::secret::{MASK, Secret, may_be_secret};
use crate::text::{self, HEADER};
use crate::tree::{Entry, Node, Value};
use crate::write::to_yaml;
use crate::{Parsed, UserData, parse, reader};

/// What [`merge`] gives.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The merged document with its header.
    pub text: Secret,
    /// What it means, or why it means nothing. Findings name the document that the value comes from.
    pub parsed: Parsed,
    /// Who decided each key, sorted by path.
    pub decisions: Vec<Decision>,
    /// What stands at each place of the merged text: the document, and the place there.
    origins: BTreeMap<Position, (String, Position)>,
}

impl Merged {
    /// Findings about the merged text as findings about the documents; those about all of it stay as they are.
    pub fn in_their_documents(&self, findings: Vec<Finding>) -> Vec<Finding> {
        in_their_documents(findings, &self.origins)
    }
}

fn in_their_documents(
    mut findings: Vec<Finding>,
    origins: &BTreeMap<Position, (String, Position)>,
) -> Vec<Finding> {
    for finding in &mut findings {
        // The start of the text is where findings about the whole document stand.
        if let Some((file, position)) = origins.get(&finding.position) {
            finding.file.clone_from(file);
            finding.position = *position;
        }
    }
    findings
}

/// Whose value a key has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The path of keys.
    pub path: String,
    /// The value; secrets are masked, lists are counted.
    pub value: String,
    /// The documents whose values are in it, the last one deciding; more than one for a list.
    pub from: Vec<String>,
    /// Where it stands in the last of them.
    pub position: Position,
    /// The documents whose values were replaced.
    pub instead_of: Vec<String>,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, line) = (self.from.join(" and "), self.position.line);
        write!(f, "{}: {} from {from}:{line}", self.path, self.value)?;
        if self.instead_of.is_empty() {
            return Ok(());
        }
        write!(f, ", instead of {}", self.instead_of.join(" and "))
    }
}

/// Merges documents, each without errors of its own, the weakest first.
///
/// It changes nothing and asks nobody. The result is checked as one document is; that a single document lacks what
/// another one has is no error, so [`crate::check_complete`] is asked about the result only.
pub fn merge(documents: &[UserData]) -> Merged {
    let names: Vec<&str> = documents.iter().map(|found| found.name.as_str()).collect();
    let name = names.join(" + ");
    let mut merging = Merging {
        names: &names,
        current: 0,
        origins: BTreeMap::new(),
        keys: BTreeMap::new(),
        items: BTreeMap::new(),
        findings: Findings::new(&name),
    };
    let mut result = Node {
        position: Position::START,
        value: Value::Map(Vec::new()),
    };
    for (index, document) in documents.iter().enumerate() {
        merging.current = index;
        // Where a conflict is, is said in the words of the document that brings it.
        merging.findings.rename(&document.name);
        let mut tree = document.document.clone();
        list_steps(&mut tree);
        merging.merge(&mut result, tree, "");
    }
    let text = format!("{HEADER}\n{}", to_yaml(&result));
    let parsed = parse(&name, text.as_bytes());
    let origins = merging.places(&result, &text);
    let mut findings = merging.findings;
    let conflicts = findings.errors() > 0;
    findings.extend(in_their_documents(parsed.findings, &origins));
    let decisions = merging.origins.into_iter();
    Merged {
        text: Secret::new(text),
        parsed: Parsed {
            findings: findings.finish(),
            user_data: parsed.user_data.filter(|_| !conflicts),
        },
        decisions: decisions
            .map(|(path, origin)| origin.decide(&path, &names))
            .collect(),
        origins,
    }
}

/// Where the value of a path comes from; documents by their index.
#[derive(Default)]
struct Origin {
    value: String,
    position: Option<Position>,
    from: Vec<usize>,
    instead_of: Vec<usize>,
}

impl Origin {
    fn decide(self, path: &str, names: &[&str]) -> Decision {
        let name = |indices: Vec<usize>| {
            let found = indices.into_iter().filter_map(|index| names.get(index));
            found.map(|name| printable(name)).collect()
        };
        Decision {
            path: printable(path),
            value: self.value,
            from: name(self.from),
            position: self.position.unwrap_or(Position::START),
            instead_of: name(self.instead_of),
        }
    }
}

struct Merging<'a> {
    names: &'a [&'a str],
    current: usize,
    origins: BTreeMap<String, Origin>,
    /// The document that brought each key.
    keys: BTreeMap<String, usize>,
    /// The documents that brought the items of each list.
    items: BTreeMap<String, Vec<usize>>,
    findings: Findings,
}

impl Merging<'_> {
    /// Lays `new` over `old`. The depth is bounded, since that of both documents is.
    fn merge(&mut self, old: &mut Node, new: Node, path: &str) {
        let is_scalar = |node: &Node| !matches!(node.value, Value::Map(_) | Value::List(_));
        let replaceable = matches!(old.value, Value::Null) || (is_scalar(old) && is_scalar(&new));
        match (&mut old.value, new.value) {
            (Value::Map(entries), Value::Map(news)) => {
                for new in news {
                    self.merge_entry(entries, new, path);
                }
            }
            (Value::List(items), Value::List(news)) => {
                let before = items.len();
                unite(items, news);
                let added = items.len().saturating_sub(before);
                let whose = self.items.entry(path.to_owned()).or_default();
                whose.extend(std::iter::repeat_n(self.current, added));
                let value = shown(old, path);
                self.note(path, new.position, value, false);
            }
            (_, value) => {
                let node = Node {
                    position: new.position,
                    value,
                };
                if replaceable {
                    self.record(&node, path);
                    *old = node;
                } else {
                    self.refuse(old, &node, path);
                }
            }
        }
    }

    fn merge_entry(&mut self, entries: &mut Vec<Entry>, new: Entry, path: &str) {
        let path = join(path, &new.key);
        let found = entries.iter().position(|entry| entry.key == new.key);
        match (found, &new.node.value) {
            (Some(index), Value::Null) => {
                entries.remove(index);
                self.forget(&path);
                self.note(&path, new.position, "taken away".to_owned(), true);
            }
            (Some(index), _) => {
                if let Some(entry) = entries.get_mut(index) {
                    self.merge(&mut entry.node, new.node, &path);
                }
            }
            (None, _) => {
                self.keys.insert(path.clone(), self.current);
                self.record(&new.node, &path);
                entries.push(new);
            }
        }
    }

    /// Notes everything below a value that is taken as it is.
    fn record(&mut self, node: &Node, path: &str) {
        if let Value::Map(entries) = &node.value
            && !entries.is_empty()
        {
            for entry in entries {
                let path = join(path, &entry.key);
                self.keys.insert(path.clone(), self.current);
                self.record(&entry.node, &path);
            }
            return;
        }
        if let Value::List(items) = &node.value {
            self.items
                .insert(path.to_owned(), vec![self.current; items.len()]);
        }
        self.note(path, node.position, shown(node, path), true);
    }

    fn note(&mut self, path: &str, position: Position, value: String, replaced: bool) {
        let origin = self.origins.entry(path.to_owned()).or_default();
        if replaced {
            origin.instead_of.append(&mut origin.from);
        }
        origin.value = value;
        origin.position = Some(position);
        origin.from.push(self.current);
    }

    /// Drops what was known of everything below a path that is taken away, and keeps whose it was.
    fn forget(&mut self, path: &str) {
        let below = format!("{path}.");
        let gone: Vec<String> = self
            .origins
            .keys()
            .filter(|key| key.starts_with(&below))
            .cloned()
            .collect();
        let mut whose: Vec<usize> = gone
            .iter()
            .filter_map(|key| self.origins.remove(key))
            .flat_map(|origin| origin.from)
            .collect();
        whose.sort_unstable();
        whose.dedup();
        let origin = self.origins.entry(path.to_owned()).or_default();
        origin.from.extend(whose);
    }

    /// What stands at each place of the merged text.
    fn places(&self, result: &Node, text: &str) -> BTreeMap<Position, (String, Position)> {
        let mut places = BTreeMap::new();
        // The text was written from the result, so the two have the same form; findings are told elsewhere.
        if let Some(written) = reader::read(text::without_bom(text), &mut Findings::new("")) {
            self.place_entries(&written, result, "", &mut |document, at, origin| {
                let name = self.names.get(document).copied().unwrap_or_default();
                places.insert(at, (printable(name), origin));
            });
        }
        places
    }

    fn place_entries(
        &self,
        written: &Node,
        merged: &Node,
        path: &str,
        place: &mut dyn FnMut(usize, Position, Position),
    ) {
        for (written, merged) in written.entries().iter().zip(merged.entries()) {
            let path = join(path, &merged.key);
            if let Some(&document) = self.keys.get(&path) {
                place(document, written.position, merged.position);
            }
            let origin = self.origins.get(&path);
            let decided = origin.and_then(|origin| origin.from.last().copied());
            if let Some(document) = decided {
                place(document, written.node.position, merged.node.position);
            }
            let whose = self.items.get(&path).map(Vec::as_slice).unwrap_or_default();
            let items = written.node.items().iter().zip(merged.node.items());
            for ((written, merged), &document) in items.zip(whose) {
                place_all(written, merged, document, place);
            }
            self.place_entries(&written.node, &merged.node, &path, place);
        }
    }

    fn refuse(&mut self, old: &Node, new: &Node, path: &str) {
        let whose = self
            .origins
            .iter()
            .find(|(key, _)| key.starts_with(path))
            .and_then(|(_, origin)| self.names.get(*origin.from.last()?))
            .copied()
            .unwrap_or("another document");
        let reason = format!("this is {}, but {} in {whose}", new.kind(), old.kind());
        let advice = "give the key one kind of value in all documents";
        self.findings
            .error(Rule::Type, new.position, path, &reason, advice);
    }
}

/// Places a value that one document brought as a whole.
fn place_all(
    written: &Node,
    merged: &Node,
    document: usize,
    place: &mut dyn FnMut(usize, Position, Position),
) {
    place(document, written.position, merged.position);
    for (written, merged) in written.items().iter().zip(merged.items()) {
        place_all(written, merged, document, place);
    }
    for (written, merged) in written.entries().iter().zip(merged.entries()) {
        place(document, written.position, merged.position);
        place_all(&written.node, &merged.node, document, place);
    }
}

/// Joins two lists; what is scalar and there already is not repeated.
fn unite(items: &mut Vec<Node>, news: Vec<Node>) {
    for new in news {
        let known = new.as_scalar().is_some_and(|text| {
            items
                .iter()
                .any(|item| item.as_scalar().as_ref() == Some(&text))
        });
        if !known {
            items.push(new);
        }
    }
}

/// Longest value of a report, in characters.
const LONGEST_VALUE: usize = 80;

/// A value as a report may show it.
fn shown(node: &Node, path: &str) -> String {
    match &node.value {
        Value::List(items) if items.len() == 1 => "1 item".to_owned(),
        Value::List(items) => format!("{} items", items.len()),
        Value::Map(_) => "nothing below it".to_owned(),
        Value::Null => "nothing".to_owned(),
        _ if path.split('.').any(may_be_secret) => MASK.to_owned(),
        _ => {
            let text = node.as_scalar().unwrap_or_default();
            printable(&text.chars().take(LONGEST_VALUE).collect::<String>())
        }
    }
}
