//! The steps that run around an install: from the document itself, not from what the disk keeps of it.

use crate::UserData;
use crate::finding::Position;
use crate::oem::list_steps;
use crate::secret::Secret;
use crate::stages::base;
use crate::text::HEADER;
use crate::tree::{Entry, Node, Value};
use crate::write::to_yaml;

impl UserData {
    /// A stage file with the steps of the stage `name`, its `.before` and its `.after`; `None` if there is no such step.
    ///
    /// Steps named `skip-copy-*` are in it: they run from the medium, and are only not copied to the disk.
    pub fn stage_file(&self, name: &str) -> Option<Secret> {
        let passes = self.stages.iter().filter(|(stage, _)| base(stage) == name);
        if passes.map(|(_, steps)| steps.len()).sum::<usize>() == 0 {
            return None;
        }
        let all = self.document.at(&["stages"]).map(Node::entries);
        let own = all
            .unwrap_or_default()
            .iter()
            .filter(|entry| base(&entry.key) == name);
        let map = |entries| Node {
            position: Position::START,
            value: Value::Map(entries),
        };
        let stages = Entry {
            key: "stages".to_owned(),
            plain: true,
            position: Position::START,
            node: map(own.cloned().collect()),
        };
        // A step may name another by the name of the document.
        let title = self.document.entry("name").cloned();
        let mut document = map(title.into_iter().chain([stages]).collect());
        list_steps(&mut document);
        Some(Secret::new(format!("{HEADER}\n{}", to_yaml(&document))))
    }
}
