//! `landfall register`: the registration screen, and the pairing behind it.
//!
//! One thread talks to Palette, this one owns the consoles; what they share is a channel of [`palette::Status`].

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use palette::inventory::read_addresses;
use palette::worker::{self, Control};
use palette::{Client, Facts, Inventory, Pairing, Settings, State, Status};
use serde::Serialize;
use tui::console::Console;
use tui::{RegistrationScreen, Rung, Slot};
use userdata::UserData;

use crate::identity::{edge_host_id, random_bytes};
use crate::labels::Labels;
use crate::report::EventWriter;
use crate::screens::open_consoles;
use crate::twins;

/// The user-data of an installed host, on its OEM partition.
pub const USER_DATA: &str = "90_custom.yaml";

/// The Palette agent of an image that brings one. It pairs then; two clients must not register one ID.
const AGENT: &str = "/opt/spectrocloud/bin/stylus-agent";

/// The running system.
const ROOT: &str = "/";

/// The query parameter that carries the ID (what the vendor's sample web app reads).
const QR_PARAMETER: &str = "appliance-id";

/// Everything this host knows about its registration.
struct Host {
    id: String,
    qr_text: Option<String>,
    labels: Labels,
    settings: Option<Settings>,
    /// Why it cannot pair: bad user-data, no usable ID.
    trouble: Option<Status>,
}

/// Events of this program; see `docs/interfaces.md`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Screen {
        edge_host_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        qr_text: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        twin: Option<&'a str>,
        uptime_s: f64,
    },
    Pairing {
        state: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'a str>,
        reason: &'a str,
        uptime_s: f64,
    },
}

/// Shows the screen and pairs, for ever.
pub fn run() -> Result<()> {
    let host = read_host(Path::new(ROOT));
    let mut view = View::new(
        &host,
        open_consoles(Console::open),
        EventWriter::open(None)?,
    );
    let (sender, receiver) = mpsc::channel();
    if let Some(trouble) = &host.trouble {
        view.status(trouble.clone());
    } else if Path::new(AGENT).exists() {
        view.status(Status {
            state: State::Waiting,
            reason: "The Palette agent of this image registers the host.".to_owned(),
            action: "Scan the code or add the ID in Palette; the agent does the rest.".to_owned(),
            code: None,
            next_try_in: None,
        });
    } else if let Some(settings) = host.settings.clone() {
        let make = inventory_of(&host);
        std::thread::Builder::new()
            .name("pairing".into())
            .spawn(move || pair(settings, make, |status| drop(sender.send(status.clone()))))
            .context("starting the pairing thread")?;
    }
    loop {
        match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok(status) => view.status(status),
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody pairs: the screen stays, with the reason on it.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_secs(1)),
        }
        view.draw();
    }
}

/// One attempt without a screen: the state it ends in.
pub fn once() -> Result<State> {
    let host = read_host(Path::new(ROOT));
    if let Some(trouble) = host.trouble {
        anyhow::bail!("{}: {}", trouble.code.unwrap_or("LF-P"), trouble.reason);
    }
    let settings = host
        .settings
        .clone()
        .context("the user-data names no paletteEndpoint")?;
    let client = Client::new(settings)?;
    let mut inventory = inventory_of(&host);
    let registered = client.register(&inventory())?;
    Ok(match registered.state {
        palette::HostState::Unpaired => State::Waiting,
        _ => State::Ready,
    })
}

fn pair(settings: Settings, make: impl FnMut() -> Inventory, mut tell: impl FnMut(&Status)) {
    match Client::new(settings) {
        Ok(client) => {
            let pairing = Pairing::new(Box::new(|| u32::from_ne_bytes(random_bytes())));
            worker::run(&client, pairing, make, tell, &Control::new());
        }
        Err(error) => tell(&rejected(error.code(), error.to_string(), error.action())),
    }
}

fn rejected(code: &'static str, reason: String, action: &str) -> Status {
    Status {
        state: State::Rejected,
        reason,
        action: action.to_owned(),
        code: Some(code),
        next_try_in: None,
    }
}

fn inventory_of(host: &Host) -> impl FnMut() -> Inventory + Send + use<> {
    let (id, mut labels) = (host.id.clone(), host.labels.clone());
    move || Inventory {
        host_uid: id.clone(),
        labels: labels.gather(&mut host::Linux, &mut |line| {
            // The journal; the pairing does not depend on it.
            drop(writeln!(std::io::stderr(), "{line}"));
        }),
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
        facts: Facts::read(Path::new("/"), &read_addresses()),
    }
}

