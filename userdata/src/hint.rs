//! "Did you mean": the known name nearest to one that is not known.

/// Longer keys, in bytes, are not measured: no known one comes near, and the distance costs length times length.
const LONGEST: usize = 64;

/// The known name that `given` was probably meant to be.
///
/// Spelling in another case or with other dashes always counts; else at most a third of the letters may differ, so that
/// a short key is not taken for an unrelated short one.
pub(crate) fn did_you_mean(
    given: &str,
    known: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    if given.len() > LONGEST {
        return None;
    }
    let folded = fold(given);
    known
        .filter_map(|name| {
            let distance = strsim::osa_distance(&folded, &fold(name));
            let allowed = folded.chars().count().max(name.chars().count()) / 3;
            (distance <= allowed).then_some((distance, name))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_nearest_known_one_and_an_unrelated_name_finds_none() {
        let known = [
            "paletteEndpoint",
            "registrationURL",
            "hostName",
            "name",
            "bind_mounts",
            "tags",
        ];
        let cases = [
            ("paletteEndPoint", Some("paletteEndpoint")),
            ("registrationUrl", Some("registrationURL")),
            ("hostname", Some("hostName")),
            ("Name", Some("name")),
            ("bind-mounts", Some("bind_mounts")),
            ("tgas", Some("tags")),
            ("tag", Some("tags")),
            ("uid", None),
            ("reboot", None),
            ("", None),
        ];
        for (given, expected) in cases {
            assert_eq!(
                did_you_mean(given, known.into_iter()),
                expected,
                "{given:?}"
            );
        }
    }

    #[test]
    fn a_very_long_name_is_measured_without_a_hint() {
        assert_eq!(
            did_you_mean(&"x".repeat(100_000), ["tags"].into_iter()),
            None
        );
    }
}
