//! What every test of the whole way needs: a Palette, user-data that points at it, a key, and a folder.

use std::path::PathBuf;
use std::time::Duration;

use qemu_tests::machine::Builder;
use qemu_tests::palette_sim::{HostRecord, Sim, SimOptions};
use qemu_tests::ssh::{KeyPair, Login};
use qemu_tests::user_data::{HOST_FOR_GUESTS, UserData};
use qemu_tests::{Disk, Event, Folder, Vm, artifacts};
use serde_json::Value;
use uuid::Uuid;

/// A registration token that the simulated Palette takes.
pub(crate) const TOKEN: &str = "first-light-token";
/// Clear-text password in the user-data; it must not be found on the disk.
pub(crate) const PASSWORD: &str = "Correct-horse-7";
const PROJECT: &str = "5f5f5f5f5f5f5f5f5f5f5f5f";

/// Power-on to the installer's first event.
pub(crate) const TO_INSTALLER: Duration = Duration::from_mins(4);
/// The installer's first event to its last.
pub(crate) const TO_INSTALLED: Duration = Duration::from_mins(7);
/// Reboot to the registration screen.
pub(crate) const TO_SCREEN: Duration = Duration::from_mins(5);
/// Anything that a running system does.
pub(crate) const SOON: Duration = Duration::from_mins(2);
/// A machine that does the whole way, twice.
pub(crate) const WHOLE_LIFE: Duration = Duration::from_mins(15);

pub(crate) struct Lab {
    pub(crate) name: &'static str,
    pub(crate) folder: Folder,
    pub(crate) sim: Sim,
    pub(crate) user_data: UserData,
    pub(crate) uuid: Uuid,
    login: Login,
}

impl Lab {
    /// Without a token in the user-data; the simulated Palette knows [`TOKEN`].
    pub(crate) fn new(name: &'static str) -> Self {
        let folder = Folder::new(&format!("{name}-files")).unwrap();
        let sim = Sim::start(SimOptions {
            names: vec![HOST_FOR_GUESTS.to_owned()],
            token: Some(TOKEN.to_owned()),
            project: Some(PROJECT.to_owned()),
            ..SimOptions::default()
        })
        .unwrap();
        let key = KeyPair::generate(folder.path()).unwrap();
        let mut user_data = UserData::for_guest(sim.addr(), sim.ca_pem(), PROJECT, PASSWORD);
        user_data.ssh_key = Some(key.public().to_owned());
        let login = Login {
            user: "kairos".to_owned(),
            key,
        };
        Self {
            name,
            folder,
            sim,
            user_data,
            uuid: Uuid::new_v4(),
            login,
        }
    }

    /// The installer ISO with this lab's user-data.
    pub(crate) fn iso(&self) -> PathBuf {
        let iso = self.folder.file("installer.iso");
        artifacts::make_iso(&self.user_data.to_string(), &iso).unwrap();
        iso
    }

    /// A machine that keeps its identity over several starts.
    pub(crate) fn machine(&self) -> Builder {
        Vm::builder(self.name)
            .uuid(self.uuid)
            .login(self.login.clone())
            .limit(WHOLE_LIFE)
    }

    pub(crate) fn disk(&self, gib: u64) -> Disk {
        Disk::empty(self.folder.file("disk.img"), gib << 30).unwrap()
    }

    pub(crate) fn edge_host_id(&self) -> String {
        format!("edge-{}", self.uuid.simple())
    }

    /// Palette's own record of this machine.
    pub(crate) fn record(&self) -> Option<HostRecord> {
        self.sim
            .hosts()
            .into_iter()
            .find(|record| record.uid == self.edge_host_id())
    }

    /// State and health of the record, in the words of the API.
    pub(crate) fn state_and_health(&self) -> Value {
        let record = self.record().expect("a record of the host");
        serde_json::json!([record.state, record.health])
    }
}

/// Waits for the installer's last event. It may be the only one: without its medium, nothing is started.
pub(crate) fn wait_finished(vm: &mut Vm) -> Event {
    vm.wait_event("finished", TO_INSTALLER + TO_INSTALLED, |event| {
        event.name() == "finished"
    })
    .unwrap()
}

/// Waits for an installation that succeeds, and for what it says comes next.
pub(crate) fn wait_installed(vm: &mut Vm, next: &str) {
    let finished = wait_finished(vm);
    assert_eq!(
        (
            finished.text("result"),
            finished.number("exit"),
            finished.text("next")
        ),
        ("installed", Some(0.0), next),
        "{finished}"
    );
    assert!(finished.json.get("code").is_none(), "{finished}");
}

pub(crate) fn wait_screen(vm: &mut Vm) -> Event {
    vm.wait_event("screen", TO_SCREEN, |event| event.name() == "screen")
        .unwrap()
}

/// Waits until the machine says that it is in this state of pairing.
pub(crate) fn wait_pairing(vm: &mut Vm, state: &str) {
    vm.wait_event(state, SOON, |event| event.is("pairing", "state", state))
        .unwrap();
}

/// Runs a script as root in the guest, by SSH key and by the password of the user-data; returns what it printed.
pub(crate) fn root(vm: &mut Vm, script: &str) -> String {
    let (status, out, err) = try_root(vm, script);
    assert_eq!(status, Some(0), "{script}: {err}");
    out
}

/// As [`root`], for scripts that may fail: exit status, output, errors.
pub(crate) fn try_root(vm: &mut Vm, script: &str) -> (Option<i32>, String, String) {
    let quoted = script.replace('\'', r"'\''");
    let output = vm
        .ssh_with_input(
            &format!("sudo -S -p '' sh -c '{quoted}'"),
            format!("{PASSWORD}\n").as_bytes(),
        )
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Types letters in capitals, then Enter.
pub(crate) fn type_word(vm: &mut Vm, word: &str) {
    for letter in word.to_lowercase().chars() {
        vm.press(&["shift", &letter.to_string()]).unwrap();
    }
    vm.press(&["ret"]).unwrap();
}
