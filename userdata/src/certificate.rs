//! CA certificates as user-data gives them: PEM, or base64 of PEM or DER.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::tree::Node;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// First byte of every DER certificate: a SEQUENCE.
const SEQUENCE: u8 = 0x30;
/// Columns of base64 in PEM (RFC 7468).
const PEM_WIDTH: usize = 64;

/// Why a certificate is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: &'static str,
    pub(crate) advice: &'static str,
}

/// Reads a list of certificates as PEM; what is none is an error (rule U22).
pub(crate) fn read_list(
    node: &Node,
    key: &str,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) -> Vec<String> {
    let path = path.key(key);
    let mut certificates = Vec::new();
    let items = node.at(&[key]).map(Node::items).unwrap_or_default();
    for (index, node) in items.iter().enumerate() {
        let Some(text) = node.as_text() else { continue };
        match to_pem(text) {
            Ok(pem) => certificates.push(pem),
            Err(Fault { reason, advice }) => {
                let rule = Rule::CaCertificate;
                findings.error(rule, node.position, path.item(index), reason, advice);
            }
        }
    }
    certificates
}

/// Gives one certificate, or a chain of them, as PEM. Its form is checked, not its signature or dates.
pub(crate) fn to_pem(text: &str) -> Result<String, Fault> {
    if text.contains("------BEGIN") || text.contains("------END") {
        return Err(Fault {
            reason: "the fence of the certificate has six dashes",
            advice: "write five dashes before and after BEGIN CERTIFICATE and END CERTIFICATE",
        });
    }
    if text.contains("-----BEGIN") {
        return check_pem(text);
    }
    let neither = Fault {
        reason: "this is neither a PEM certificate nor base64 of one",
        advice: "put the whole PEM text after `- |`, each line indented",
    };
    let Some(bytes) = decode(text) else {
        return Err(neither);
    };
    if bytes.first() == Some(&SEQUENCE) {
        return Ok(encode(&bytes));
    }
    match String::from_utf8(bytes) {
        Ok(pem) if pem.contains("-----BEGIN") => check_pem(&pem),
        _ => Err(neither),
    }
}

fn check_pem(text: &str) -> Result<String, Fault> {
    let mut rest = text.trim();
    let mut pem = String::new();
    while !rest.is_empty() {
        let parts = rest
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.split_once(END));
        let Some((body, after)) = parts else {
            return Err(Fault {
                reason: "the PEM text has something else than CERTIFICATE blocks",
                advice: "keep only the lines from BEGIN CERTIFICATE to END CERTIFICATE",
            });
        };
        match decode(body) {
            Some(der) if der.first() == Some(&SEQUENCE) => pem.push_str(&encode(&der)),
            _ => {
                return Err(Fault {
                    reason: "the text between the fences is not a certificate in base64",
                    advice: "copy the certificate again, without changing its lines",
                });
            }
        }
        rest = after.trim_start();
    }
    Ok(pem)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let dense: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(dense).ok()
}

fn encode(der: &[u8]) -> String {
    let mut pem = format!("{BEGIN}\n");
    for (index, c) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % PEM_WIDTH == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem.push('\n');
    pem.push_str(END);
    pem.push('\n');
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    const DER: &[u8] = &[0x30, 3, 2, 1, 5];
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n";

    #[test]
    fn pem_and_base64_of_pem_or_der_give_the_same_pem() {
        let indented = PEM.replace('\n', "\r\n  ");
        for given in [
            PEM.to_owned(),
            indented,
            STANDARD.encode(DER),
            STANDARD.encode(PEM),
        ] {
            assert_eq!(to_pem(&given).as_deref(), Ok(PEM), "{given:?}");
        }
        assert_eq!(
            to_pem(&format!("{PEM}{PEM}")).unwrap(),
            format!("{PEM}{PEM}")
        );
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let six = PEM.replace("-----BEGIN", "------BEGIN");
        assert!(to_pem(&six).unwrap_err().reason.contains("six dashes"));
        for given in [
            "",
            "abc",
            "MAMCAQU",
            "aGVsbG8=",
            &PEM.replace("MAMCAQU=", "****"),
        ] {
            assert!(to_pem(given).is_err(), "{given:?}");
        }
        assert!(to_pem(&PEM.replace("CERTIFICATE", "PRIVATE KEY")).is_err());
    }
}
