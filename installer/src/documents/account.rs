//! Which document won for each key.

use std::fmt;

use serde::Serialize;
use userdata::{Decision, Merged, UserData};

use crate::plan::Plan;

/// Where the user-data of an install came from. It shows no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The documents, the weakest first.
    pub documents: Vec<String>,
    /// Whose value each key has, sorted by key; empty if there is one document only.
    pub decisions: Vec<Decision>,
}

impl Account {
    pub(super) fn of_one(document: &UserData) -> Self {
        Self {
            documents: vec![document.name.clone()],
            decisions: Vec::new(),
        }
    }

    pub(super) fn of_several(documents: &[UserData], merged: &Merged) -> Self {
        Self {
            documents: documents.iter().map(|one| one.name.clone()).collect(),
            decisions: merged.decisions.clone(),
        }
    }

    /// The documents in one line.
    pub fn documents(&self) -> String {
        self.documents.join(", then ")
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "User-data: {}", self.documents())?;
        for decision in &self.decisions {
            writeln!(f, "  {decision}")?;
        }
        Ok(())
    }
}

/// A plan and the account of the user-data it was made from, as `landfall plan` prints them.
#[derive(Debug, Serialize)]
pub struct Printed<'a> {
    /// The plan; its fields stand beside `user_data`.
    #[serde(flatten)]
    pub plan: &'a Plan,
    /// The account.
    pub user_data: &'a Account,
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.user_data, self.plan)
    }
}
