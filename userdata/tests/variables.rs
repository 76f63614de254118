//! What a document says of the machine it is read on, and where it may say it.

use userdata::{Severity, Variables, parse, parse_for};

const DOCUMENT: &str = r#"#cloud-config
config_url: https://c.example.com/${mac}
stylus:
  site:
    name: shop-${serial}
    hostName: ${mac}
    registrationURL: https://r.example.com/?s=${serial}
    edgeHostToken: a${uuid}
    tags:
      id: "${uuid}"
      town: springfield
stages:
  initramfs:
    - name: ${uuid}
      if: '[ "${serial}" = x ]'
      commands:
        - 'uuid=1; echo ${uuid} ${other}'
      files:
        - path: /etc/x
          content: "${serial} ${unknown}"
      users:
        kairos:
          passwd: pa${mac}ss
"#;

fn machine() -> Variables {
    Variables {
        uuid: Some("4c4c4544-0042-3510-8052-b9c04f4b5931".to_owned()),
        serial: Some("5BYK".to_owned()),
        mac: Some("52-54-00-12-34-56".to_owned()),
    }
}

#[test]
fn the_values_of_the_machine_reach_what_tells_hosts_apart_and_nothing_else() {
    let parsed = parse_for("user-data", DOCUMENT.as_bytes(), &machine());
    let user_data = parsed
        .user_data
        .unwrap_or_else(|| panic!("{:#?}", parsed.findings));
    let site = &user_data.stylus.site;
    assert_eq!(
        user_data.config_url.as_ref().unwrap().reveal(),
        "https://c.example.com/52-54-00-12-34-56"
    );
    assert_eq!(
        site.name,
        Some(userdata::HostId::Fixed("shop-5BYK".to_owned()))
    );
    assert_eq!(site.host_name.as_deref(), Some("52-54-00-12-34-56"));
    assert_eq!(
        site.registration_url.as_deref(),
        Some("https://r.example.com/?s=5BYK")
    );
    assert_eq!(site.tags["id"], "4c4c4544-0042-3510-8052-b9c04f4b5931");
    assert_eq!(site.edge_host_token.as_ref().unwrap().reveal(), "a${uuid}");

    let kept = user_data.oem_document(&mut str::to_owned);
    for shell in [
        "name: \"${uuid}\"",
        "[ \\\"${serial}\\\" = x ]",
        "uuid=1; echo ${uuid} ${other}",
        "${serial} ${unknown}",
        "pa${mac}ss",
    ] {
        assert!(kept.contains(shell), "{shell}\n{kept}");
    }
}

#[test]
fn a_variable_that_there_is_not_is_refused_at_its_place() {
    let text = DOCUMENT.replace("shop-${serial}", "shop-${hostname}");
    let parsed = parse_for("user-data", text.as_bytes(), &machine());
    assert!(parsed.user_data.is_none());
    let found: Vec<String> = parsed.findings.iter().map(ToString::to_string).collect();
    assert!(
        found.contains(&"user-data:5:11: error[U41] stylus.site.name: there is no variable `${hostname}`; the variables are `${uuid}`, `${serial}` and `${mac}`".to_owned()),
        "{found:#?}"
    );

    let nameless = Variables {
        serial: None,
        ..machine()
    };
    let parsed = parse_for("user-data", DOCUMENT.as_bytes(), &nameless);
    let missing = parsed.findings.iter().filter(|one| one.rule.id() == "U41");
    let paths: Vec<&str> = missing.map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["stylus.site.name", "stylus.site.registrationURL"]);
}

#[test]
fn a_value_of_the_machine_is_checked_as_one_of_the_author() {
    let odd = Variables {
        serial: Some("To be filled!".to_owned()),
        ..machine()
    };
    let parsed = parse_for("user-data", DOCUMENT.as_bytes(), &odd);
    let found: Vec<_> = parsed
        .findings
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .map(|one| (one.rule.id(), one.path.as_str()))
        .collect();
    assert_eq!(found, [("U16", "stylus.site.name")]);
}

#[test]
fn a_document_that_was_filled_in_already_is_taken_as_it_is() {
    let text = "#cloud-config\nstylus: {site: {tags: {a: \"${uuid}\"}}}\n";
    let parsed = parse("90_custom.yaml", text.as_bytes());
    assert_eq!(parsed.user_data.unwrap().stylus.site.tags["a"], "${uuid}");
}

#[test]
fn an_address_that_is_none_is_refused() {
    for address in [
        "c.example.com/x",
        "ftp://c.example.com",
        "https:///x",
        "https://a b",
    ] {
        let text = format!("#cloud-config\nconfig_url: {address}\n");
        let parsed = parse("user-data", text.as_bytes());
        assert_eq!(parsed.findings[0].rule.id(), "U39", "{address}");
        assert_eq!(parsed.findings[0].position.line, 2);
    }
}
