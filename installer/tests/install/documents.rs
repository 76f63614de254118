//! Several documents, as an operator gives them to the program.

use std::process::Output;

use installer::documents::Sources;
use installer::install::install;
use installer::report::Outcome;
use serde_json::{Value, json};

use crate::cli::{assert_exit, landfall, stdout};
use crate::lab::{Lab, TOKEN, put};
use crate::readers::Part;

const SITE: &str = "#cloud-config\nstylus: {site: {edgeHostToken: token-of-the-site}}\n";

/// Plans with the user-data of the lab and that of a site.
fn plan(lab: &Lab, format: &str) -> Output {
    let text = |name: &str| lab.at(name).display().to_string();
    let options = [
        ("--format", format.to_owned()),
        ("--disk", text("disk.img")),
        ("--wipe", "foreign".to_owned()),
        ("--payload", text("payload")),
        ("--user-data", text("user-data")),
        ("--user-data", text("site.yaml")),
    ];
    let options = options.iter().flat_map(|(name, value)| [*name, value]);
    landfall(&std::iter::once("plan").chain(options).collect::<Vec<_>>())
}

#[test]
fn a_part_is_valid_with_the_whole_and_not_alone() {
    let lab = Lab::with_tiny_payload();
    let site = "#cloud-config\nstylus: {site: {name: \"shop-${serial}\"}}\n";
    put(&lab.at("site.yaml"), site.as_bytes());
    let (whole, part) = (lab.at("user-data"), lab.at("site.yaml"));
    let (whole, part) = (whole.to_str().unwrap(), part.to_str().unwrap());
    assert_exit(&landfall(&["validate", whole, part]), 0);
    let alone = landfall(&["validate", part]);
    assert_exit(&alone, 1);
    assert!(stdout(&alone).contains("paletteEndpoint"), "{alone:?}");

    // What it leads to is not fetched here, and may bring the rest.
    let leads_on = "#cloud-config\nconfig_url: https://c.example.com/${mac}\n";
    put(&lab.at("leads-on.yaml"), leads_on.as_bytes());
    let output = landfall(&["validate", lab.at("leads-on.yaml").to_str().unwrap()]);
    assert_exit(&output, 0);

    // What the whole lacks for its profile is said at the document that has the list.
    let eks = ["validate", "--profile", "eks-hybrid", "--format", "json"];
    let output = landfall(&[&eks[..], &[whole, part]].concat());
    assert_exit(&output, 1);
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let lacking: Vec<&Value> = findings.iter().filter(|one| one["id"] == "U23").collect();
    assert!(!lacking.is_empty(), "{findings:#?}");
    for finding in lacking {
        assert_eq!(finding["file"], whole, "{finding}");
        assert_ne!(finding["line"], 1, "{finding}");
    }
}

#[test]
fn a_plan_says_which_document_won_in_words_and_in_json_and_shows_no_secret() {
    let lab = Lab::with_tiny_payload();
    put(&lab.at("site.yaml"), SITE.as_bytes());
    let (words, data) = (plan(&lab, "text"), plan(&lab, "json"));
    assert_exit(&words, 0);
    let text = stdout(&words);
    assert!(
        text.starts_with("User-data: user-data, then site.yaml\n"),
        "{text}"
    );
    let line = "  stylus.site.edgeHostToken: *** from site.yaml:2, instead of user-data\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("make the disk bootable"), "{text}");

    assert_exit(&data, 0);
    let plan: Value = serde_json::from_slice(&data.stdout).unwrap();
    let account = &plan["user_data"];
    assert_eq!(account["documents"], json!(["user-data", "site.yaml"]));
    let decisions = account["decisions"].as_array().unwrap();
    let token = decisions
        .iter()
        .find(|one| one["path"] == "stylus.site.edgeHostToken");
    assert_eq!(token.unwrap()["value"], "***");
    assert!(plan["steps"].is_array());
    for secret in [TOKEN, "token-of-the-site"] {
        assert!(!text.contains(secret) && !stdout(&data).contains(secret));
    }
}

#[test]
fn root_an_installed_host_keeps_the_merged_whole_and_the_account_of_it() {
    let lab = Lab::with_tiny_payload();
    put(&lab.at("site.yaml"), SITE.as_bytes());
    let mut request = lab.request(&lab.disk());
    request.user_data = Sources::files([lab.at("user-data"), lab.at("site.yaml")]);
    let mut told = Vec::new();
    let finished = install(&request, &mut host::Linux, &mut |event| {
        told.push(serde_json::to_value(event).unwrap());
    });
    assert_eq!(finished.result, Outcome::Installed, "{finished:?}");
    let account = told
        .iter()
        .find(|event| event["event"] == "userdata")
        .unwrap();
    assert_eq!(account["documents"], json!(["user-data", "site.yaml"]));

    let oem = Part::of(&lab.disk(), 3).files(&lab.at("oem"));
    let kept = std::str::from_utf8(&oem["90_custom.yaml"].bytes).unwrap();
    assert!(kept.contains("token-of-the-site") && kept.contains("palette.example.com"));
    assert!(!kept.contains(TOKEN), "{kept}");

    let persistent = Part::of(&lab.disk(), 6).files(&lab.at("persistent"));
    let folder = ".state/var-log.bind/landfall";
    let read = |name: &str| {
        let bytes = &persistent[&format!("{folder}/{name}")].bytes;
        std::str::from_utf8(bytes).unwrap().to_owned()
    };
    let log = read("install.log");
    let line = "stylus.site.edgeHostToken: *** from site.yaml:2, instead of user-data\n";
    assert!(log.contains(line), "{log}");
    let report: Value = serde_json::from_str(&read("install-report.json")).unwrap();
    assert_eq!(report["user_data"]["decisions"], account["decisions"]);
    for secret in [TOKEN, "token-of-the-site"] {
        assert!(!log.contains(secret) && !report.to_string().contains(secret));
    }
}
