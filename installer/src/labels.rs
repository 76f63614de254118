//! Labels of the edge host: `stylus.site.tags`, and what a file and a program of the host add to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use host::{Argv, CommandFailed, Host};
use serde_json::{Map, Value};
use userdata::{Site, TagsFromFile, TagsFromScript};

use crate::identity::{LARGEST, read_text};

/// The longest that a program may take, whatever the user-data says: the registration waits for it.
const LONGEST: Duration = Duration::from_mins(10);

/// Where labels come from, and what was found so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels {
    tags: BTreeMap<String, String>,
    file: Option<TagsFromFile>,
    script: Option<TagsFromScript>,
    found: BTreeMap<String, String>,
}

impl Labels {
    /// Those of the user-data; nothing is read yet.
    pub(crate) fn of(site: &Site) -> Self {
        Self {
            tags: site.tags.clone(),
            file: site.tags_from_file.clone(),
            script: site.tags_from_script.clone(),
            found: BTreeMap::new(),
        }
    }

    /// All labels. A source that failed is told and asked again the next time: a file may come with the network. Of one
    /// name in several places, `tags` wins, then the program.
    pub(crate) fn gather(
        &mut self,
        host: &mut impl Host,
        tell: &mut dyn FnMut(String),
    ) -> BTreeMap<String, String> {
        if let Some(file) = &self.file {
            match of_file(file) {
                Ok(more) => {
                    self.file = None;
                    self.found = with(more, std::mem::take(&mut self.found));
                }
                Err(error) => tell(format!("tagsFromFile: {}: {error:#}", file.file_name)),
            }
        }
        if let Some(script) = &self.script {
            match of_script(script, host) {
                Ok(more) => {
                    self.script = None;
                    self.found.extend(more);
                }
                Err(error) => tell(format!("tagsFromScript: {}: {error:#}", script.script_name)),
            }
        }
        with(self.found.clone(), self.tags.clone())
    }
}

/// `labels` and, over them, `winners`.
fn with(
    mut labels: BTreeMap<String, String>,
    winners: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    labels.extend(winners);
    labels
}

fn of_file(file: &TagsFromFile) -> Result<BTreeMap<String, String>> {
    let text = read_text(Path::new(&file.file_name)).context("reading it")?;
    let pairs = text.split(file.delimiter.as_str()).map(str::trim);
    pairs
        .filter(|pair| !pair.is_empty())
        .enumerate()
        .map(|(index, pair)| {
            let (name, value) = pair.split_once(file.separator.as_str()).with_context(|| {
                format!("label {}: there is no {:?}", index + 1, file.separator)
            })?;
            label(name.trim(), value.trim())
        })
        .collect()
}

fn label(name: &str, value: &str) -> Result<(String, String)> {
    ensure!(!name.is_empty(), "a label has no name");
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the program itself, without a shell and without arguments. What it writes is told to nobody but Palette.
fn of_script(script: &TagsFromScript, host: &mut impl Host) -> Result<BTreeMap<String, String>> {
    let limit = Duration::from_secs(script.timeout).min(LONGEST);
    let argv = Argv::new(&script.script_name).time_limit(limit);
    let said = host
        .run(&argv)
        .map_err(|error| match error.downcast::<CommandFailed>() {
            Ok(failed) => anyhow!("{}", failed.status),
            Err(error) => error,
        })?;
    ensure!(
        u64::try_from(said.stdout.len()).is_ok_and(|length| length <= LARGEST),
        "it wrote more than {LARGEST} bytes"
    );
    let object: Map<String, Value> =
        serde_json::from_str(&said.stdout).context("what it wrote is not one JSON object")?;
    object
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => label(name, text),
            Value::Number(_) | Value::Bool(_) => label(name, &value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                bail!("the value of {name:?} is no text, number or truth value")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use host::files::write_synced;
    use host::{Linux, Recorder};

    use super::*;

    fn labels(text: &str) -> Labels {
        let text = format!(
            "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: api.example.com\n{text}"
        );
        let parsed = userdata::parse("test", text.as_bytes());
        let user_data = parsed
            .user_data
            .unwrap_or_else(|| panic!("{:?}", parsed.findings));
        Labels::of(&user_data.stylus.site)
    }

    fn gather(labels: &mut Labels, host: &mut impl Host) -> (Vec<String>, Vec<String>) {
        let mut told = Vec::new();
        let all = labels.gather(host, &mut |line| told.push(line));
        let all = all.iter().map(|(name, value)| format!("{name}={value}"));
        (all.collect(), told)
    }

    #[test]
    fn labels_of_all_three_places_come_together_and_tags_win() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("labels");
        write_synced(&file, b"rack = 7; city=Kiel;a=file;b=file;", 0o644).unwrap();
        let mut host = Recorder::default();
        let said = "{\"b\": \"script\", \"slots\": 4, \"gpu\": false}\n";
        host.answers.push(("/opt/site".to_owned(), said.to_owned()));
        let mut labels = labels(&format!(
            "    tags: {{a: tag}}\n    tagsFromFile: {{fileName: {}, delimiter: ;, separator: =}}\n    tagsFromScript: {{scriptName: /opt/site, timeout: 5}}\n",
            file.display()
        ));
        let (all, told) = gather(&mut labels, &mut host);
        assert_eq!(
            all,
            [
                "a=tag",
                "b=script",
                "city=Kiel",
                "gpu=false",
                "rack=7",
                "slots=4"
            ]
        );
        assert_eq!(told, Vec::<String>::new());
        // What is known is not asked for again.
        assert_eq!(gather(&mut labels, &mut host).0, all);
        assert_eq!(host.calls, ["run /opt/site"]);
    }

    #[test]
    fn a_source_that_fails_is_told_costs_no_other_label_and_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("labels");
        let mut labels = labels(&format!(
            "    tags: {{a: tag}}\n    tagsFromFile: {{fileName: {}}}\n",
            file.display()
        ));
        let (all, told) = gather(&mut labels, &mut Recorder::default());
        assert_eq!(all, ["a=tag"]);
        assert!(told[0].starts_with("tagsFromFile: "), "{told:?}");
        write_synced(&file, b"rack 7\n", 0o644).unwrap();
        let (_, told) = gather(&mut labels, &mut Recorder::default());
        assert!(told[0].ends_with("label 1: there is no \":\""), "{told:?}");
        write_synced(&file, b"rack: 7\r\n\r\n", 0o644).unwrap();
        let (all, told) = gather(&mut labels, &mut Recorder::default());
        assert_eq!(
            (all.as_slice(), told.len()),
            (["a=tag", "rack=7"].map(str::to_owned).as_slice(), 0)
        );
    }

    #[test]
    fn a_program_has_its_time_and_its_form_and_what_it_wrote_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        for (body, wanted) in [
            ("echo canary; exit 4", "exit status 4"),
            ("sleep 30", "1 s"),
            ("echo canary", "not one JSON object"),
            ("echo '{\"a\": {\"b\": \"canary\"}}'", "\"a\" is no text"),
            ("head -c 70000 /dev/zero", "more than 65536 bytes"),
        ] {
            write_synced(&script, format!("#!/bin/sh\n{body}\n").as_bytes(), 0o700).unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
            let mut labels = labels(&format!(
                "    tagsFromScript: {{scriptName: {}, timeout: 1}}\n",
                script.display()
            ));
            let (all, told) = gather(&mut labels, &mut Linux);
            assert!(all.is_empty());
            assert!(
                told[0].contains(wanted) && !told[0].contains("canary"),
                "{told:?}"
            );
        }
    }
}
