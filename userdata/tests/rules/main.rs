//! Every rule once firing and once silent: with its id, severity, line, column, path, reason and advice.

mod table;

use std::collections::BTreeSet;

use userdata::{Finding, Rule, Severity, Variables, check_complete, check_eks, parse, parse_for};

use table::{CASES, GOOD};

/// Which checks a rule belongs to.
#[derive(Clone, Copy, PartialEq)]
enum By {
    /// Reading the document.
    Reading,
    /// Being the only document of its host.
    Completeness,
    /// The profile of EKS Hybrid Nodes.
    Eks,
}

/// A document on which a rule fires, and how; and one, as near as possible, on which it is silent.
struct Case {
    rule: &'static str,
    by: By,
    severity: Severity,
    fires: &'static str,
    /// `line:column path`.
    at: &'static str,
    /// A part of the reason, and a part of the advice.
    says: (&'static str, &'static str),
    silent: &'static str,
}

const fn error(
    rule: &'static str,
    fires: &'static str,
    at: &'static str,
    says: (&'static str, &'static str),
    silent: &'static str,
) -> Case {
    Case {
        rule,
        by: By::Reading,
        severity: Severity::Error,
        fires,
        at,
        says,
        silent,
    }
}

const fn warning(
    rule: &'static str,
    fires: &'static str,
    at: &'static str,
    says: (&'static str, &'static str),
    silent: &'static str,
) -> Case {
    Case {
        severity: Severity::Warning,
        ..error(rule, fires, at, says, silent)
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is consumed: a constant function may not take it apart"
)]
const fn by(by: By, case: Case) -> Case {
    Case { by, ..case }
}
fn findings(document: &str, by: By) -> Vec<Finding> {
    let parsed = parse_for(
        "user-data",
        document.as_bytes(),
        &Variables::of_an_example(),
    );
    let Some(user_data) = parsed.user_data.as_ref().filter(|_| by != By::Reading) else {
        return parsed.findings;
    };
    if by == By::Eks {
        check_eks(user_data)
    } else {
        check_complete(user_data)
    }
}

#[test]
fn every_rule_fires_where_it_should_and_says_what_to_do() {
    for case in CASES {
        let found = findings(case.fires, case.by);
        let of_rule: Vec<_> = found
            .iter()
            .filter(|finding| finding.rule.id() == case.rule && finding.severity == case.severity)
            .collect();
        let [finding] = of_rule.as_slice() else {
            panic!("{} once: {found:#?}\n{}", case.rule, case.fires);
        };
        let at = format!(
            "{}:{} {}",
            finding.position.line, finding.position.column, finding.path
        );
        assert_eq!(at, case.at, "{} in\n{}", case.rule, case.fires);
        let (reason, advice) = case.says;
        assert!(finding.reason.contains(reason), "{finding}");
        let given = finding.advice.as_deref().unwrap_or_default();
        assert!(given.contains(advice), "{finding}");
        assert_eq!(finding.file, "user-data");
    }
}

#[test]
fn every_rule_is_silent_where_nothing_is_wrong() {
    for case in CASES {
        let found = findings(case.silent, case.by);
        let of_rule = found
            .iter()
            .filter(|finding| finding.rule.id() == case.rule);
        assert_eq!(of_rule.count(), 0, "{found:#?}\n{}", case.silent);
        let read = parse("user-data", case.silent.as_bytes());
        assert!(
            read.user_data.is_some(),
            "{:#?}\n{}",
            read.findings,
            case.silent
        );
    }
}

#[test]
fn the_table_has_every_rule() {
    let tested: BTreeSet<_> = CASES.iter().map(|case| case.rule).collect();
    let all: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    assert_eq!(tested, all);
}

#[test]
fn the_good_document_has_no_finding_at_all() {
    assert_eq!(findings(GOOD, By::Reading), []);
    assert_eq!(findings(GOOD, By::Completeness), []);
}

#[test]
fn a_lenient_reader_warns_of_unknown_keys_and_still_refuses_the_rest() {
    let text = "#cloud-config\nstylus:\n  futureKey: 1\n  site: {other: 2}\n";
    let parsed = userdata::parse_leniently("u", text.as_bytes());
    assert!(parsed.user_data.is_some(), "{:#?}", parsed.findings);
    let ids: Vec<_> = parsed.findings.iter().map(|f| f.rule.id()).collect();
    assert_eq!(ids, ["U08", "U08"]);
    let wrong = userdata::parse_leniently("u", b"#cloud-config\nstylus: {debug: 1}\n");
    assert!(wrong.user_data.is_none());
}
