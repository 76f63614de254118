//! Documents from several places, their order, and what is said of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// Servers and volumes that exist only here.
#[derive(Default)]
struct Pretended {
    served: BTreeMap<&'static str, String>,
    volume: Option<&'static str>,
    asked: Vec<String>,
}

impl Reach for Pretended {
    fn fetch(&mut self, url: &str, so_far: &[Document]) -> Result<Document> {
        self.asked.push(format!("{url} after {}", so_far.len()));
        let Some(text) = self.served.get(url) else {
            return Err(Trouble::new(Code::UserDataUnreachable, url).into());
        };
        Ok(document(url, text))
    }

    fn volumes(&mut self) -> Result<Vec<Document>> {
        let texts = self.volume.into_iter();
        Ok(texts
            .map(|text| document("cidata:user-data", text))
            .collect())
    }
}

fn document(name: &str, text: &str) -> Document {
    Document {
        name: name.to_owned(),
        bytes: format!("#cloud-config\n{text}").into_bytes(),
    }
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::io::Write::write_all(
        &mut File::create(path).unwrap(),
        format!("#cloud-config\n{text}").as_bytes(),
    )
    .unwrap();
}

fn machine() -> Variables {
    Variables::of_an_example()
}

fn names(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|one| one.name.as_str()).collect()
}

const MEDIUM: &str = "stylus:\n  site:\n    paletteEndpoint: palette.example.com\n    edgeHostToken: medium-token\n    projectUid: 63ec28d16b39cf0000d4732e\n    tags: {region: north, town: a}\ninstall:\n  reboot: true\n  bind_mounts: [/etc/a]\n";

#[test]
fn every_source_is_read_in_the_order_of_its_weight() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    put(&at("medium/config.yaml"), MEDIUM);
    put(&at("oem/20_b.yml"), "name: b\n");
    put(&at("oem/10_a.yaml"), "name: a\n");
    put(&at("oem/notes.txt"), "name: c\n");
    let sources = Sources {
        list: vec![
            Source::File(at("medium/config.yaml")),
            Source::Folder(at("oem")),
            Source::Folder(at("missing")),
            Source::Volumes,
            Source::CommandLine(
                "quiet kairos.config=stylus.site.tags.town=d config_url=https://c.example.com/${mac}"
                    .to_owned(),
            ),
        ],
        network: Network::default(),
    };
    let mut reach = Pretended {
        volume: Some(
            "config_url: https://site.example.com/\nstylus: {site: {edgeHostToken: site-token, tags: {town: b}}}\n",
        ),
        ..Pretended::default()
    };
    let mut serve = |url, text: &str| reach.served.insert(url, text.to_owned());
    serve(
        "https://site.example.com/",
        "stylus: {site: {tags: {town: c, id: \"${serial}\"}}}\n",
    );
    serve(
        "https://c.example.com/02-00-00-00-00-00",
        "stylus: {site: {projectName: shops}}\ninstall: {bind_mounts: [/etc/b]}\n",
    );
    let documents = gather(&sources, &machine(), &mut reach).unwrap();
    let (ten, twenty) = (at("oem/10_a.yaml"), at("oem/20_b.yml"));
    assert_eq!(
        names(&documents),
        [
            "config.yaml",
            ten.to_str().unwrap(),
            twenty.to_str().unwrap(),
            "cidata:user-data",
            "https://site.example.com/",
            "https://c.example.com/02-00-00-00-00-00",
            "kernel command line",
        ]
    );
    assert_eq!(
        reach.asked,
        [
            "https://site.example.com/ after 4",
            "https://c.example.com/02-00-00-00-00-00 after 5"
        ]
    );
}

fn three() -> [Document; 3] {
    [
        document("config.yaml", MEDIUM),
        document(
            "cidata:user-data",
            "stylus:\n  site:\n    edgeHostToken: site-token\n    tags: {town: b}\n    network: {httpsProxy: \"http://u:p@proxy:3128\"}\ninstall:\n  bind_mounts: [/etc/b]\n  reboot: false\n",
        ),
        document(
            "kernel command line",
            "stylus: {site: {tags: {town: c}, registrationURL: \"https://r.example.com/?s=${serial}\"}}\n",
        ),
    ]
}

