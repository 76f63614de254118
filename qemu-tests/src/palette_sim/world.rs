//! What the simulated Palette knows and decides: the records of edge hosts and their states. No HTTP, no clock.
//!
//! Rules and status codes are those of the published API; where it is silent (what `register` says to a bad token, an
//! unknown project, a host without a record) the choice is ours and written at its place.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use serde_json::Value;

/// The state of a record, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// Created by a user, no host has called yet.
    Unpaired,
    /// A host has registered.
    Ready,
    /// In a cluster.
    InUse,
}

/// The health of a paired host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// Its last report says so and is recent.
    Healthy,
    /// Its last report says so, or there was none for too long.
    Unhealthy,
}

/// The record of an edge host.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostRecord {
    /// The edge host ID.
    pub uid: String,
    /// The label `name` if there is one, else the ID.
    pub name: String,
    /// Labels, of the user and of the host; the host's win.
    pub labels: BTreeMap<String, String>,
    /// Its state.
    pub state: HostState,
    /// Its health; none before the first report.
    pub health: Option<HealthState>,
    /// What its last report said.
    pub message: String,
    /// The address that the host gave.
    pub address: String,
    /// `spec.device` of the registration, as sent.
    pub device: Value,
    /// Name and version of the registering program.
    pub service: String,
    /// When the host last called.
    #[serde(skip)]
    pub last_seen: Option<SystemTime>,
}

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `code` of the body.
    pub code: &'static str,
    /// `message` of the body.
    pub message: String,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }
}

/// All records, and who may register.
#[derive(Debug, Default)]
pub(super) struct World {
    hosts: BTreeMap<String, HostRecord>,
    token: Option<String>,
    project: Option<String>,
    silence: Duration,
}

impl World {
    /// An empty world. Without a token nobody registers by himself; without a project every project is right. A host
    /// that is silent for longer than `silence` becomes unhealthy.
    pub(super) fn new(token: Option<String>, project: Option<String>, silence: Duration) -> Self {
        Self {
            hosts: BTreeMap::new(),
            token,
            project,
            silence,
        }
    }

    /// A user adds a host (`POST /v1/edgehosts`).
    pub(super) fn add(
        &mut self,
        uid: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        if uid.is_empty() {
            return Err(Refusal::new(
                400,
                "ValidationFailed",
                "metadata.uid is required",
            ));
        }
        if self.hosts.contains_key(uid) {
            let message = format!("Edge host '{uid}' is already registered");
            return Err(Refusal::new(
                400,
                "AlreadyRegisteredEdgeHostDevice",
                message,
            ));
        }
        let record = HostRecord {
            uid: uid.to_owned(),
            name: labels
                .get("name")
                .cloned()
                .unwrap_or_else(|| uid.to_owned()),
            labels,
            state: HostState::Unpaired,
            health: None,
            message: String::new(),
            address: String::new(),
            device: Value::Null,
            service: String::new(),
            last_seen: None,
        };
        self.hosts.insert(uid.to_owned(), record);
        Ok(())
    }

    /// A user deletes a host.
    pub(super) fn delete(&mut self, uid: &str) -> Result<(), Refusal> {
        self.hosts
            .remove(uid)
            .map(drop)
            .ok_or_else(|| not_found(uid))
    }

