//! Several documents, as an operator gives them to the program.

use std::process::Output;

use serde_json::{Value, json};

use crate::cli::{assert_exit, landfall, stdout};
use crate::lab::{Lab, TOKEN, put};

const SITE: &str = "#cloud-config\nstylus: {site: {edgeHostToken: token-of-the-site}}\n";

/// Plans with the user-data of the lab and that of a site.
fn plan(lab: &Lab, format: &str) -> Output {
    let text = |name: &str| lab.at(name).display().to_string();
    let options = [
        ("--format", format.to_owned()),
        ("--wipe", "foreign".to_owned()),
        ("--disk", text("disk.img")),
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
