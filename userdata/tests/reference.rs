//! What people write with: the JSON Schema, the page of all keys, and a document to start from.

use serde_json::Value;
use userdata::{
    Profile, Rule, Severity, check_complete, check_eks, json_schema, parse, reference_markdown,
    starting_document,
};

fn at<'a>(schema: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(schema, |schema, key| &schema[*key])
}

/// Every schema in it that has properties.
fn objects(schema: &Value) -> Vec<&Value> {
    let mut open = vec![schema];
    let mut found = Vec::new();
    while let Some(value) = open.pop() {
        if value["properties"].is_object() {
            found.push(value);
        }
        open.extend(value.as_object().into_iter().flat_map(|map| map.values()));
        open.extend(value.as_array().into_iter().flatten());
    }
    found
}

#[test]
fn every_key_of_the_schema_has_a_description() {
    let schema = json_schema();
    let objects = objects(&schema);
    assert!(objects.len() > 30, "{}", objects.len());
    for object in objects {
        for (key, property) in object["properties"].as_object().unwrap() {
            let description = property["description"].as_str().unwrap_or_default();
            assert!(description.ends_with('.'), "{key}: {description:?}");
        }
    }
}

#[test]
fn the_schema_says_what_the_parser_says() {
    let schema = json_schema();
    let stylus = at(&schema, &["properties", "stylus"]);
    assert_eq!(stylus["additionalProperties"], false);
    let mode = at(stylus, &["properties", "managementMode", "enum"]);
    assert_eq!(mode, &serde_json::json!(["central", "local"]));
    assert_eq!(
        at(stylus, &["properties", "skipKubeVip", "deprecated"]),
        true
    );
    let step = at(
        &schema,
        &["properties", "stages", "properties", "boot", "items"],
    );
    assert_eq!(at(step, &["properties", "commands", "type"]), "array");
    assert!(at(step, &["properties", "git", "not"]).is_object());
    assert!(schema["additionalProperties"].is_null());
}

#[test]
fn the_page_has_every_key_once_in_the_table_of_its_mapping() {
    let page = reference_markdown();
    for line in [
        "## `stylus.site.network.interfaces.<name>`",
        "## `stages.<stage>[].systemctl.overrides[]`",
        "| `gateway` | text | Address of the router. |",
        "| `managementMode` | `central`, `local` |",
        "| `after-reset-chroot` |",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    let titles: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("## "))
        .collect();
    let mut unique = titles.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), titles.len());
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let bars = row.replace("\\|", "").matches('|').count();
        assert!((3..=4).contains(&bars), "{row}");
    }
}

#[test]
fn a_document_to_start_from_validates_and_warns_only_of_what_is_to_be_filled_in() {
    for profile in [Profile::General, Profile::EksHybrid] {
        let text = starting_document(profile);
        let parsed = parse("new", text.as_bytes());
        let rules: Vec<_> = parsed
            .findings
            .iter()
            .map(|finding| (finding.rule, finding.severity))
            .collect();
        assert_eq!(rules, [(Rule::Placeholder, Severity::Warning); 3], "{text}");
        let user_data = parsed.user_data.unwrap();
        assert_eq!(check_complete(&user_data), []);
        let missing = check_eks(&user_data).len();
        assert_eq!(missing, if profile == Profile::EksHybrid { 0 } else { 8 });
    }
}

#[test]
fn the_examples_in_the_comments_are_valid_too() {
    let text = starting_document(Profile::EksHybrid);
    let lines = text.lines().map(|line| {
        let example = line.trim_start().strip_prefix("# ");
        let is_example = |text: &&str| {
            let key = text.trim_start().split(':').next().unwrap_or_default();
            text.contains(':') && !key.contains(' ') && !key.starts_with('$')
        };
        match example.filter(is_example) {
            Some(example) => {
                let indent = line.len() - line.trim_start().len();
                format!("{}{example}\n", " ".repeat(indent))
            }
            None => format!("{line}\n"),
        }
    });
    let text: String = lines.collect();
    let parsed = parse("new", text.as_bytes());
    let user_data = parsed
        .user_data
        .unwrap_or_else(|| panic!("{:#?}\n{text}", parsed.findings));
    let site = &user_data.stylus.site;
    assert!(site.network.interfaces["eth0"].is_static);
    assert_eq!(site.tags["town"], "springfield");
    assert!(site.registration_url.is_some() && site.name.is_some());
}
