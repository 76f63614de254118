//! Every screen that Landfall can show, with a name. Shared by the tests and by the gallery.

use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};
use tui::{
    ChoiceScreen, InstallScreen, Outcome, Phase, PhaseState, Progress, RegistrationScreen, Rung,
    Slot, State, Work, draw_choice, draw_install, draw_registration,
};

#[path = "choices.rs"]
mod choices;

pub(crate) const ID: &str = "edge-03163342f7f0e6fe20de095ed8548c93";

#[derive(Debug)]
pub(crate) enum Variant {
    Install(InstallScreen),
    Choice(ChoiceScreen),
    Registration(RegistrationScreen),
}

impl Variant {
    pub(crate) fn draw(&self, columns: u16, rows: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let drawn = terminal.draw(|frame| match self {
            Self::Install(screen) => draw_install(screen, frame),
            Self::Choice(screen) => draw_choice(screen, frame),
            Self::Registration(screen) => draw_registration(screen, frame),
        });
        drawn.unwrap();
        terminal.backend().buffer().clone()
    }
}

pub(crate) fn all() -> Vec<(&'static str, Variant)> {
    let mut variants: Vec<_> = install()
        .into_iter()
        .map(|(name, screen)| (name, Variant::Install(screen)))
        .collect();
    variants.extend(
        choices::all()
            .into_iter()
            .map(|(name, screen)| (name, Variant::Choice(screen))),
    );
    variants.extend(
        registration()
            .into_iter()
            .map(|(name, screen)| (name, Variant::Registration(screen))),
    );
    variants
}

fn phases(done: usize) -> Vec<Phase> {
    let names = [
        "Check",
        "Partition",
        "Format",
        "Write active",
        "Write passive",
        "Recovery",
        "User-data",
        "Boot loader",
    ];
    let state = |at: usize| match at.cmp(&done) {
        std::cmp::Ordering::Less => PhaseState::Done,
        std::cmp::Ordering::Equal => PhaseState::Active,
        std::cmp::Ordering::Greater => PhaseState::Pending,
    };
    names
        .iter()
        .enumerate()
        .map(|(at, name)| Phase {
            name: (*name).into(),
            state: state(at),
        })
        .collect()
}

/// In the middle of an installation.
fn at_work() -> InstallScreen {
    let log = [
        "read the user-data from the install medium",
        "chose /dev/nvme0n1: the only disk that is not the install medium",
        "wiped the signatures at both ends",
        "wrote the partition table: 6 partitions",
        "made vfat COS_GRUB, ext4 COS_OEM, COS_RECOVERY, COS_STATE, COS_PERSISTENT",
        "payload 2f1c9a: 190 chunks of 4 MiB, 486 MiB compressed",
    ];
    InstallScreen {
        version: "0.1.0".into(),
        disk: Some("/dev/nvme0n1  Samsung SSD 980  232 GiB".into()),
        phases: phases(3),
        current: "Writing the active system".into(),
        work: Work::Install,
        progress: Some(Progress {
            done: 345 << 20,
            total: 760 << 20,
            rate: Some(180 << 20),
            left_s: Some(3),
        }),
        log_tail: log.map(String::from).into(),
        outcome: None,
        document: Vec::new(),
    }
}

/// The good end of work from the recovery partition.
fn again(work: Work) -> InstallScreen {
    InstallScreen {
        work,
        outcome: Some(Outcome::Installed {
            next: "The machine restarts in 5 s.".into(),
            seconds: 17,
        }),
        ..at_work()
    }
}