/// Reads valid user-data.
pub fn read_user_data(path: &Path) -> Result<UserData> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let parsed = userdata::parse(&path.to_string_lossy(), &bytes);
    parsed.user_data.with_context(|| {
        parsed
            .findings
            .first()
            .map_or_else(|| "no user-data".to_owned(), ToString::to_string)
    })
}

fn read_host(root: &Path) -> Host {
    let empty = Host {
        id: edge_host_id(root, None).unwrap_or_default(),
        qr_text: None,
        labels: Labels::default(),
        settings: None,
        trouble: None,
    };
    let user_data = match read_user_data(&root.join("oem").join(USER_DATA)) {
        Ok(user_data) => user_data,
        Err(error) => {
            let trouble = rejected(
                "LF-U01",
                format!("{error:#}"),
                crate::code::Code::UserDataInvalid.action(),
            );
            return Host {
                trouble: Some(trouble),
                ..empty
            };
        }
    };
    let site = user_data.stylus.site;
    let labels = Labels::of(&site);
    let (id, mut trouble) = match edge_host_id(root, Some(&site)) {
        Ok(id) => (id, None),
        Err(error) => {
            let known = error.downcast_ref::<palette::HostIdError>();
            let code = known.map_or("LF-P45", palette::HostIdError::code);
            let action = known.map_or("", palette::HostIdError::action);
            (
                String::new(),
                Some(rejected(code, format!("{error:#}"), action)),
            )
        }
    };
    let qr_text = site
        .registration_url
        .as_deref()
        .and_then(|url| palette::qr::qr_text(url, QR_PARAMETER, &id).ok());
    if site.palette_endpoint.is_none() && trouble.is_none() {
        trouble = Some(rejected(
            "LF-P50",
            "the user-data names no stylus.site.paletteEndpoint".to_owned(),
            "Add stylus.site.paletteEndpoint to the user-data.",
        ));
    }
    let settings = site.palette_endpoint.map(|endpoint| Settings {
        ca_certs: site.ca_certs,
        token: site
            .edge_host_token
            .map(|token| palette::Secret::new(token.reveal())),
        disable_auto_register: site.disable_auto_register,
        project_uid: site.project_uid,
        project_name: site.project_name,
        proxy: site
            .network
            .https_proxy
            .map(|proxy| palette::Secret::new(proxy.reveal())),
        no_proxy: site.network.no_proxy,
        ..Settings::new(endpoint.to_string())
    });
    Host {
        id,
        qr_text,
        labels,
        settings,
        trouble,
    }
}

/// The consoles and what they show.
struct View {
    consoles: Vec<Console>,
    events: EventWriter,
    screen: RegistrationScreen,
    /// When the next try is due, for the countdown.
    due: Option<Instant>,
    /// When other disks were looked for.
    looked: Option<Instant>,
    announced: bool,
}

/// How often is looked for other disks with an installation.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

impl View {
    fn new(host: &Host, consoles: Vec<Console>, events: EventWriter) -> Self {
        let screen = RegistrationScreen {
            version: env!("CARGO_PKG_VERSION").into(),
            slot: booted_slot(Path::new("/run/cos")),
            edge_host_id: host.id.clone(),
            qr_text: host.qr_text.clone(),
            endpoint: host
                .settings
                .as_ref()
                .map(|settings| settings.endpoint.clone()),
            login: Some("Alt+F2 for a login".into()),
            ..RegistrationScreen::default()
        };
        Self {
            consoles,
            events,
            screen,
            due: None,
            looked: None,
            announced: false,
        }
    }

    fn status(&mut self, status: Status) {
        self.due = status.next_try_in.map(|delay| Instant::now() + delay);
        self.screen.state = shown(status.state);
        self.screen.code = status.code.map(ToOwned::to_owned);
        self.screen.reason = Some(status.reason.clone()).filter(|reason| !reason.is_empty());
        self.screen.action = Some(status.action).filter(|action| !action.is_empty());
        // Whoever follows the events may look at the screen next.
        self.draw();
        self.events.write(&Event::Pairing {
            state: status.state.as_str(),
            code: status.code,
            reason: &status.reason,
            uptime_s: crate::log::uptime(),
        });
    }