    /// A host calls `POST /v1/edgehosts/register`. Repeating it is harmless: a host does so at each of its boots.
    pub(super) fn register(
        &mut self,
        body: &Value,
        now: SystemTime,
    ) -> Result<HostRecord, Refusal> {
        let text = |path: &str| {
            body.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let uid = text("/spec/host/hostUid");
        if uid.is_empty() || body.pointer("/spec/host/hostAddress").is_none() {
            let message = "spec.host.hostUid and spec.host.hostAddress are required";
            return Err(Refusal::new(400, "ValidationFailed", message));
        }
        self.check_token(text("/spec/host/hostAuthToken"))?;
        self.check_project(text("/spec/host/project/uid"))?;
        if !self.hosts.contains_key(uid) {
            let automatic =
                body.pointer("/spec/host/disableAutoRegister") != Some(&Value::Bool(true));
            if text("/spec/host/hostAuthToken").is_empty() || !automatic {
                return Err(not_registered(uid));
            }
            self.add(uid, BTreeMap::new())?;
        }
        let record = self.hosts.get_mut(uid).ok_or_else(|| not_registered(uid))?;
        if record.state == HostState::Unpaired {
            record.state = HostState::Ready;
        }
        record.labels.extend(labels_of(body));
        if let Some(name) = record.labels.get("name") {
            record.name.clone_from(name);
        }
        text("/spec/host/hostAddress").clone_into(&mut record.address);
        record.device = body.pointer("/spec/device").cloned().unwrap_or_default();
        record.service = format!(
            "{} {}",
            text("/spec/service/name"),
            text("/spec/service/version")
        );
        record.last_seen = Some(now);
        Ok(record.clone())
    }

    /// A host calls `PATCH /v1/edgehosts/{uid}/health`. A record without a paired host takes none.
    pub(super) fn report_health(
        &mut self,
        uid: &str,
        body: &Value,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let record = self
            .hosts
            .get_mut(uid)
            .filter(|record| record.state != HostState::Unpaired);
        let record = record.ok_or_else(|| not_registered(uid))?;
        let health = match body.get("state").and_then(Value::as_str) {
            Some("healthy") => HealthState::Healthy,
            Some("unhealthy") => HealthState::Unhealthy,
            _ => {
                return Err(Refusal::new(
                    400,
                    "ValidationFailed",
                    "state must be healthy or unhealthy",
                ));
            }
        };
        record.health = Some(health);
        record.last_seen = Some(now);
        body.get("message")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .clone_into(&mut record.message);
        Ok(())
    }

    /// One record as it stands now.
    pub(super) fn host(&self, uid: &str, now: SystemTime) -> Result<HostRecord, Refusal> {
        self.hosts
            .get(uid)
            .map(|record| self.as_of(record, now))
            .ok_or_else(|| not_found(uid))
    }

    /// All records as they stand now, sorted by ID.
    pub(super) fn hosts(&self, now: SystemTime) -> Vec<HostRecord> {
        self.hosts
            .values()
            .map(|record| self.as_of(record, now))
            .collect()
    }

    fn as_of(&self, record: &HostRecord, now: SystemTime) -> HostRecord {
        let mut record = record.clone();
        let since = record
            .last_seen
            .and_then(|seen| now.duration_since(seen).ok());
        if record.health == Some(HealthState::Healthy)
            && since.is_some_and(|since| since > self.silence)
        {
            record.health = Some(HealthState::Unhealthy);
            "No health report for some time.".clone_into(&mut record.message);
        }
        record
    }

    /// No token is no fault; a wrong one is, even for a host that a user has added.
    fn check_token(&self, given: &str) -> Result<(), Refusal> {
        if given.is_empty() || self.token.as_deref() == Some(given) {
            return Ok(());
        }
        Err(Refusal::new(
            401,
            "Unauthorized",
            "The registration token is invalid or has expired",
        ))
    }

    /// The real Palette is said to fail silently here; ours says what is wrong.
    fn check_project(&self, given: &str) -> Result<(), Refusal> {
        match &self.project {
            Some(project) if !given.is_empty() && given != project => {
                let message = format!("The token does not allow project '{given}'");
                Err(Refusal::new(403, "OperationForbidden", message))
            }
            _ => Ok(()),
        }
    }
}

fn not_found(uid: &str) -> Refusal {
    Refusal::new(
        404,
        "ResourceNotFound",
        format!("Edge host '{uid}' is not found"),
    )
}

fn not_registered(uid: &str) -> Refusal {
    Refusal::new(
        404,
        "EdgeHostDeviceNotRegistered",
        format!("Edge host '{uid}' is not registered"),
    )
}

/// `metadata.labels` of a body; what is not text is left out.
pub(super) fn labels_of(body: &Value) -> BTreeMap<String, String> {
    let labels = body.pointer("/metadata/labels").and_then(Value::as_object);
    let pairs = labels.into_iter().flatten();
    pairs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn world() -> World {
        World::new(
            Some("good".to_owned()),
            Some("p-1".to_owned()),
            Duration::from_secs(90),
        )
    }

    fn call(token: &str, project: &str) -> Value {
        json!({
            "metadata": { "labels": { "name": "kiosk", "n": 1 } },
            "spec": {
                "host": {
                    "hostUid": "edge-1", "hostAddress": "10.0.2.15", "hostAuthToken": token,
                    "project": { "uid": project },
                },
                "service": { "name": "landfall", "version": "1" },
            },
        })
    }

    fn code<T>(result: Result<T, Refusal>) -> (u16, &'static str) {
        result
            .err()
            .map_or((200, ""), |refusal| (refusal.status, refusal.code))
    }

    #[test]
    fn a_registration_is_refused_for_what_is_wrong_with_it() {
        let missing = json!({ "spec": { "host": { "hostUid": "edge-1" } } });
        let mut by_hand = call("good", "");
        by_hand["spec"]["host"]["disableAutoRegister"] = json!(true);
        for (body, wanted) in [
            (json!(null), (400, "ValidationFailed")),
            (missing, (400, "ValidationFailed")),
            (call("bad", "p-1"), (401, "Unauthorized")),
            (call("good", "p-2"), (403, "OperationForbidden")),
            (call("", "p-1"), (404, "EdgeHostDeviceNotRegistered")),
            (by_hand, (404, "EdgeHostDeviceNotRegistered")),
            (call("good", "p-1"), (200, "")),
            (call("good", ""), (200, "")),
        ] {
            assert_eq!(code(world().register(&body, START)), wanted, "{body}");
        }
    }

    #[test]
    fn a_host_goes_from_unpaired_to_ready_to_healthy_to_unhealthy() {
        let mut world = world();
        world
            .add(
                "edge-1",
                BTreeMap::from([("site".to_owned(), "7".to_owned())]),
            )
            .unwrap();
        assert_eq!(
            code(world.add("edge-1", BTreeMap::new())),
            (400, "AlreadyRegisteredEdgeHostDevice")
        );
        assert_eq!(
            world.host("edge-1", START).unwrap().state,
            HostState::Unpaired
        );
        let report = json!({ "state": "healthy", "message": "fine" });
        let early = world.report_health("edge-1", &report, START);
        assert_eq!(code(early), (404, "EdgeHostDeviceNotRegistered"));

        let record = world.register(&call("", ""), START).unwrap();
        assert_eq!(
            (record.state, record.health, record.name.as_str()),
            (HostState::Ready, None, "kiosk")
        );
        assert_eq!(record.labels.keys().collect::<Vec<_>>(), ["name", "site"]);
        assert_eq!(
            (record.address.as_str(), record.service.as_str()),
            ("10.0.2.15", "landfall 1")
        );

        world.report_health("edge-1", &report, START).unwrap();
        for (seconds, health) in [(90, HealthState::Healthy), (91, HealthState::Unhealthy)] {
            let now = START + Duration::from_secs(seconds);
            assert_eq!(
                world.hosts(now)[0].health,
                Some(health),
                "after {seconds} s"
            );
        }
        assert_eq!(
            code(world.report_health("edge-1", &json!({"state": "?"}), START)),
            (400, "ValidationFailed")
        );
    }

    #[test]
    fn a_deleted_host_must_be_added_again() {
        let mut world = world();
        world.register(&call("good", ""), START).unwrap();
        world.delete("edge-1").unwrap();
        assert_eq!(code(world.delete("edge-1")), (404, "ResourceNotFound"));
        assert_eq!(code(world.host("edge-1", START)), (404, "ResourceNotFound"));
        assert_eq!(
            code(world.register(&call("", ""), START)),
            (404, "EdgeHostDeviceNotRegistered")
        );
    }
}