#[test]
fn the_account_says_for_each_key_which_document_won_over_which_and_shows_no_secret() {
    let (user_data, account) = combine(&three(), &machine()).unwrap();
    let token = user_data.stylus.site.edge_host_token.as_ref().unwrap();
    assert_eq!(token.reveal(), "site-token");
    insta::assert_snapshot!(account.to_string());
    let again = combine(&three(), &machine()).unwrap().1;
    assert_eq!(account, again);
    let json = serde_json::to_string(&account).unwrap();
    for secret in ["site-token", "medium-token", "u:p@"] {
        assert!(!json.contains(secret) && !account.to_string().contains(secret));
        assert!(!format!("{:?}", three()).contains(secret));
    }
}

#[test]
fn a_part_is_right_when_the_whole_is_complete_and_wrong_alone() {
    let part = [document("part", "stylus: {site: {tags: {a: b}}}\n")];
    let alone = combine(&part, &machine()).unwrap_err();
    assert_eq!(alone.code, Code::UserDataInvalid);
    assert!(alone.reason.contains("paletteEndpoint"), "{alone}");
    combine_part(&part, &machine()).unwrap();
    let both = [document("config.yaml", MEDIUM), part[0].clone()];
    combine(&both, &machine()).unwrap();
}

#[test]
fn an_error_names_its_document_and_line_and_a_finding_is_said_once() {
    let parts = [
        document("a", "stylus:\n  managementMode: local\n"),
        document("b", "\nstylus:\n  installationMode: connected\n"),
    ];
    let trouble = combine(&parts, &machine()).unwrap_err();
    assert!(
        trouble
            .reason
            .starts_with("b:4:3: error[U09] stylus.installationMode"),
        "{trouble}"
    );
    let examined = examine(&parts, &machine(), &[]);
    let legacy = examined
        .findings
        .iter()
        .filter(|one| one.rule.id() == "U30");
    assert_eq!(legacy.count(), 1, "{:#?}", examined.findings);

    let broken = [
        document("a", MEDIUM),
        document("b", "stylus: [\n"),
        document("c", "install: {reboot: 1}\n"),
    ];
    let trouble = combine(&broken, &machine()).unwrap_err();
    let places: Vec<&str> = trouble
        .reason
        .lines()
        .filter_map(|line| line.split(": error").next())
        .collect();
    assert_eq!(places, ["b:2:9", "c:2:19"], "{trouble}");
}

#[test]
fn documents_that_lead_to_one_another_for_ever_are_refused() {
    let mut reach = Pretended::default();
    let text = "config_url: https://a.example.com/\n".to_owned();
    reach.served.insert("https://a.example.com/", text);
    let list = vec![Source::CommandLine(
        "config_url=https://a.example.com/".to_owned(),
    )];
    let sources = Sources {
        list,
        network: Network::default(),
    };
    let error = gather(&sources, &machine(), &mut reach).unwrap_err();
    let trouble = crate::code::find(&error).unwrap();
    assert_eq!(trouble.code, Code::UserDataUnreachable);
    assert_eq!(reach.asked.len(), 1 + LONGEST_CHAIN);
}

#[test]
fn a_command_line_that_cannot_be_followed_is_refused_before_anything_is_asked() {
    for (text, reason) in [
        (
            "config_url=https://c/${hostname}",
            "kernel command line: config_url: there is no variable `${hostname}`",
        ),
        (
            "cos.setup=/oem/x.yaml",
            "kernel command line: cos.setup: this is not an http or https address",
        ),
    ] {
        let list = vec![Source::CommandLine(text.to_owned())];
        let sources = Sources {
            list,
            network: Network::default(),
        };
        let mut reach = Pretended::default();
        let error = gather(&sources, &machine(), &mut reach).unwrap_err();
        let trouble = crate::code::find(&error).unwrap();
        assert_eq!(
            (trouble.code, trouble.reason.as_str()),
            (Code::UserDataInvalid, reason)
        );
        assert!(reach.asked.is_empty());
    }
}

#[test]
fn a_file_is_called_by_its_name_unless_two_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a/user-data", "b/user-data", "b/site.yaml"] {
        put(&path(name), "name: x\n");
    }
    let sources = Sources::files([
        path("a/user-data"),
        path("b/user-data"),
        path("b/site.yaml"),
    ]);
    let found = gather(&sources, &machine(), &mut Pretended::default()).unwrap();
    let (a, b) = (path("a/user-data"), path("b/user-data"));
    assert_eq!(
        names(&found),
        [a.to_str().unwrap(), b.to_str().unwrap(), "site.yaml"]
    );
    let missing = Sources::files([path("c")]);
    let error = gather(&missing, &machine(), &mut Pretended::default()).unwrap_err();
    assert_eq!(
        crate::code::find(&error).unwrap().code,
        Code::UserDataMissing
    );
}
