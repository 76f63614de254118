//! The order of the steps of one pass: that of their files and lines, but for what `after` asks.

use std::path::Path;

use userdata::Step;

/// A step and where it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    /// Its file.
    pub(super) file: &'a Path,
    /// Top-level `name` of the file.
    pub(super) root: Option<&'a str>,
    /// Which step of the stage it is in its file, from 0: the name of a step that has none.
    pub(super) index: usize,
    /// The step.
    pub(super) step: &'a Step,
}

/// A wish of a step that could not be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unmet {
    /// The step, by its place in the list.
    pub(super) of: usize,
    /// Why.
    pub(super) reason: String,
}

/// Sorts the steps: each comes after those that its `after` names, and otherwise as early as the list has it.
///
/// Gives the places in the list in the order in which they are carried out, every one once. A name that no step has,
/// and a circle, are told; the steps then run in the order of the list.
pub(super) fn sorted(steps: &[Placed<'_>]) -> (Vec<usize>, Vec<Unmet>) {
    let mut unmet = Vec::new();
    let earlier: Vec<Vec<usize>> = steps
        .iter()
        .enumerate()
        .map(|(of, placed)| named(of, placed, steps, &mut unmet))
        .collect();
    let mut done = vec![false; steps.len()];
    let mut order = Vec::with_capacity(steps.len());
    while order.len() < steps.len() {
        let waits = |of: &usize| !earlier[*of].iter().all(|before| done[*before]);
        let open = || (0..steps.len()).filter(|of| !done[*of]);
        let next = open().find(|of| !waits(of)).or_else(|| {
            let first = open().next()?;
            let reason =
                "`after` goes round in a circle; the order of the files is kept".to_owned();
            unmet.push(Unmet { of: first, reason });
            Some(first)
        });
        // There is an open step as long as the order is not complete.
        let Some(next) = next else { break };
        done[next] = true;
        order.push(next);
    }
    (order, unmet)
}

/// The steps that `after` names.
fn named(
    of: usize,
    placed: &Placed<'_>,
    steps: &[Placed<'_>],
    unmet: &mut Vec<Unmet>,
) -> Vec<usize> {
    let mut earlier = Vec::new();
    for name in &placed.step.after {
        let found = (0..steps.len()).filter(|other| answers_to(&steps[*other], name));
        let before = earlier.len();
        earlier.extend(found);
        if earlier.len() == before {
            let reason = format!("no step of this stage is called {name}");
            unmet.push(Unmet { of, reason });
        }
    }
    earlier
}

/// Whether a step is meant by `name`: `<file>.<step>`, where the file is its path, its last part, or its own name.
fn answers_to(placed: &Placed<'_>, name: &str) -> bool {
    let step = match &placed.step.name {
        Some(step) => step.clone(),
        None => placed.index.to_string(),
    };
    let files = [
        placed.file.to_str(),
        placed.file.file_name().and_then(std::ffi::OsStr::to_str),
        placed.root,
    ];
    files.into_iter().flatten().any(|file| {
        name.strip_prefix(file)
            .and_then(|rest| rest.strip_prefix('.'))
            == Some(&step)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Steps as `file step after,after`, in the order of the list; `-` is no name.
    fn order(lines: &[&str]) -> (Vec<String>, Vec<String>) {
        let steps: Vec<(String, Step)> = lines
            .iter()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let after = words
                    .get(2)
                    .map(|names| names.split(',').map(str::to_owned));
                let step = Step {
                    name: (words[1] != "-").then(|| words[1].to_owned()),
                    after: after.into_iter().flatten().collect(),
                    ..Step::default()
                };
                (format!("/oem/{}", words[0]), step)
            })
            .collect();
        let placed: Vec<Placed<'_>> = steps
            .iter()
            .map(|(file, step)| Placed {
                file: Path::new(file),
                root: Some("site"),
                index: 0,
                step,
            })
            .collect();
        let (order, unmet) = sorted(&placed);
        let words = order
            .into_iter()
            .map(|at| lines[at].split(' ').nth(1).unwrap().to_owned());
        (
            words.collect(),
            unmet
                .into_iter()
                .map(|unmet| format!("{}: {}", unmet.of, unmet.reason))
                .collect(),
        )
    }

    #[test]
    fn without_wishes_the_order_of_the_list_is_kept() {
        let (order, unmet) = order(&["10.yaml a", "10.yaml b", "20.yaml c"]);
        assert_eq!(order, ["a", "b", "c"]);
        assert!(unmet.is_empty());
    }

    #[test]
    fn a_step_waits_for_those_it_names_by_path_file_or_name_of_the_file() {
        for name in ["/oem/20.yaml.c", "20.yaml.c", "site.c"] {
            let (order, unmet) = order(&[&format!("10.yaml a {name}"), "10.yaml b", "20.yaml c"]);
            assert_eq!(order, ["b", "c", "a"], "{name}");
            assert!(unmet.is_empty(), "{unmet:?}");
        }
        let (order, _) = order(&["10.yaml a 20.yaml.0", "20.yaml -"]);
        assert_eq!(order, ["-", "a"]);
    }

    #[test]
    fn a_name_that_no_step_has_is_told_and_changes_nothing() {
        let (order, unmet) = order(&["10.yaml a 10.yaml.x,b", "10.yaml b"]);
        assert_eq!(order, ["a", "b"]);
        let expected = [
            "0: no step of this stage is called 10.yaml.x",
            "0: no step of this stage is called b",
        ];
        assert_eq!(unmet, expected);
    }

    #[test]
    fn a_circle_is_told_and_the_order_of_the_files_is_kept() {
        let (order, unmet) = order(&[
            "1.yaml a 1.yaml.b",
            "1.yaml b 1.yaml.a",
            "1.yaml c 1.yaml.c",
        ]);
        assert_eq!(order, ["a", "b", "c"]);
        assert_eq!(unmet.len(), 2, "{unmet:?}");
        assert!(unmet[0].starts_with("0: `after` goes round in a circle"));
    }

    proptest! {
        /// A wish for an earlier step holds already, and wishes that make no circle can all be met.
        #[test]
        fn every_step_runs_once_and_after_those_it_names(
            wishes in proptest::collection::vec(proptest::collection::vec(0_usize..12, 0..3), 1..12),
            circles in any::<bool>(),
        ) {
            let steps: Vec<Step> = wishes
                .iter()
                .enumerate()
                .map(|(of, wishes)| Step {
                    name: Some(of.to_string()),
                    after: wishes
                        .iter()
                        .filter(|other| circles || **other > of)
                        .map(|other| format!("f.yaml.{other}"))
                        .collect(),
                    ..Step::default()
                })
                .collect();
            let placed: Vec<Placed<'_>> = steps
                .iter()
                .enumerate()
                .map(|(index, step)| Placed { file: Path::new("/oem/f.yaml"), root: None, index, step })
                .collect();
            let (order, unmet) = sorted(&placed);
            let mut all = order.clone();
            all.sort_unstable();
            prop_assert_eq!(all, (0..steps.len()).collect::<Vec<_>>());
            let place = |of: usize| order.iter().position(|at| *at == of);
            let circle = unmet.iter().any(|unmet| unmet.reason.contains("circle"));
            prop_assert!(circles || !circle);
            for (of, wishes) in wishes.iter().enumerate() {
                for other in wishes.iter().filter(|other| **other > of && **other < steps.len()) {
                    prop_assert!(circle || place(*other) < place(of), "{} before {}", other, of);
                }
            }
        }
    }
}
