//! Which proxy stands between this machine and an address.

use reqwest::{NoProxy, Proxy};

use crate::{error::SettingsError, secret::Secret};

/// The proxies of a site. Their addresses may hold an account, so they are secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://`: the address of the proxy, `http://host:port`.
    pub http: Option<Secret>,
    /// For `https://`.
    pub https: Option<Secret>,
    /// Hosts, domains and networks that are reached without a proxy, separated by commas.
    pub no_proxy: Option<String>,
}

impl Proxies {
    /// The proxies that the usual variables name: `http_proxy`, `https_proxy`, `all_proxy` for both, `no_proxy`. Each is
    /// asked for in small letters and then in capitals;
    /// an empty value is none.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_uppercase()];
            let found = names.iter().find_map(|name| variable(name));
            found.filter(|value| !value.trim().is_empty())
        };
        let all = either("all_proxy");
        let secret = |value: Option<String>| value.or_else(|| all.clone()).map(Secret::new);
        Self {
            http: secret(either("http_proxy")),
            https: secret(either("https_proxy")),
            no_proxy: either("no_proxy"),
        }
    }

    pub(crate) fn parse(&self) -> Result<Vec<Proxy>, SettingsError> {
        let http = self
            .http
            .iter()
            .map(|address| self.one(address, Proxy::http));
        let https = self
            .https
            .iter()
            .map(|address| self.one(address, Proxy::https));
        http.chain(https).collect()
    }

    fn one(
        &self,
        address: &Secret,
        make: impl Fn(String) -> reqwest::Result<Proxy>,
    ) -> Result<Proxy, SettingsError> {
        let url = address.reveal().trim();
        // The usual variables also hold `host:port` alone.
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(SettingsError::Proxy);
        }
        // The library's error would repeat the address, password and all.
        let proxy = make(url).or(Err(SettingsError::Proxy))?;
        let excepted = self.no_proxy.as_deref().and_then(NoProxy::from_string);
        Ok(proxy.no_proxy(excepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn small_letters_win_and_an_empty_value_is_none() {
        let proxies = of(&[
            ("HTTPS_PROXY", "http://capital:1"),
            ("https_proxy", "http://small:1"),
            ("http_proxy", ""),
            ("NO_PROXY", "a.example,10.0.0.0/8"),
        ]);
        assert_eq!(proxies.https, Some(Secret::new("http://small:1")));
        assert_eq!(proxies.http, None);
        assert_eq!(proxies.no_proxy.as_deref(), Some("a.example,10.0.0.0/8"));
    }

    #[test]
    fn one_proxy_for_all_stands_in_where_none_is_named() {
        let proxies = of(&[("ALL_PROXY", "proxy:3128"), ("http_proxy", "http://h:1")]);
        assert_eq!(proxies.http, Some(Secret::new("http://h:1")));
        assert_eq!(proxies.https, Some(Secret::new("proxy:3128")));
        assert_eq!(proxies.parse().map(|list| list.len()), Ok(2));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        for address in ["socks5://u:pass@x:1", "ftp://u:pass@x", "http://"] {
            let proxies = Proxies {
                http: Some(Secret::new(address)),
                ..Proxies::default()
            };
            let error = proxies.parse().map(|list| list.len()).unwrap_err();
            assert_eq!(error, SettingsError::Proxy, "{address}");
            assert!(!format!("{error}{error:?}{proxies:?}").contains("pass"));
        }
    }
}
