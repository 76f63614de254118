//! From text to the tree, by the events of the parser under `serde_yaml`.
//!
//! The events and not `Deserialize`: they tell quoted from plain text, keep `0644` as it was written and give the
//! position of every key, so that all findings of a document come in one run.

mod refusal;
mod scalar;

use std::collections::HashMap;

use serde_yaml::granit_parser::{self, Event, Parser, ScalarStyle, Span};

use refusal::{Refusal, position_of, refusal};
use scalar::{check_tag, scalar};

use crate::finding::{Findings, Position, Rule};
use crate::tree::{Entry, Node, Value, is_null};

/// Deepest nesting; real user-data has about ten levels.
const MAX_DEPTH: usize = 64;
/// Most values after aliases are expanded; together with the text it bounds the memory to some tens of MiB.
const MAX_NODES: usize = 100_000;
/// Most bytes of text after aliases are expanded.
const MAX_TEXT: usize = 4 << 20;

/// From here on the keys of a mapping are hashed to find those that stand twice.
const MANY_KEYS: usize = 32;
/// Longest key in bytes; YAML itself allows 1024 characters.
const MAX_KEY: usize = 512;

/// Reads one document; `None` after an error, and for a text without any value.
pub(crate) fn read(text: &str, findings: &mut Findings) -> Option<Node> {
    let mut options = granit_parser::options! {
        disallow_directives: true,
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    let errors = findings.errors();
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.take(event, &span, findings),
            Err(error) => Err(refusal(&error, text)),
        };
        if let Err(refusal) = step {
            findings.error(
                refusal.rule,
                refusal.position,
                "",
                &refusal.reason,
                refusal.advice,
            );
            return None;
        }
    }
    if findings.errors() == errors {
        builder.root
    } else {
        None
    }
}

/// A collection that is not complete yet.
enum Frame {
    List {
        position: Position,
        anchor: usize,
        items: Vec<Node>,
    },
    Map {
        position: Position,
        anchor: usize,
        entries: Vec<Entry>,
        key: Option<PendingKey>,
        /// Where each key stands, once there are too many to look through.
        lines: HashMap<String, usize>,
    },
}

struct PendingKey {
    key: String,
    plain: bool,
    position: Position,
}

/// Builds the tree without recursion: the depth of a document costs no stack.
#[derive(Default)]
struct Builder {
    frames: Vec<Frame>,
    /// Anchored values; `None` while the value is still being read.
    anchors: HashMap<usize, Option<Node>>,
    nodes: usize,
    text: usize,
    documents: usize,
    root: Option<Node>,
}

impl Builder {
    fn take(
        &mut self,
        event: Event<'_>,
        span: &Span,
        findings: &mut Findings,
    ) -> Result<(), Refusal> {
        let position = position_of(span.start.line(), span.start.col());
        match event {
            Event::DocumentStart(..) => self.start_document(position),
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(1, text.len(), position)?;
                if self.expects_key() {
                    check_tag(tag.as_deref(), "str", position)?;
                    let key = PendingKey {
                        key: text.into_owned(),
                        plain: style == ScalarStyle::Plain,
                        position,
                    };
                    return self.start_entry(key, findings);
                }
                let node = scalar(text, style, tag.as_deref(), position)?;
                self.finish(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "seq", position)?;
                self.open(
                    Frame::List {
                        position,
                        anchor,
                        items: Vec::new(),
                    },
                    anchor,
                    position,
                )
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "map", position)?;
                self.open(
                    Frame::Map {
                        position,
                        anchor,
                        entries: Vec::new(),
                        key: None,
                        lines: HashMap::new(),
                    },
                    anchor,
                    position,
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.expand(anchor, position),
            _ => Ok(()),
        }
    }

    fn start_document(&mut self, position: Position) -> Result<(), Refusal> {
        self.documents = self.documents.saturating_add(1);
        if self.documents > 1 {
            let reason = "a second document starts here; user-data is one document";
            return Err(Refusal::new(
                Rule::Limit,
                position,
                reason,
                "remove the `---` and merge the documents",
            ));
        }
        Ok(())
    }

