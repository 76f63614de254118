//! Steps, with the real shell.

use host::{Linux, LoopRequest, Mount, Output};

use super::*;

fn carried_out(step: &Step, host: &mut impl Host) -> StageReport {
    let mut report = StageReport::new("boot");
    let file = Path::new("/oem/90.yaml");
    carry_out("boot", file, step, Setting::Running, host, &mut report);
    report
}

fn commands(texts: &[&str]) -> Step {
    Step {
        line: 12,
        commands: texts.iter().map(|text| (*text).to_owned()).collect(),
        ..Step::default()
    }
}

#[test]
fn neither_a_command_nor_what_it_writes_is_told_to_everybody() {
    let step = commands(&["true", "TOKEN=hunter2; set -x; echo $TOKEN; exit 3"]);
    let report = carried_out(&step, &mut Linux);
    let told: Vec<String> = report.outcomes.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "/oem/90.yaml: boot: line 12: commands: done",
            "/oem/90.yaml: boot: line 12: commands: command 2 of the step at line 12: exit status 3",
        ]
    );
    // For root, in stages.json.
    assert!(report.outcomes[1].output.contains("hunter2"));
}

#[test]
fn a_command_is_not_to_be_seen_in_the_list_of_processes() {
    let step = commands(&["# hunter2\ncat /proc/$$/cmdline /proc/$$/environ"]);
    let report = carried_out(&step, &mut Linux);
    let outcome = &report.outcomes[0];
    assert_eq!(outcome.error, None);
    assert!(outcome.output.contains("/bin/sh"), "{}", outcome.output);
    assert!(!outcome.output.contains("hunter2"), "{}", outcome.output);
}

#[test]
fn a_command_that_reads_its_input_does_not_swallow_the_rest_of_the_script() {
    let step = commands(&["cat\nread line\necho rest; exit 4"]);
    let outcome = &carried_out(&step, &mut Linux).outcomes[0];
    let error = outcome.error.as_deref().unwrap();
    assert!(error.ends_with("exit status 4"), "{error}");
    assert_eq!(outcome.output, "rest");
}

