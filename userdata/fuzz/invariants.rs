//! What holds for any bytes, however hostile. The fuzzers look for bytes for which it does not; a test replays their
//! corpus.

use userdata::{Finding, MAX_BYTES, has_errors, merge, parse, parse_stage_file, render};

/// Compressed content is at most this large when it comes out.
const MAX_FILE: usize = 8 << 20;

/// Reading user-data never panics, says clearly whether it is refused, and keeps what it writes readable.
#[allow(dead_code, reason = "each fuzz target uses one of the two")]
pub(crate) fn of_a_document(bytes: &[u8]) {
    let parsed = parse("document", bytes);
    assert_eq!(parsed.user_data.is_none(), has_errors(&parsed.findings));
    check_findings(&parsed.findings, bytes);
    let Some(user_data) = parsed.user_data else {
        return;
    };
    let oem = user_data.oem_document(&mut |_| "$6$saltsalt$hashhashhash".to_owned());
    // Indentation makes a text longer; then it is refused as any other that is too long.
    if oem.len() > MAX_BYTES {
        return;
    }
    let again = parse("written", oem.as_bytes());
    let kept = again.user_data.as_ref();
    assert!(kept.is_some(), "{:#?}", again.findings);
    assert_eq!(kept.map(|kept| &kept.install), Some(&user_data.install));
    assert_eq!(
        kept.map(|kept| &kept.stylus.site.tags),
        Some(&user_data.stylus.site.tags)
    );
    let alone = merge(std::slice::from_ref(&user_data));
    assert!(alone.text.reveal().len() > MAX_BYTES || alone.parsed.user_data.is_some());
}

/// Reading a stage file never panics, and no step of it grows without bounds.
#[allow(dead_code, reason = "each fuzz target uses one of the two")]
pub(crate) fn of_a_stage_file(bytes: &[u8]) {
    let file = parse_stage_file("stages", bytes);
    check_findings(&file.findings, bytes);
    for (_, steps) in file.stages.iter() {
        for step in steps {
            for file in &step.files {
                assert!(file.path.starts_with('/') && !file.path.contains("/../"));
                assert!(file.bytes().len() <= MAX_FILE);
            }
            for name in step.sysctl.keys().chain(step.environment.keys()) {
                assert!(!name.chars().any(char::is_control));
            }
        }
    }
}

fn check_findings(findings: &[Finding], bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().count();
    for finding in findings {
        let line = finding.position.line;
        assert!(
            (1..=lines + 2).contains(&line),
            "{finding} of {lines} lines"
        );
        assert!(!finding.to_string().chars().any(char::is_control));
    }
    let page = render(findings, &text, false);
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
}
