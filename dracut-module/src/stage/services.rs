//! `timesyncd`, `systemctl` and `systemd_firstboot` of a step.
//!
//! Drop-ins go to `/run`, which a restart empties: the stage writes them at every boot, and what the user-data no longer
//! has is gone. What `systemctl` and `systemd-firstboot` change lies in `/etc`, of which `/etc/systemd` persists.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use host::files::write_synced;
use host::{Argv, Host};
use userdata::{Override, Systemctl};

use super::facts::Setting;
use super::steps::TIME_LIMIT;

/// The drop-in of timesyncd.conf(5), behind the one that has the servers of `stylus.site`.
const TIMESYNCD: &str = "timesyncd.conf.d/zz-stages.conf";

/// Why the initramfs' own root is no place for what is to last.
const NO_SYSTEM: &str = "there is no system yet in this stage; use `initramfs`";

/// Writes settings of timesyncd; those of earlier steps stay.
pub(super) fn set_timesyncd(
    root: &Path,
    setting: Setting,
    values: &BTreeMap<String, String>,
    host: &mut impl Host,
) -> Result<String> {
    let file = folder(root, setting).join(TIMESYNCD);
    let old = fs::read_to_string(&file).unwrap_or_default();
    let changed = write(&file, &with_settings(&old, values))?;
    if setting != Setting::Running || !changed {
        return Ok(String::new());
    }
    systemctl(&["try-restart", "systemd-timesyncd.service"], setting, host)
}

/// The text of a file with the one section `[Time]`.
fn with_settings(old: &str, values: &BTreeMap<String, String>) -> String {
    let mut settings: BTreeMap<&str, &str> = old
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    settings.extend(
        values
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    );
    let lines = settings
        .iter()
        .map(|(key, value)| format!("{key}={value}\n"));
    format!("[Time]\n{}", lines.collect::<String>())
}

/// Carries out `systemctl`: drop-ins first, so that a unit starts with them. Each outcome tells what it was for.
pub(super) fn set_units(
    root: &Path,
    setting: Setting,
    wanted: &Systemctl,
    host: &mut impl Host,
) -> Vec<Result<String>> {
    let mut changed = false;
    let mut outcomes: Vec<Result<String>> = Vec::new();
    for drop_in in &wanted.overrides {
        outcomes.push(put_override(root, setting, drop_in, &mut changed));
    }
    if setting == Setting::Running && changed {
        outcomes.push(systemctl(&["daemon-reload"], setting, host));
    }
    let lists = [
        ("enable", &wanted.enable),
        ("disable", &wanted.disable),
        ("mask", &wanted.mask),
        ("start", &wanted.start),
    ];
    for (verb, units) in lists {
        outcomes.extend(units.iter().map(|unit| change(verb, unit, setting, host)));
    }
    outcomes
}

fn put_override(
    root: &Path,
    setting: Setting,
    wanted: &Override,
    changed: &mut bool,
) -> Result<String> {
    let Override { service, name, .. } = wanted;
    let file = folder(root, setting).join(format!("system/{service}.d/{name}"));
    *changed |= write(&file, wanted.content.reveal())?;
    Ok(format!("drop-in {name} of {service}"))
}

fn change(verb: &str, unit: &str, setting: Setting, host: &mut impl Host) -> Result<String> {
    match setting {
        Setting::Running => {}
        _ if verb == "start" => {
            bail!("start {unit}: the system does not run yet; use the stage `boot`, or `enable`")
        }
        Setting::Initramfs => bail!("{verb} {unit}: {NO_SYSTEM}"),
        Setting::Sysroot | Setting::Foreign => {}
    }
    let output = systemctl(&[verb, "--", unit], setting, host);
    let output = output.with_context(|| format!("{verb} {unit}"))?;
    Ok(format!("{verb} {unit}\n{output}"))
}

/// Runs systemctl; in a root that nobody runs it changes the links alone.
fn systemctl(args: &[&str], setting: Setting, host: &mut impl Host) -> Result<String> {
    let argv = Argv::new("systemctl").args(args).time_limit(TIME_LIMIT);
    let argv = match setting {
        Setting::Running => argv,
        _ => argv.env("SYSTEMD_OFFLINE", "1"),
    };
    let output = host.run(&argv)?;
    Ok(format!("{}{}", output.stdout, output.stderr))
}

/// Runs `systemd-firstboot` with the settings; `true` is a switch.
pub(super) fn first_boot(
    setting: Setting,
    values: &BTreeMap<String, String>,
    host: &mut impl Host,
) -> Result<String> {
    if setting == Setting::Initramfs {
        bail!(NO_SYSTEM);
    }
    let args = values.iter().map(|(key, value)| {
        let key = key.to_ascii_lowercase();
        if value == "true" {
            format!("--{key}")
        } else {
            format!("--{key}={value}")
        }
    });
    let argv = Argv::new("systemd-firstboot")
        .args(args)
        .time_limit(TIME_LIMIT);
    let output = host.run(&argv)?;
    Ok(format!("{}{}", output.stdout, output.stderr))
}

/// Where systemd looks for drop-ins: in memory, but `/run` is never that of another machine's root.
fn folder(root: &Path, setting: Setting) -> PathBuf {
    root.join(match setting {
        Setting::Foreign => "etc/systemd",
        Setting::Running | Setting::Initramfs | Setting::Sysroot => "run/systemd",
    })
}

