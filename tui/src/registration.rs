//! The registration screen, for an operator on a ladder with a phone.
//!
//! ```text
//! +------------------------------------------------------------------------------+
//! | Landfall 0.1.0 - Edge host registration                     slot active      |
//! | Edge host ID  edge-03163342f7f0e6fe20de095ed8548c93                          |
//! +---------------------------------+--------------------------------------------+
//! | state                           |  █▀▀▀▀▀█ ▄▀ ...                            |
//! | reason, action, next try        |  █ ███ █                                   |
//! | link .. healthy, with facts     |  QR code                                   |
//! | URL in words                    |                                            |
//! | Alt+F2 for a login              |                                            |
//! +---------------------------------+--------------------------------------------+
//! ```
//!
//! This file owns what the screen can say; `draw` owns the picture, `panel` the words in it.

mod draw;
mod panel;

pub use draw::draw_registration;

/// Where the pairing stands: the `state` of the event `pairing` in `docs/interfaces.md`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// `no-network`: no link or no address.
    #[default]
    NoNetwork,
    /// `unreachable`: the endpoint has no address, or does not answer.
    Unreachable,
    /// `tls`: it answers, but not as someone whom this host trusts.
    Tls,
    /// `waiting`: nobody has added the host yet, and it has no token to add itself.
    Waiting,
    /// `registering`: the host is asking for its registration.
    Registering,
    /// `rejected`: Palette said no.
    Rejected,
    /// `ready`: registered, the first health report is to come.
    Ready,
    /// `healthy`: paired; nothing is left to do here.
    Healthy,
}

impl State {
    /// All states, in the order in which a host goes through them.
    pub const ALL: [Self; 8] = [
        Self::NoNetwork,
        Self::Unreachable,
        Self::Tls,
        Self::Waiting,
        Self::Registering,
        Self::Rejected,
        Self::Ready,
        Self::Healthy,
    ];

    /// The name used in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoNetwork => "no-network",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Waiting => "waiting",
            Self::Registering => "registering",
            Self::Rejected => "rejected",
            Self::Ready => "ready",
            Self::Healthy => "healthy",
        }
    }

    /// The rung at which the host stands in this state, when nothing more exact is known; `None` at the top.
    const fn rung(self) -> Option<Rung> {
        match self {
            Self::NoNetwork => Some(Rung::Link),
            Self::Unreachable => Some(Rung::Name),
            Self::Tls => Some(Rung::Tls),
            Self::Waiting | Self::Registering | Self::Rejected => Some(Rung::Registered),
            Self::Ready => Some(Rung::Healthy),
            Self::Healthy => None,
        }
    }

    /// Whether something is wrong, as opposed to not finished.
    const fn is_fault(self) -> bool {
        matches!(
            self,
            Self::NoNetwork | Self::Unreachable | Self::Tls | Self::Rejected
        )
    }

    /// Whether Palette knows the host, so that there is nothing left to scan.
    const fn is_registered(self) -> bool {
        matches!(self, Self::Ready | Self::Healthy)
    }
}

/// A step of the way to Palette, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// A network port has a carrier.
    Link,
    /// It has an address.
    Address,
    /// The name of the endpoint (or of the proxy) has one.
    Name,
    /// The endpoint accepts connections.
    Connection,
    /// Its certificate is trusted, and the clock agrees.
    Tls,
    /// Palette has a record of this host.
    Registered,
    /// Palette has taken a health report.
    Healthy,
}

impl Rung {
    const ALL: [Self; 7] = [
        Self::Link,
        Self::Address,
        Self::Name,
        Self::Connection,
        Self::Tls,
        Self::Registered,
        Self::Healthy,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Link => "Link",
            Self::Address => "Address",
            Self::Name => "Name",
            Self::Connection => "Connection",
            Self::Tls => "TLS",
            Self::Registered => "Registered",
            Self::Healthy => "Healthy",
        }
    }
}

/// Which system the host booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The newest one.
    Active,
    /// The one before.
    Passive,
    /// The rescue system.
    Recovery,
}

impl Slot {
    const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive (fallback)",
            Self::Recovery => "recovery",
        }
    }
}

/// Everything the registration screen can say. Fields that are `None` or empty are left out of the picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrationScreen {
    /// Version of Landfall, without a leading `v`.
    pub version: String,
    /// The slot that was booted.
    pub slot: Option<Slot>,
    /// The edge host ID, 1 to 128 characters; always shown whole.
    pub edge_host_id: String,
    /// What the QR code says: the registration URL with the ID in it. Not shown once the host is registered.
    pub qr_text: Option<String>,
    /// The Palette endpoint, as a host name or as a URL without credentials.
    pub endpoint: Option<String>,
    /// The host name.
    pub host_name: Option<String>,
    /// Network ports with a carrier, best first: `eno1`.
    pub links: Vec<String>,
    /// IP addresses, best first: `192.168.10.21`.
    pub addresses: Vec<String>,
    /// Where the pairing stands.
    pub state: State,
    /// The rung at which the host stands, where the caller knows it better than the state tells (an `unreachable`
    /// endpoint may lack its name or its connection).
    pub stopped_at: Option<Rung>,
    /// Code of the fault: `LF-NET-002`.
    pub code: Option<String>,
    /// What is wrong, one sentence.
    pub reason: Option<String>,
    /// What to do next, one sentence. Without it the screen gives its own advice for the state.
    pub action: Option<String>,
    /// Seconds until the next try.
    pub next_try_s: Option<u64>,
    /// Another disk with an installation, one sentence.
    pub twin: Option<String>,
    /// How to get a login: `Alt+F2 for a login`.
    pub login: Option<String>,
}
