//! Whether a step runs: everything but its `if`, as a pure function of the facts.

use userdata::{Conditions, Expression};

use super::facts::Facts;

/// What the conditions of a step come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All of them hold.
    Holds,
    /// This one does not; the text tells key and reason.
    Fails {
        /// The key.
        key: &'static str,
        /// Why it does not hold.
        reason: String,
    },
    /// This one cannot be decided; the step must not run, since it may not be meant for this machine.
    Unknown {
        /// The key.
        key: &'static str,
        /// What is missing.
        reason: String,
    },
}

/// Decides the conditions in the order of their keys; the first that does not hold ends it.
///
/// `exists` tells whether there is a file of a path.
pub(super) fn decide(
    conditions: &Conditions,
    facts: &Facts,
    exists: impl Fn(&str) -> bool,
) -> Verdict {
    let host_name: Vec<String> = facts.host_name.iter().cloned().collect();
    let version: Vec<String> = facts.os_version.iter().cloned().collect();
    let arch = [facts.arch.clone()];
    let expressions: [(&str, &Option<Expression>, &[String], &str); 4] = [
        (
            "node",
            &conditions.node,
            &host_name,
            "the host has no name yet",
        ),
        (
            "only_os",
            &conditions.only_os,
            &facts.os_names,
            "os-release has no PRETTY_NAME and no ID",
        ),
        (
            "only_os_version",
            &conditions.only_os_version,
            &version,
            "os-release has no VERSION_ID",
        ),
        ("only_arch", &conditions.only_arch, &arch, ""),
    ];
    for (key, expression, texts, missing) in expressions {
        let Some(expression) = expression else {
            continue;
        };
        if texts.is_empty() {
            return unknown(key, missing);
        }
        if !texts.iter().any(|text| expression.is_found_in(text)) {
            let reason = format!(
                "{} is not found in {}",
                expression.as_str(),
                texts.join(", ")
            );
            return Verdict::Fails { key, reason };
        }
    }
    if let Some(manager) = &conditions.only_service_manager {
        let verdict = service_manager(manager, facts);
        if verdict != Verdict::Holds {
            return verdict;
        }
    }
    files(conditions, exists)
}

fn service_manager(wanted: &str, facts: &Facts) -> Verdict {
    let key = "only_service_manager";
    match facts.service_managers.as_slice() {
        [] => unknown(key, "the system has neither systemctl nor openrc"),
        [one] if one.eq_ignore_ascii_case(wanted) => Verdict::Holds,
        [one] => Verdict::Fails {
            key,
            reason: format!("the system has {one}"),
        },
        _ => unknown(key, "the system has both systemctl and openrc"),
    }
}

fn files(conditions: &Conditions, exists: impl Fn(&str) -> bool) -> Verdict {
    let fails = |reason: String| Verdict::Fails {
        key: "if_files",
        reason,
    };
    let any = &conditions.if_any_file;
    if !any.is_empty() && !any.iter().any(|path| exists(path)) {
        return fails(format!("none of {} is there", any.join(", ")));
    }
    let all = &conditions.if_all_files;
    if let Some(missing) = all.iter().find(|path| !exists(path)) {
        return fails(format!("{missing} is not there"));
    }
    let none = &conditions.if_no_file;
    match none.iter().find(|path| exists(path)) {
        Some(there) => fails(format!("{there} is there")),
        None => Verdict::Holds,
    }
}

fn unknown(key: &'static str, reason: &str) -> Verdict {
    Verdict::Unknown {
        key,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            os_names: vec!["Ubuntu 24.04.1 LTS".into(), "ubuntu".into()],
            os_version: Some("24.04".into()),
            arch: "amd64".into(),
            host_name: Some("shop-17".into()),
            machine_id: None,
            service_managers: vec!["systemd"],
        }
    }

    /// The conditions of a step as a document has them.
    fn conditions(yaml: &str) -> Conditions {
        let text = format!("stages: {{boot: [{{commands: [x], {yaml}}}]}}");
        let file = userdata::parse_stage_file("u", text.as_bytes());
        file.stages.steps("boot")[0].conditions.clone()
    }

    fn verdict(yaml: &str, facts: &Facts) -> String {
        let exists = |path: &str| path.starts_with("/there");
        match decide(&conditions(yaml), facts, exists) {
            Verdict::Holds => "holds".into(),
            Verdict::Fails { key, reason } => format!("{key} fails: {reason}"),
            Verdict::Unknown { key, reason } => format!("{key} unknown: {reason}"),
        }
    }

    #[test]
    fn every_condition_that_is_given_must_hold() {
        for holds in [
            "name: none",
            "only_os: 'Ubuntu.*'",
            "only_os: '^ubuntu$'",
            "only_os_version: '^(22|24)\\.04$'",
            "only_arch: 'amd64|arm64'",
            "node: '^shop-[0-9]+$'",
            "only_service_manager: systemd",
            "only_service_manager: Systemd",
            "if_files: {any: [/gone, /there]}",
            "if_files: {all: [/there, /there2], none: [/gone]}",
            "if_files: {any: [], all: [], none: []}",
        ] {
            assert_eq!(verdict(holds, &facts()), "holds", "{holds}");
        }
        for (fails, expected) in [
            (
                "only_os: Debian",
                "only_os fails: Debian is not found in Ubuntu 24.04.1 LTS, ubuntu",
            ),
            (
                "only_os: Ubuntu, only_os_version: ^22",
                "only_os_version fails: ^22 is not found in 24.04",
            ),
            (
                "only_arch: ^arm",
                "only_arch fails: ^arm is not found in amd64",
            ),
            ("node: ^till", "node fails: ^till is not found in shop-17"),
            (
                "only_service_manager: openrc",
                "only_service_manager fails: the system has systemd",
            ),
            (
                "if_files: {any: [/a, /b]}",
                "if_files fails: none of /a, /b is there",
            ),
            (
                "if_files: {any: [/there], all: [/there, /b]}",
                "if_files fails: /b is not there",
            ),
            (
                "if_files: {none: [/a, /there]}",
                "if_files fails: /there is there",
            ),
        ] {
            assert_eq!(verdict(fails, &facts()), expected, "{fails}");
        }
    }

    #[test]
    fn what_is_not_known_is_neither_yes_nor_no() {
        for (condition, expected) in [
            ("node: .*", "node unknown: the host has no name yet"),
            (
                "only_os: .*",
                "only_os unknown: os-release has no PRETTY_NAME and no ID",
            ),
            (
                "only_os_version: .*",
                "only_os_version unknown: os-release has no VERSION_ID",
            ),
            (
                "only_service_manager: systemd",
                "only_service_manager unknown: the system has neither systemctl nor openrc",
            ),
        ] {
            assert_eq!(verdict(condition, &Facts::default()), expected);
        }
        let both = Facts {
            service_managers: vec!["systemd", "openrc"],
            ..facts()
        };
        let told = verdict("only_service_manager: openrc", &both);
        assert!(told.starts_with("only_service_manager unknown"), "{told}");
    }
}