    fn draw(&mut self) {
        let facts = Facts::read(Path::new("/"), &read_addresses());
        self.screen.addresses = facts
            .nics
            .iter()
            .filter_map(|nic| nic.ip)
            .map(|ip| ip.to_string())
            .collect();
        self.screen.links = facts
            .nics
            .iter()
            .map(|nic| nic.name.clone())
            .filter(|name| has_carrier(name))
            .collect();
        self.screen.host_name = fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .map(|name| name.trim().to_owned());
        self.screen.stopped_at = stopped_at(&self.screen);
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
            self.screen.twin = twins::sentence(Path::new("/"));
            self.looked = Some(Instant::now());
        }
        self.screen.next_try_s = self
            .due
            .map(|due| due.saturating_duration_since(Instant::now()).as_secs());
        let uptime = Duration::from_secs_f64(crate::log::uptime());
        for console in &mut self.consoles {
            // A console that does not take the picture must not stop the pairing.
            drop(console.show(tui::console::View::Registration(&self.screen), uptime));
        }
        if !self.announced {
            self.announced = true;
            self.events.write(&Event::Screen {
                edge_host_id: &self.screen.edge_host_id,
                qr_text: self.screen.qr_text.as_deref(),
                twin: self.screen.twin.as_deref(),
                uptime_s: crate::log::uptime(),
            });
        }
    }
}

/// The rung of the ladder on which the host stands, where facts and code tell it better than the state does.
fn stopped_at(screen: &RegistrationScreen) -> Option<Rung> {
    match screen.state {
        tui::State::Ready | tui::State::Healthy => return None,
        _ if screen.links.is_empty() => return Some(Rung::Link),
        _ if screen.addresses.is_empty() => return Some(Rung::Address),
        _ => {}
    }
    match screen.code.as_deref() {
        Some("LF-P01" | "LF-P02") => Some(Rung::Name),
        Some("LF-P03" | "LF-P04" | "LF-P05" | "LF-P06") => Some(Rung::Connection),
        // The first call is under way: nothing is known of the endpoint yet.
        None if screen.state == tui::State::Registering => Some(Rung::Name),
        _ => None,
    }
}

fn has_carrier(nic: &str) -> bool {
    fs::read_to_string(format!("/sys/class/net/{nic}/carrier")).is_ok_and(|text| text.trim() == "1")
}

/// The slot, from the sentinel that the initramfs left.
fn booted_slot(sentinels: &Path) -> Option<Slot> {
    let slots = [
        ("active_mode", Slot::Active),
        ("passive_mode", Slot::Passive),
        ("recovery_mode", Slot::Recovery),
    ];
    slots
        .into_iter()
        .find(|(name, _)| sentinels.join(name).exists())
        .map(|(_, slot)| slot)
}

const fn shown(state: State) -> tui::State {
    match state {
        State::NoNetwork => tui::State::NoNetwork,
        State::Unreachable => tui::State::Unreachable,
        State::Tls => tui::State::Tls,
        State::Waiting => tui::State::Waiting,
        State::Registering => tui::State::Registering,
        State::Rejected => tui::State::Rejected,
        State::Ready => tui::State::Ready,
        State::Healthy => tui::State::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use tui::State::{Healthy, NoNetwork, Registering, Tls, Unreachable, Waiting};

    use super::*;

    #[test]
    fn the_ladder_never_claims_a_rung_that_nobody_has_reached() {
        let screen =
            |links: &[&str], addresses: &[&str], state, code: Option<&str>| RegistrationScreen {
                links: links.iter().map(ToString::to_string).collect(),
                addresses: addresses.iter().map(ToString::to_string).collect(),
                code: code.map(ToOwned::to_owned),
                state,
                ..RegistrationScreen::default()
            };
        for (links, addresses, state, code, rung) in [
            (&[][..], &[][..], Registering, None, Some(Rung::Link)),
            (
                &["eno1"],
                &[],
                NoNetwork,
                Some("LF-P01"),
                Some(Rung::Address),
            ),
            (
                &["eno1"],
                &["10.0.0.2"],
                Registering,
                None,
                Some(Rung::Name),
            ),
            (
                &["eno1"],
                &["10.0.0.2"],
                Unreachable,
                Some("LF-P02"),
                Some(Rung::Name),
            ),
            (
                &["eno1"],
                &["10.0.0.2"],
                Unreachable,
                Some("LF-P04"),
                Some(Rung::Connection),
            ),
            (&["eno1"], &["10.0.0.2"], Tls, Some("LF-P11"), None),
            (&["eno1"], &["10.0.0.2"], Waiting, Some("LF-P23"), None),
            (&[], &[], Healthy, None, None),
        ] {
            assert_eq!(
                stopped_at(&screen(links, addresses, state, code)),
                rung,
                "{links:?} {addresses:?} {state:?}"
            );
        }
    }
}
