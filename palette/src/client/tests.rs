//! Texts and addresses; the calls themselves are tested against the simulated Palette in `qemu-tests`.

use super::*;

#[test]
fn a_host_id_stays_one_segment_of_the_path() {
    let client = Client::new(Settings::new("p.example")).unwrap();
    for (uid, wanted) in [
        ("edge-1_a", "/v1/edgehosts/edge-1_a/health"),
        ("a/b?c#d", "/v1/edgehosts/a%2Fb%3Fc%23d/health"),
        ("a%2F", "/v1/edgehosts/a%252F/health"),
    ] {
        let request = client.request(Method::PATCH, &["v1", "edgehosts", uid, "health"]);
        assert_eq!(request.build().unwrap().url().path(), wanted);
    }
}

#[test]
fn a_servers_words_are_cleaned_before_they_are_shown() {
    let settings = Settings {
        token: Some(Secret::new("tok-1")),
        ..Settings::new("p.example")
    };
    let client = Client::new(settings).unwrap();
    assert_eq!(
        client.clean(" token tok-1\n\u{1b}[2Jis bad "),
        "token ***  [2Jis bad"
    );
    assert_eq!(client.clean(&"ä".repeat(500)), "ä".repeat(200));
}

#[test]
fn neither_client_nor_settings_show_a_secret() {
    let settings = Settings {
        token: Some(Secret::new("tok-1")),
        proxy: Some(Secret::new("http://u:tok-1@proxy:3128")),
        ..Settings::new("p.example")
    };
    let shown = format!("{settings:?} {:?}", Client::new(settings.clone()).unwrap());
    assert!(!shown.contains("tok-1"), "{shown}");
    let settings = Settings {
        proxy: Some(Secret::new("ftp://tok-1@x")),
        ..settings
    };
    assert_eq!(Client::new(settings).unwrap_err(), SettingsError::Proxy);
}

#[test]
fn a_redirect_shows_only_where_it_leads() {
    let target = origin("https://portal.example/login?session=abc").unwrap();
    assert_eq!(target, "https://portal.example");
    assert_eq!(origin("/relative"), None);
}
