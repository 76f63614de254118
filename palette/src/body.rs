//! The JSON bodies of the calls, field names as in the published schema `v1EdgeHostDevice`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Secret,
    client::{Health, HostState, Registered},
    inventory::{Inventory, Nic},
    settings::Settings,
};

/// The word by which Palette's list of services knows the registering program.
const SERVICE: &str = "landfall";

/// The body of `POST /v1/edgehosts/register`.
pub(crate) fn register(settings: &Settings, inventory: &Inventory) -> Value {
    let facts = &inventory.facts;
    let address = facts.address().map(|ip| ip.to_string()).unwrap_or_default();
    let mut host = json!({ "hostUid": inventory.host_uid, "hostAddress": address });
    if let Some(nic) = facts.default_nic() {
        host["macAddress"] = json!(nic.mac);
    }
    if let Some(token) = settings
        .token
        .as_ref()
        .filter(|_| !settings.disable_auto_register)
    {
        host["hostAuthToken"] = json!(token.reveal());
    }
    if settings.disable_auto_register {
        host["disableAutoRegister"] = json!(true);
    }
    if let Some(project) = project(settings) {
        host["project"] = project;
    }
    json!({
        "metadata": {
            "uid": inventory.host_uid,
            "name": inventory.host_uid,
            "labels": inventory.labels,
        },
        "spec": {
            "host": host,
            "device": device(inventory),
            "service": { "name": SERVICE, "version": inventory.service_version },
        },
    })
}

fn project(settings: &Settings) -> Option<Value> {
    let mut project = BTreeMap::new();
    project.extend(settings.project_uid.as_deref().map(|uid| ("uid", uid)));
    project.extend(settings.project_name.as_deref().map(|name| ("name", name)));
    (!project.is_empty()).then(|| json!(project))
}

fn device(inventory: &Inventory) -> Value {
    let facts = &inventory.facts;
    json!({
        "archType": facts.architecture,
        "cpu": { "cores": facts.cores },
        // The schema calls it "memory size in bytes"; its name and every other unit of the schema say MB.
        "memory": { "sizeInMB": facts.memory_mib },
        "nics": facts.nics.iter().map(nic).collect::<Vec<_>>(),
        "os": {
            "family": facts.os_family,
            "version": facts.os_version,
            "kernel": "linux",
            "kernelVersion": facts.kernel_version,
        },
        "hostState": "registration",
        "hostType": "appliance",
        "secureBoot": facts.secure_boot,
    })
}

fn nic(nic: &Nic) -> Value {
    let mut value = json!({
        "nicName": nic.name,
        "macAddr": nic.mac,
        "dns": nic.dns,
        "isDefault": nic.is_default,
    });
    let optional = [
        ("ip", nic.ip.map(|ip| ip.to_string())),
        ("subnet", nic.subnet.clone()),
        ("gateway", nic.gateway.map(|ip| ip.to_string())),
    ];
    for (key, text) in optional {
        if let Some(text) = text {
            value[key] = json!(text);
        }
    }
    value
}

/// The body of `PATCH /v1/edgehosts/{uid}/health`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthReport<'a> {
    state: &'static str,
    message: &'a str,
    agent_version: &'a str,
}

impl<'a> HealthReport<'a> {
    pub(crate) fn new(health: Health, message: &'a str, agent_version: &'a str) -> Self {
        let state = match health {
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
        };
        Self {
            state,
            message,
            agent_version,
        }
    }
}

