//! The way to documents that are no files: servers, and volumes of other media.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use fetch::{Bounds, Client, Proxies, Received, Settings, Trust};
use host::Host;
use sysroot::cidata;
use userdata::Variables;

use super::{Document, network};
use crate::code::{Code, OrTrouble, Trouble};
use crate::report::Event;

/// How long one document may take, with all attempts.
const PATIENCE: Duration = Duration::from_mins(2);

/// How often it is said how long something may still take.
const TICK: Duration = Duration::from_secs(1);

/// How the network is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Folder with certificates of authorities (`*.pem`), which are trusted beside the system's; may be missing.
    pub authorities: Option<PathBuf>,
    /// Nobody else sets the network up: it is done once something has to be fetched, and not before.
    pub set_up: bool,
}

/// What [`super::gather`] asks for beyond files.
pub trait Reach {
    /// Fetches a document; `so_far` are those that were read already, whose authorities and proxies count.
    fn fetch(&mut self, url: &str, so_far: &[Document]) -> Result<Document>;

    /// The documents of every volume labelled `cidata`.
    fn volumes(&mut self) -> Result<Vec<Document>>;
}

/// The real way, through the door.
pub(crate) struct OnHost<'a, H: Host> {
    pub(crate) host: &'a mut H,
    pub(crate) network: &'a Network,
    pub(crate) machine: &'a Variables,
    pub(crate) tell: &'a mut dyn FnMut(&Event),
    pub(crate) is_up: bool,
}

impl<H: Host> Reach for OnHost<'_, H> {
    fn fetch(&mut self, url: &str, so_far: &[Document]) -> Result<Document> {
        if self.network.set_up && !self.is_up {
            network::bring_up(self.host, self.tell)?;
            self.is_up = true;
        }
        let client = Client::new(self.settings(so_far)?).or_trouble(Code::UserDataUnreachable)?;
        if url.starts_with("http://") {
            (self.tell)(&Event::Note {
                text: "user-data is fetched over http: whoever is between can read and change it"
                    .to_owned(),
            });
        }
        let (received, bytes) = self.wait_for(&client, url)?;
        Ok(Document {
            name: received.url,
            bytes,
        })
    }

    fn volumes(&mut self) -> Result<Vec<Document>> {
        let paths = sysroot::Paths::default();
        let volumes = cidata::find(&paths);
        let volume = match volumes.as_slice() {
            [] => return Ok(Vec::new()),
            [volume] => volume,
            several => {
                let nodes: Vec<_> = several
                    .iter()
                    .map(|one| one.node.display().to_string())
                    .collect();
                let reason = format!("several volumes are labelled cidata: {}", nodes.join(", "));
                return Err(Trouble::new(Code::SiteVolume, reason).into());
            }
        };
        let seed = cidata::read(&paths, volume, self.host).or_trouble(Code::SiteVolume)?;
        let document = seed.user_data.map(|(name, bytes)| Document {
            name: format!("cidata:{name}"),
            bytes,
        });
        Ok(document.into_iter().collect())
    }
}

impl<H: Host> OnHost<'_, H> {
    /// Whom to trust and which proxies to use: what the site has on the medium, and what the documents say.
    fn settings(&self, so_far: &[Document]) -> Result<Settings, Trouble> {
        let mut trust = Trust {
            certificates: self.authorities()?,
            ..Trust::default()
        };
        let mut proxies = Proxies::default();
        for document in so_far {
            let parsed = userdata::parse_for(&document.name, &document.bytes, self.machine);
            let Some(site) = parsed.user_data.map(|user_data| user_data.stylus.site) else {
                continue;
            };
            trust.certificates.extend(site.ca_certs);
            let secret = |text: userdata::Secret| fetch::Secret::new(text.reveal());
            let network = site.network;
            proxies.http = network.http_proxy.map(secret).or(proxies.http);
            proxies.https = network.https_proxy.map(secret).or(proxies.https);
            proxies.no_proxy = network.no_proxy.or(proxies.no_proxy);
        }
        Ok(Settings {
            trust,
            proxies,
            ..Settings::default()
        })
    }

    fn authorities(&self) -> Result<Vec<String>, Trouble> {
        let Some(folder) = &self.network.authorities else {
            return Ok(Vec::new());
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|kind| kind == "pem"));
        paths.sort();
        let read = |path: &PathBuf| {
            fs::read_to_string(path).map_err(|error| {
                let reason = format!("{}: {error}", path.display());
                Trouble::new(Code::UserDataUnreachable, reason)
            })
        };
        paths.iter().map(read).collect()
    }

    /// Fetches, and says meanwhile how long it may still take.
    fn wait_for(&mut self, client: &Client, url: &str) -> Result<(Received, Vec<u8>), Trouble> {
        let bounds = Bounds {
            bytes: userdata::MAX_BYTES as u64,
            time: PATIENCE,
        };
        let deadline = Instant::now() + PATIENCE;
        let what = format!("the user-data from {}", server(url));
        let fetched = std::thread::scope(|scope| {
            let fetching = scope.spawn(|| {
                let mut bytes = Vec::new();
                let received = client.get(url, bounds, &mut bytes, &mut |_| ());
                received.map(|received| (received, bytes))
            });
            while !fetching.is_finished() {
                let left = deadline.saturating_duration_since(Instant::now());
                network::say_wait(self.tell, &what, left);
                for _ in 0..10 {
                    if !fetching.is_finished() {
                        std::thread::sleep(TICK / 10);
                    }
                }
            }
            fetching.join()
        });
        let refuse = |reason: String| Trouble::new(Code::UserDataUnreachable, reason);
        match fetched {
            Ok(Ok(fetched)) => Ok(fetched),
            Ok(Err(error)) => Err(refuse(format!("{}: {error}", error.code()))),
            Err(_) => Err(refuse(format!("{what}: the HTTP library ended by itself"))),
        }
    }
}