#[test]
fn a_daemon_that_a_command_starts_does_not_hold_up_the_stage() {
    let start = std::time::Instant::now();
    let step = commands(&["sleep 60 & echo $!"]);
    let report = carried_out(&step, &mut Linux);
    assert!(start.elapsed() < Duration::from_secs(30));
    let pid: i32 = report.outcomes[0].output.trim().parse().unwrap();
    let left = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(left, nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// Takes too long, always.
#[derive(Default)]
struct Slow(Vec<Argv>);

impl Host for Slow {
    fn run(&mut self, argv: &Argv) -> Result<Output> {
        self.0.push(argv.clone());
        Err(CommandFailed {
            exit: None,
            program: "/bin/sh".into(),
            status: "killed after its 600 s".into(),
            timed_out: true,
            tail: String::new(),
        }
        .into())
    }

    fn mount(&mut self, _: &Mount) -> Result<()> {
        Ok(())
    }

    fn unmount(&mut self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn attach_loop(&mut self, _: &LoopRequest) -> Result<std::path::PathBuf> {
        bail!("no loops here")
    }

    fn detach_loop(&mut self, _: &Path) -> Result<()> {
        Ok(())
    }
}

#[test]
fn every_command_and_condition_has_a_time_limit_and_those_after_it_are_carried_out() {
    let mut host = Slow::default();
    let report = carried_out(&commands(&["one", "two"]), &mut host);
    assert_eq!(report.failures().count(), 2);
    let step = Step {
        condition: Some("slow".into()),
        ..commands(&["never"])
    };
    let report = carried_out(&step, &mut host);
    let told: Vec<String> = report.failures().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "/oem/90.yaml: boot: line 12: if: the step is passed over: its condition was killed after its 600 s"
        ]
    );
    let limits: Vec<_> = host.0.iter().map(|argv| argv.time_limit).collect();
    assert_eq!(limits, [Some(TIME_LIMIT); 3]);
}

#[test]
fn a_user_that_is_refused_is_named_whether_the_reader_or_the_step_refuses_it() {
    let step = Step {
        users: vec![userdata::User {
            name: "bad:name".into(),
            ..userdata::User::default()
        }],
        ..Step::default()
    };
    let by_step = carried_out(&step, &mut Linux);
    let tree = crate::testing::Tree::new();
    tree.file(
        "oem/90.yaml",
        b"#cloud-config\nstages:\n  boot:\n    - users:\n        'bad:name': {shell: /bin/sh}\n",
    );
    let root = Path::new("/");
    let by_reader = crate::stage::run("boot", root, &[tree.at("oem")], &mut Linux);
    for report in [by_step, by_reader] {
        let told: Vec<String> = report.failures().map(ToString::to_string).collect();
        assert!(
            told.iter().any(|line| line.contains("bad:name")),
            "{told:?}"
        );
    }
}

#[test]
fn a_step_whose_condition_does_not_hold_runs_nothing_and_says_which_and_why() {
    let tree = crate::testing::Tree::new();
    tree.file("there", b"");
    let at = |name: &str| tree.at(name).to_str().unwrap().to_owned();
    tree.file(
        "oem/90.yaml",
        format!(
            concat!(
                "stages:\n  boot:\n",
                "    - {{name: arch, only_arch: '^none$', commands: [\"touch {0}\"]}}\n",
                "    - {{name: gone, if_files: {{all: [{1}]}}, commands: [\"touch {0}\"]}}\n",
                "    - {{name: both, if_files: {{any: [{2}]}}, if: 'false', commands: [\"touch {0}\"]}}\n",
                "    - {{name: runs, if_files: {{any: [{2}]}}, if: 'true', commands: ['echo ran']}}\n",
            ),
            at("ran"),
            at("gone"),
            at("there"),
        )
        .as_bytes(),
    );
    let report = crate::stage::run("boot", Path::new("/"), &[tree.at("oem")], &mut Linux);
    let told: Vec<(&str, &str, &str)> = report
        .outcomes
        .iter()
        .map(|outcome| {
            let first = outcome.output.split([',', ';', '\n']).next().unwrap();
            (outcome.step.as_str(), outcome.field.as_str(), first)
        })
        .collect();
    let no = "does not hold";
    let expected = [
        ("arch", "only_arch", no),
        ("gone", "if_files", no),
        ("both", "if", no),
        ("runs", "commands", "ran"),
    ];
    assert_eq!(told, expected);
    assert_eq!(report.failures().count(), 0);
    assert!(!tree.at("ran").exists());
}

#[test]
fn steps_of_all_files_run_in_the_order_that_after_asks_for() {
    let tree = crate::testing::Tree::new();
    tree.file(
        "oem/10.yaml",
        b"stages: {boot: [{name: a, after: [{name: second.c}], commands: [x]}, {name: b, commands: [x]}]}",
    );
    tree.file(
        "oem/20.yaml",
        b"name: second\nstages: {boot: [{name: c, commands: [x]}, {name: d, after: [{name: gone.x}], commands: [x]}]}",
    );
    let mut host = host::Recorder::default();
    let report = crate::stage::run("boot", Path::new("/"), &[tree.at("oem")], &mut host);
    let told: Vec<String> = report
        .outcomes
        .iter()
        .map(|outcome| format!("{} {}", outcome.step, outcome.field))
        .collect();
    assert_eq!(
        told,
        [
            "d after",
            "b commands",
            "c commands",
            "a commands",
            "d commands"
        ]
    );
    let failed: Vec<_> = report
        .failures()
        .map(|failed| failed.error.as_deref())
        .collect();
    assert_eq!(failed, [Some("no step of this stage is called gone.x")]);
}