/// Takes from the answer to `register` what is of use. Read by path and not into a type: no field of the schema is
/// required, and a server in Go writes `null` where it has nothing. A success without a state counts as ready.
pub(crate) fn registered(answer: &Value, host_uid: &str) -> Registered {
    let text = |path| {
        answer
            .pointer(path)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let state = match text("/status/state") {
        Some("unpaired") => HostState::Unpaired,
        Some("in-use") => HostState::InUse,
        _ => HostState::Ready,
    };
    Registered {
        uid: text("/metadata/uid").unwrap_or(host_uid).to_owned(),
        state,
        service_token: text("/status/serviceAuthToken").map(Secret::new),
    }
}

/// The body of an answer that is not a success.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Facts;

    fn inventory() -> Inventory {
        Inventory {
            host_uid: "edge-1".to_owned(),
            labels: BTreeMap::from([("name".to_owned(), "kiosk".to_owned())]),
            service_version: "0.1.0".to_owned(),
            facts: Facts {
                architecture: "amd64".to_owned(),
                cores: 2,
                memory_mib: 1967,
                nics: vec![Nic {
                    name: "ens3".to_owned(),
                    mac: "52:54:00:aa:bb:cc".to_owned(),
                    ip: Some("10.0.2.15".parse().unwrap()),
                    subnet: Some("10.0.2.0/24".to_owned()),
                    gateway: Some("10.0.2.2".parse().unwrap()),
                    dns: vec!["10.0.2.3".parse().unwrap()],
                    is_default: true,
                }],
                os_family: "debian".to_owned(),
                os_version: "12".to_owned(),
                kernel_version: "6.1.0".to_owned(),
                secure_boot: true,
            },
        }
    }

    #[test]
    fn the_registration_has_every_field_of_the_schema_that_we_know() {
        let settings = Settings {
            token: Some(Secret::new("tok")),
            project_uid: Some("p-1".to_owned()),
            project_name: Some("Plant".to_owned()),
            ..Settings::new("palette.example")
        };
        let wanted = json!({
            "metadata": { "uid": "edge-1", "name": "edge-1", "labels": { "name": "kiosk" } },
            "spec": {
                "host": {
                    "hostUid": "edge-1",
                    "hostAddress": "10.0.2.15",
                    "macAddress": "52:54:00:aa:bb:cc",
                    "hostAuthToken": "tok",
                    "project": { "uid": "p-1", "name": "Plant" },
                },
                "device": {
                    "archType": "amd64",
                    "cpu": { "cores": 2 },
                    "memory": { "sizeInMB": 1967 },
                    "nics": [{
                        "nicName": "ens3", "macAddr": "52:54:00:aa:bb:cc", "ip": "10.0.2.15",
                        "subnet": "10.0.2.0/24", "gateway": "10.0.2.2", "dns": ["10.0.2.3"],
                        "isDefault": true,
                    }],
                    "os": {
                        "family": "debian", "version": "12", "kernel": "linux", "kernelVersion": "6.1.0",
                    },
                    "hostState": "registration",
                    "hostType": "appliance",
                    "secureBoot": true,
                },
                "service": { "name": "landfall", "version": "0.1.0" },
            },
        });
        assert_eq!(register(&settings, &inventory()), wanted);
    }

    #[test]
    fn without_token_and_project_their_fields_are_absent() {
        let body = register(&Settings::new("palette.example"), &Inventory::default());
        assert_eq!(
            body["spec"]["host"],
            json!({ "hostUid": "", "hostAddress": "" })
        );
    }

    #[test]
    fn disable_auto_register_keeps_the_token_at_home() {
        let settings = Settings {
            token: Some(Secret::new("tok")),
            disable_auto_register: true,
            ..Settings::new("palette.example")
        };
        let host = &register(&settings, &inventory())["spec"]["host"];
        assert_eq!(
            (&host["disableAutoRegister"], host.get("hostAuthToken")),
            (&json!(true), None)
        );
    }

    #[test]
    fn the_answer_gives_state_and_uid_and_ignores_the_rest() {
        for (answer, uid, state) in [
            (json!({}), "edge-1", HostState::Ready),
            (
                json!({"status": {"state": "ready", "new": [1]}}),
                "edge-1",
                HostState::Ready,
            ),
            (
                json!({"metadata": {"uid": "u"}, "status": {"state": "in-use"}}),
                "u",
                HostState::InUse,
            ),
            (
                json!({"status": {"state": "unpaired"}, "metadata": null}),
                "edge-1",
                HostState::Unpaired,
            ),
        ] {
            let wanted = Registered {
                uid: uid.to_owned(),
                state,
                service_token: None,
            };
            assert_eq!(registered(&answer, "edge-1"), wanted);
        }
    }
}