/// Scheme and host of an address, which are no secret; account, path and query may be.
fn server(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers one request with this status and body; gives the address to ask.
    fn serve(status: &'static str, body: &'static str) -> String {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert_ne!(stream.read(&mut request).unwrap(), 0);
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body.as_bytes()).unwrap();
        });
        format!("http://{address}")
    }

    fn fetch_it(network: &Network, url: &str, said: &mut Vec<Event>) -> Result<Document> {
        let machine = Variables::default();
        let mut host = host::Recorder::default();
        let mut tell = |event: &Event| said.push(event.clone());
        let mut reach = OnHost {
            host: &mut host,
            network,
            machine: &machine,
            tell: &mut tell,
            is_up: false,
        };
        let fetched = reach.fetch(url, &[]);
        assert!(host.calls.is_empty(), "a running system has its network");
        fetched
    }

    #[test]
    fn a_document_is_called_by_its_address_without_its_secrets_and_plain_http_is_noted() {
        let url = serve("200 OK", "#cloud-config\n");
        let mut said = Vec::new();
        let document = fetch_it(&Network::default(), &format!("{url}/x?key=k"), &mut said).unwrap();
        assert_eq!(document.name, format!("{url}/x"));
        assert_eq!(document.bytes, b"#cloud-config\n");
        let note = |event: &&Event| matches!(event, Event::Note { .. });
        assert_eq!(said.iter().filter(note).count(), 1, "{said:?}");
        assert!(
            said.iter()
                .any(|event| matches!(event, Event::Waiting { .. }))
        );
    }

    #[test]
    fn a_document_that_does_not_come_is_refused_with_the_cause() {
        let url = serve("404 Not Found", "");
        let error = fetch_it(
            &Network::default(),
            &format!("{url}/x?key=k"),
            &mut Vec::new(),
        );
        let error = error.unwrap_err();
        let trouble = crate::code::find(&error).unwrap();
        assert_eq!(trouble.code, Code::UserDataUnreachable);
        let start =
            format!("LF-N20: {url}/x cannot be fetched: The server answers with status 404.");
        assert!(trouble.reason.starts_with(&start), "{trouble}");
        assert!(!trouble.reason.contains("key=k"));
    }

    #[test]
    fn a_certificate_that_is_none_is_named_before_anything_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let mut file = fs::File::create(folder.path().join(name)).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        };
        write("00.pem", "no certificate");
        write("notes.txt", "not looked at");
        let network = Network {
            authorities: Some(folder.path().to_owned()),
            set_up: false,
        };
        let error = fetch_it(&network, "https://127.0.0.1:9/", &mut Vec::new()).unwrap_err();
        let trouble = crate::code::find(&error).unwrap();
        assert_eq!(trouble.code, Code::UserDataUnreachable);
        assert!(trouble.reason.contains("CA certificate 1"), "{trouble}");
    }

    #[test]
    fn only_the_server_of_an_address_is_shown() {
        for (url, shown) in [
            (
                "https://u:p@c.example.com:8443/x?key=k",
                "https://c.example.com:8443",
            ),
            ("http://c?key=a/b", "http://c"),
            ("https://[fe80::1]/x", "https://[fe80::1]"),
        ] {
            assert_eq!(server(url), shown);
        }
    }
}
