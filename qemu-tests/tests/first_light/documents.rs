//! User-data from several places at once, and from a server that is not to be trusted.

use std::path::{Path, PathBuf};

use qemu_tests::machine::Builder;
use qemu_tests::palette_sim::Answer;
use qemu_tests::user_data::HOST_FOR_GUESTS;
use qemu_tests::{Event, artifacts, door};
use serde_json::{Value, json};

use crate::lab::{Lab, TO_INSTALLER, wait_finished, wait_installed};

/// The address of QEMU's first network port, as the user-data may say it.
const MAC: &str = "52-54-00-12-34-56";

/// On the medium: what all sites have. It is no whole; the endpoint comes from the server.
const MEDIUM: &str = "#cloud-config
stylus:
  site:
    edgeHostToken: medium-token
    tags: {region: north, town: a}
install:
  bind_mounts: [/etc/a]
";

/// On the volume: the token of one site.
const SITE: &str = "#cloud-config
stylus:
  site:
    edgeHostToken: site-token
    tags: {town: b}
install:
  bind_mounts: [/etc/b]
";

/// On the server: what this machine is.
const MACHINE: &str = "#cloud-config
stylus:
  site:
    paletteEndpoint: palette.example.com
    name: host-${mac}
    tags: {town: c}
";

/// A medium with a part of the user-data, and the certificate of whom to trust for the rest.
fn partial_iso(lab: &Lab, ca: &str) -> PathBuf {
    let file = |name: &str, text: &str| {
        let path = lab.folder.file(name);
        door::write_file(&path, text.as_bytes()).unwrap();
        path
    };
    let iso = lab.folder.file("installer.iso");
    drop(std::fs::remove_file(&iso));
    let mut command = door::command(artifacts::landfall().unwrap());
    command
        .args(["media", "iso", "--partial", "--payload"])
        .arg(artifacts::payload().unwrap())
        .arg("--user-data")
        .arg(file("medium.yaml", MEDIUM))
        .arg("--ca")
        .arg(file("ca.pem", ca))
        .arg("--out")
        .arg(&iso);
    door::run(&mut command).unwrap();
    iso
}

/// A volume `cidata` with this user-data.
fn site_iso(lab: &Lab) -> PathBuf {
    let iso = lab.folder.file("site.iso");
    drop(std::fs::remove_file(&iso));
    let files = lab.folder.file("site");
    std::fs::create_dir_all(&files).unwrap();
    door::write_file(&files.join("user-data"), SITE.as_bytes()).unwrap();
    door::write_file(&files.join("meta-data"), b"").unwrap();
    let mut command = door::command("xorriso");
    command.args(["-as", "mkisofs", "-quiet", "-J", "-r", "-V", "cidata", "-o"]);
    door::run(command.arg(&iso).arg(&files)).unwrap();
    iso
}

/// A machine whose kernel is started with the arguments of the medium's menu and one more.
fn started_with(lab: &Lab, iso: &Path, argument: &str) -> Builder {
    let (offset, length) = artifacts::place_in_iso(iso, "/landfall/media.json").unwrap();
    let bytes = std::fs::read(iso).unwrap();
    let (offset, length) = (
        usize::try_from(offset).unwrap(),
        usize::try_from(length).unwrap(),
    );
    let media: Value = serde_json::from_slice(&bytes[offset..offset + length]).unwrap();
    let boot = artifacts::payload().unwrap().join("boot");
    let arguments = format!(
        "rd.systemd.unit=landfall-install.target landfall.media={} console=tty1 console=ttyS0,115200 loglevel=4 panic=30 {argument}",
        media["media_id"].as_str().unwrap()
    );
    lab.machine()
        .kernel(boot.join("vmlinuz"), boot.join("initrd"), &arguments)
        .cdrom(iso)
}

fn decision<'a>(account: &'a Event, path: &str) -> &'a Value {
    let decisions = account.json["decisions"].as_array().unwrap();
    let found = decisions.iter().find(|one| one["path"] == path);
    found.unwrap_or_else(|| panic!("{path} in {account}"))
}

#[test]
fn the_documents_of_medium_volume_and_server_make_one_install_and_the_account_says_who_won() {
    let lab = Lab::new("documents-merged");
    let iso = partial_iso(&lab, lab.sim.ca_pem());
    // A server that is not ready at first.
    lab.sim.fail_next(1, 503, "");
    lab.sim.answer_next(Answer {
        status: 200,
        body: MACHINE.to_owned(),
        ..Answer::default()
    });
    let server = format!(
        "https://{HOST_FOR_GUESTS}:{}/v1/edgehosts",
        lab.sim.addr().port()
    );
    let mut vm = started_with(&lab, &iso, &format!("config_url={server}/${{mac}}"))
        .cdrom(site_iso(&lab))
        .disk(lab.disk(16))
        .start()
        .unwrap();
    let account = vm
        .wait_event("userdata", TO_INSTALLER, |event| {
            event.name() == "userdata" || event.name() == "finished"
        })
        .unwrap();
    let remote = format!("{server}/{MAC}");
    assert_eq!(account.name(), "userdata", "{account}");
    assert_eq!(
        account.json["documents"],
        json!(["config.yaml", "cidata:user-data", remote])
    );
    let token = decision(&account, "stylus.site.edgeHostToken");
    assert_eq!(token["from"], json!(["cidata:user-data"]));
    assert_eq!(token["instead_of"], json!(["config.yaml"]));
    assert_eq!(token["value"], "***");
    let town = decision(&account, "stylus.site.tags.town");
    assert_eq!(town["from"], json!([remote]));
    assert_eq!(
        town["instead_of"],
        json!(["config.yaml", "cidata:user-data"])
    );
    assert_eq!(
        decision(&account, "stylus.site.name")["value"],
        format!("host-{MAC}")
    );
    wait_installed(&mut vm, "wait");
    for secret in ["site-token", "medium-token"] {
        assert!(!vm.serial().contains(secret), "{secret} is on the console");
    }
}

#[test]
fn a_server_that_is_not_to_be_trusted_stops_the_install_and_the_disk_stays() {
    let lab = Lab::new("documents-untrusted");
    let other = Lab::new("documents-other-authority");
    let iso = partial_iso(&lab, other.sim.ca_pem());
    let disk = lab.disk(16);
    let before = artifacts::hash(disk.path()).unwrap();
    let url = format!(
        "https://{HOST_FOR_GUESTS}:{}/v1/edgehosts/x",
        lab.sim.addr().port()
    );
    let mut vm = started_with(&lab, &iso, &format!("config_url={url}"))
        .disk(disk.clone())
        .start()
        .unwrap();
    let finished = wait_finished(&mut vm);
    assert_eq!(
        (finished.text("result"), finished.text("code")),
        ("refused", "LF-U03"),
        "{finished}"
    );
    assert!(finished.text("reason").starts_with("LF-N1"), "{finished}");
    vm.quit().unwrap();
    assert_eq!(artifacts::hash(disk.path()).unwrap(), before);
}