/// Writes a drop-in if it is not there as it should be, and tells whether it was not: `reconcile` runs every hour, and
/// no service restarts for nothing. Readable for all, since systemd shows what it read to everybody anyway.
fn write(file: &Path, text: &str) -> Result<bool> {
    if fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    write_synced(file, text.as_bytes(), 0o644)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;
    use host::Recorder;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn units() -> Systemctl {
        let one = |name: &str| vec![name.to_owned()];
        Systemctl {
            enable: one("sshd"),
            disable: one("apt-daily.timer"),
            start: one("sshd"),
            mask: one("bad.service"),
            overrides: vec![Override {
                service: "kubelet.service".into(),
                name: "10-proxy.conf".into(),
                content: userdata::Secret::new("[Service]\n"),
            }],
        }
    }

    fn told(outcomes: Vec<Result<String>>) -> Vec<String> {
        let tell = |outcome: Result<String>| match outcome {
            Ok(text) => text.lines().next().unwrap_or_default().to_owned(),
            Err(error) => format!("failed: {error:#}"),
        };
        outcomes.into_iter().map(tell).collect()
    }

    #[test]
    fn settings_of_several_steps_come_together_and_the_last_one_counts() {
        let tree = Tree::new();
        let mut host = Recorder::default();
        let mut set = |pairs: &[(&str, &str)], setting| {
            set_timesyncd(&tree.at(""), setting, &settings(pairs), &mut host).unwrap()
        };
        set(&[("NTP", "a b"), ("FallbackNTP", "c")], Setting::Sysroot);
        set(&[("NTP", "d=e")], Setting::Running);
        let text = fs::read_to_string(tree.at("run/systemd").join(TIMESYNCD)).unwrap();
        assert_eq!(text, "[Time]\nFallbackNTP=c\nNTP=d=e\n");
        set(&[("NTP", "d=e")], Setting::Running);
        // Only a system that runs has a service that must read it again, and only what has changed.
        assert_eq!(
            host.calls,
            ["run systemctl try-restart systemd-timesyncd.service"]
        );
    }

    #[test]
    fn units_of_a_system_that_runs_are_changed_by_its_manager_and_started_last() {
        let tree = Tree::new();
        let mut host = Recorder::default();
        let outcomes = set_units(&tree.at(""), Setting::Running, &units(), &mut host);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let expected = [
            "run systemctl daemon-reload",
            "run systemctl enable -- sshd",
            "run systemctl disable -- apt-daily.timer",
            "run systemctl mask -- bad.service",
            "run systemctl start -- sshd",
        ];
        assert_eq!(host.calls, expected);
        let drop_in = tree.at("run/systemd/system/kubelet.service.d/10-proxy.conf");
        assert_eq!(fs::read_to_string(drop_in).unwrap(), "[Service]\n");
        let mut again = Recorder::default();
        set_units(&tree.at(""), Setting::Running, &units(), &mut again);
        assert_eq!(
            again.calls,
            expected[1..],
            "what is there is not read again"
        );
    }

    #[test]
    fn before_the_system_runs_nothing_is_started_and_the_rest_goes_on() {
        let tree = Tree::new();
        let mut host = Recorder::failing_at(1);
        let outcomes = told(set_units(
            &tree.at(""),
            Setting::Sysroot,
            &units(),
            &mut host,
        ));
        let expected = [
            "drop-in 10-proxy.conf of kubelet.service",
            "enable sshd",
            "failed: disable apt-daily.timer: told to fail at request 1",
            "mask bad.service",
            "failed: start sshd: the system does not run yet; use the stage `boot`, or `enable`",
        ];
        assert_eq!(outcomes, expected);
        assert_eq!(host.calls.len(), 3, "{:?}", host.calls);
    }

    #[test]
    fn another_machine_gets_its_drop_ins_in_etc_and_the_initramfs_changes_no_units() {
        let tree = Tree::new();
        let mut host = Recorder::default();
        set_units(&tree.at(""), Setting::Foreign, &units(), &mut host);
        assert!(!tree.at("run").exists());
        assert!(
            tree.at("etc/systemd/system/kubelet.service.d/10-proxy.conf")
                .exists()
        );
        let mut host = Recorder::default();
        let outcomes = told(set_units(
            &tree.at(""),
            Setting::Initramfs,
            &units(),
            &mut host,
        ));
        assert!(outcomes[1].contains("use `initramfs`"), "{outcomes:?}");
        assert!(first_boot(Setting::Initramfs, &settings(&[]), &mut host).is_err());
        assert!(host.calls.is_empty(), "{:?}", host.calls);
    }

    #[test]
    fn the_settings_of_the_first_boot_are_arguments_of_their_own() {
        let mut host = Recorder::default();
        let values = settings(&[
            ("Locale", "C.UTF-8"),
            ("force", "true"),
            ("timezone", "a; b"),
        ]);
        first_boot(Setting::Sysroot, &values, &mut host).unwrap();
        assert_eq!(
            host.calls,
            ["run systemd-firstboot --locale=C.UTF-8 --force --timezone=a; b"]
        );
    }

    #[test]
    fn the_real_systemctl_makes_the_links_of_a_root_that_nobody_runs() {
        let there = Path::new("/usr/bin/systemctl").exists();
        assert!(
            there,
            "this test needs systemctl: install the package systemd"
        );
        let tree = Tree::new();
        tree.file(
            "usr/lib/systemd/system/probe.service",
            b"[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
        );
        let root = tree.at("").display().to_string();
        for verb in ["enable", "disable"] {
            let arg = format!("--root={root}");
            systemctl(
                &[&arg, verb, "--", "probe"],
                Setting::Sysroot,
                &mut host::Linux,
            )
            .unwrap();
            let link = tree.at("etc/systemd/system/multi-user.target.wants/probe.service");
            assert_eq!(link.is_symlink(), verb == "enable");
        }
    }
}
