//! Prints how long the validation of a document of one MiB takes and how much memory it needs.
//!
//! `cargo run --release -p userdata --example measure`; with a path as argument it reads that document instead.

#![expect(
    clippy::print_stdout,
    reason = "printing figures is all that this example does"
)]

use std::time::Instant;

/// How often each document is read; the fastest run counts, since the machine may be busy.
const RUNS: usize = 7;

fn main() {
    let given = std::env::args().nth(1).map(std::fs::read);
    let documents = match given {
        Some(Ok(bytes)) => vec![("given", bytes)],
        Some(Err(error)) => return println!("{error}"),
        None => vec![("steps", steps()), ("files", files()), ("flat", flat())],
    };
    for (name, bytes) in documents {
        let mut best = f64::INFINITY;
        let mut found = 0;
        for _ in 0..RUNS {
            let started = Instant::now();
            let parsed = userdata::parse(name, &bytes);
            best = best.min(started.elapsed().as_secs_f64());
            found = parsed.findings.len();
        }
        let kib = bytes.len() / 1024;
        println!("{name}: {kib} KiB, {:.1} ms, {found} findings", best * 1e3);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM")) {
        println!("peak of memory over all of them: {}", peak.trim());
    }
}

/// A head and as many of `line(0)`, `line(1)`, ... as fit in one MiB.
fn fill(head: &str, line: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = format!("#cloud-config\n{head}");
    for index in 0.. {
        let line = line(index);
        if text.len() + line.len() > userdata::MAX_BYTES {
            break;
        }
        text.push_str(&line);
    }
    text.into_bytes()
}

/// Many small values: the worst that an honest document can be.
fn steps() -> Vec<u8> {
    fill("stages:\n  boot:\n", |index| {
        format!(
            "    - name: step {index}\n      if: '[ -e /run/cos/active_mode ]'\n      commands:\n        - echo {index}\n        \
             - systemctl restart unit-{index}\n      directories:\n        - path: /var/lib/d{index}\n          permissions: 0755\n"
        )
    })
}

/// Few large values, as in documents with certificates and scripts.
fn files() -> Vec<u8> {
    let line = "            printf '%s\\n' \"a line of a script of forty characters\"\n";
    fill("stages:\n  boot:\n    - files:\n", |index| {
        let body = line.repeat(50);
        format!("        - path: /etc/f{index}\n          content: |\n{body}")
    })
}

/// One long mapping.
fn flat() -> Vec<u8> {
    fill("stylus:\n  site:\n    tags:\n", |index| {
        format!("      tag-{index}: value {index}\n")
    })
}
