//! HTTP and HTTPS: whom to trust, what went wrong, and how a document is fetched.
//!
//! - [`Trust`]: the authorities that are believed, and the client every call of Landfall starts from. Certificates are
//!   always verified; there is no switch.
//! - [`Cause`] and [`TlsFault`]: an error of the HTTP library, sorted by what an operator can do about it.
//! - [`Client`]: fetches a document into a [`Sink`], with bounds on bytes and time, attempts, redirects, and proxies.
//!
//! What it refuses to know: what is fetched and why, user-data, disks. Proxies come from its caller, never from the
//! environment. No error and no `Debug` shows the account or the query of an address: both may be secrets.

mod cause;
mod client;
mod error;
mod proxies;
mod secret;
#[cfg(test)]
mod served;
mod sink;
mod tls;
mod trust;

pub use cause::{Cause, MAX_RETRY_AFTER, retry_after};
pub use client::{Bounds, Client, Progress, Received, Settings};
pub use error::{CODES, Fault, FetchError, SettingsError};
pub use proxies::Proxies;
pub use secret::Secret;
pub use sink::{Once, Sink};
pub use tls::TlsFault;
pub use trust::{SYSTEM_BUNDLE, Trust, TrustError, build_time};