fn install() -> Vec<(&'static str, InstallScreen)> {
    let screen = at_work();
    let ended = |outcome| InstallScreen {
        outcome: Some(outcome),
        ..screen.clone()
    };
    vec![
        (
            "install_check",
            InstallScreen {
                disk: None,
                phases: phases(0),
                current: "Looking for the install medium".into(),
                progress: None,
                log_tail: Vec::new(),
                ..screen.clone()
            },
        ),
        ("install_write", screen.clone()),
        (
            "install_done",
            ended(Outcome::Installed {
                next: "Rebooting in 5 s".into(),
                seconds: 42,
            }),
        ),
        (
            "install_done_by_choice",
            InstallScreen {
                disk: Some("/dev/vdb  16 GiB".into()),
                document: choices::document(),
                ..ended(Outcome::Installed {
                    next: "The machine restarts in 58 s; Enter: now.".into(),
                    seconds: 42,
                })
            },
        ),
        ("reset_done", again(Work::Reset)),
        ("repair_done", again(Work::Repair)),
        (
            "install_refused",
            InstallScreen {
                disk: None,
                log_tail: Vec::new(),
                ..ended(Outcome::Refused {
                    code: "LF-DISK-003".into(),
                    reason: "/dev/sda has 29 GiB; this installation needs 32 GiB.".into(),
                    action:
                        "Use a larger disk, or name another one in install.device of the user-data."
                            .into(),
                })
            },
        ),
        (
            "install_held",
            InstallScreen {
                disk: None,
                log_tail: vec![
                    "The machine started from an install medium or the network once more.".into(),
                ],
                ..ended(Outcome::InstalledAlready {
                    code: "LF-DISK-020".into(),
                    reason: "/dev/nvme0n1 (256 GiB) holds an installed system (1.2.3).".into(),
                    action: "The installed system starts in 42 s. Press Enter to restart now, R to install again."
                        .into(),
                })
            },
        ),
        (
            "install_failed",
            ended(Outcome::Failed {
                code: "LF-IMG-004".into(),
                reason:
                    "Chunk 87 of the payload is damaged on the install medium, at 364904448 bytes."
                        .into(),
                action: "Write the medium again, check it against its .sha256, and start it again."
                    .into(),
                last_lines: vec![
                    "chunk 86: 4194304 bytes, verified".into(),
                    "chunk 87: BLAKE3 differs, second read differs as well".into(),
                    "gave up after 3 reads".into(),
                ],
            }),
        ),
    ]
}

fn with_twin(screen: RegistrationScreen) -> RegistrationScreen {
    let twin = "A second disk of this machine (sdb, serial S3Z9NB0K914433) holds an installation with the same labels; it is not used.";
    RegistrationScreen {
        twin: Some(twin.into()),
        ..screen
    }
}

fn registration() -> Vec<(&'static str, RegistrationScreen)> {
    let base = RegistrationScreen {
        version: "0.1.0".into(),
        slot: Some(Slot::Active),
        edge_host_id: ID.into(),
        qr_text: Some(format!("https://pair.example.com/add?appliance-id={ID}")),
        endpoint: Some("https://api.spectrocloud.com".into()),
        host_name: Some("store-0417".into()),
        links: vec!["eno1".into()],
        addresses: vec!["192.168.10.21".into()],
        login: Some("Alt+F2 for a login".into()),
        ..Default::default()
    };
    let state = |state: State| RegistrationScreen {
        state,
        ..base.clone()
    };
    let fault = |state: State, code: &str, reason: &str, action: &str| RegistrationScreen {
        state,
        code: Some(code.into()),
        reason: Some(reason.into()),
        action: Some(action.into()),
        next_try_s: Some(12),
        ..base.clone()
    };
    vec![
        (
            "no_network",
            RegistrationScreen {
                links: Vec::new(),
                addresses: Vec::new(),
                ..fault(
                    State::NoNetwork,
                    "LF-NET-001",
                    "No network port has a link (eno1, eno2).",
                    "Plug in a cable; eno1 is 3c:ec:ef:12:34:56.",
                )
            },
        ),
        (
            "unreachable",
            RegistrationScreen {
                stopped_at: Some(Rung::Connection),
                ..fault(
                    State::Unreachable,
                    "LF-NET-006",
                    "Connection to api.spectrocloud.com, port 443, timed out after 10 s.",
                    "Open port 443 in the firewall, or set a proxy in the user-data.",
                )
            },
        ),
        (
            "tls",
            fault(
                State::Tls,
                "LF-TLS-002",
                "The certificate is not valid yet: the clock of this host is 14 years behind.",
                "Set the clock in the firmware, or allow NTP.",
            ),
        ),
        (
            "waiting",
            RegistrationScreen {
                next_try_s: Some(12),
                ..state(State::Waiting)
            },
        ),
        (
            "waiting_no_qr",
            RegistrationScreen {
                qr_text: None,
                next_try_s: Some(12),
                ..state(State::Waiting)
            },
        ),
        (
            "waiting_long_url",
            RegistrationScreen {
                qr_text: Some(format!(
                    "https://edge-registration.retail.internal.example.com/stores/europe/north/0417/add-host?appliance-id={ID}"
                )),
                next_try_s: Some(12),
                slot: Some(Slot::Passive),
                ..state(State::Waiting)
            },
        ),
        ("registering", state(State::Registering)),
        (
            "rejected",
            fault(
                State::Rejected,
                "LF-PAL-409",
                "Palette already knows an edge host with this ID.",
                "Delete the old record in Palette: Clusters > Edge Hosts. The host then goes on by itself.",
            ),
        ),
        ("waiting_twin", with_twin(state(State::Waiting))),
        ("healthy_twin", with_twin(state(State::Healthy))),
        ("ready", state(State::Ready)),
        ("healthy", state(State::Healthy)),
    ]
}