    /// Whether a map waits for its next key.
    fn expects_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Map { key: None, .. }))
    }

    fn open(&mut self, frame: Frame, anchor: usize, position: Position) -> Result<(), Refusal> {
        if self.expects_key() {
            let reason = "a list or mapping is used as a key";
            return Err(Refusal::new(
                Rule::Syntax,
                position,
                reason,
                "write a name as the key",
            ));
        }
        if self.frames.len() >= MAX_DEPTH {
            let reason = format!("the document is nested deeper than {MAX_DEPTH} levels");
            return Err(Refusal::new(Rule::Limit, position, reason, ""));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
        self.spend(1, 0, position)?;
        self.frames.push(frame);
        Ok(())
    }

    fn start_entry(&mut self, new: PendingKey, findings: &mut Findings) -> Result<(), Refusal> {
        check_key(&new)?;
        if let Some(Frame::Map {
            key,
            lines,
            entries,
            ..
        }) = self.frames.last_mut()
        {
            if let Some(first) = line_of_twin(&new, entries, lines) {
                let reason = format!("the key `{}` already stands on line {first}", new.key);
                let (rule, advice) = (Rule::DuplicateKey, "keep one of the two");
                findings.error(rule, new.position, "", &reason, advice);
            }
            *key = Some(new);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refusal> {
        match self.frames.pop() {
            Some(Frame::List {
                position,
                anchor,
                items,
            }) => self.finish(
                Node {
                    position,
                    value: Value::List(items),
                },
                anchor,
            ),
            Some(Frame::Map {
                position,
                anchor,
                entries,
                ..
            }) => self.finish(
                Node {
                    position,
                    value: Value::Map(entries),
                },
                anchor,
            ),
            None => Ok(()),
        }
    }

    /// Puts a complete value where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Refusal> {
        if anchor != 0 {
            let (nodes, text) = size(&node);
            self.spend(nodes, text, node.position)?;
            self.anchors.insert(anchor, Some(node.clone()));
        }
        match self.frames.last_mut() {
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key, .. }) => {
                if let Some(PendingKey {
                    key,
                    plain,
                    position,
                }) = key.take()
                {
                    entries.push(Entry {
                        key,
                        plain,
                        position,
                        node,
                    });
                }
            }
            None => self.root = Some(node),
        }
        Ok(())
    }

    /// Puts a copy of the anchored value in the place of its alias; findings then point to the alias.
    fn expand(&mut self, anchor: usize, position: Position) -> Result<(), Refusal> {
        if self.expects_key() {
            return Err(Refusal::new(
                Rule::Syntax,
                position,
                "an alias is used as a key",
                "write a name as the key",
            ));
        }
        let Some(Some(node)) = self.anchors.get(&anchor) else {
            let reason = "this alias stands inside the value that it repeats";
            return Err(Refusal::new(
                Rule::Syntax,
                position,
                reason,
                "write the value out",
            ));
        };
        let (nodes, text) = size(node);
        let copy = Node {
            position,
            value: node.value.clone(),
        };
        self.spend(nodes, text, position)?;
        self.finish(copy, 0)
    }

    /// Counts what a value costs before it is kept.
    fn spend(&mut self, nodes: usize, text: usize, position: Position) -> Result<(), Refusal> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.text = self.text.saturating_add(text);
        if self.nodes > MAX_NODES || self.text > MAX_TEXT {
            let reason = format!(
                "the document has more than {MAX_NODES} values or {MAX_TEXT} bytes once its aliases are expanded"
            );
            return Err(Refusal::new(
                Rule::Limit,
                position,
                reason,
                "write fewer aliases",
            ));
        }
        Ok(())
    }
}

/// What can be no key, whatever mapping it is in.
fn check_key(new: &PendingKey) -> Result<(), Refusal> {
    let (rule, reason, advice) = match new.key.as_str() {
        key if key.len() > MAX_KEY => {
            let reason = format!("a key is longer than {MAX_KEY} bytes");
            return Err(Refusal::new(
                Rule::Limit,
                new.position,
                reason,
                "shorten it",
            ));
        }
        "<<" if new.plain => (
            Rule::Syntax,
            "merge keys (`<<`) mean different things to the readers of this file",
            "write the keys out",
        ),
        key if new.plain && is_null(key) => (
            Rule::Syntax,
            "a key is missing before the colon",
            "write a name as the key",
        ),
        _ => return Ok(()),
    };
    Err(Refusal::new(rule, new.position, reason, advice))
}

/// The line on which the same key stands already. Most mappings are small: only in a large one the keys are hashed.
fn line_of_twin(
    new: &PendingKey,
    entries: &[Entry],
    lines: &mut HashMap<String, usize>,
) -> Option<usize> {
    if entries.len() < MANY_KEYS {
        let twin = entries.iter().find(|entry| entry.key == new.key);
        return twin.map(|entry| entry.position.line);
    }
    if lines.is_empty() {
        let known = entries.iter();
        lines.extend(known.map(|entry| (entry.key.clone(), entry.position.line)));
    }
    lines.insert(new.key.clone(), new.position.line)
}

/// Number of nodes and bytes of text of a value.
fn size(node: &Node) -> (usize, usize) {
    let (mut nodes, mut text) = (0_usize, 0_usize);
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        nodes = nodes.saturating_add(1);
        text = text.saturating_add(match &node.value {
            Value::Text(value) => value.text.len(),
            Value::Number(value) => value.raw.len(),
            _ => 0,
        });
        open.extend(node.items());
        for entry in node.entries() {
            text = text.saturating_add(entry.key.len());
            open.push(&entry.node);
        }
    }
    (nodes, text)
}
