//! The name of the host, decided at every boot before the stages run.
//!
//! `stylus.site.hostName`, else `stylus.site.name`, else the edge host ID: what Palette uses as the name of the
//! Kubernetes node (`docs` of the user-data keys). A `hostname` step of the stage `initramfs` comes later and wins.

use std::path::Path;

use anyhow::Result;
use userdata::{HostId, UserData, is_host_name};

/// Writes `/etc/hostname` and the line of `/etc/hosts` below `root`, if there is a name that can be one.
pub fn set(root: &Path, user_data: Option<&UserData>, edge_host_id: Option<&str>) -> Result<()> {
    let Some(name) = decide(user_data, edge_host_id) else {
        return Ok(());
    };
    sysroot::stage::write_host_name(root, &name)
}

/// The first of the wishes that is a host name.
fn decide(user_data: Option<&UserData>, edge_host_id: Option<&str>) -> Option<String> {
    let site = user_data.map(|user_data| &user_data.stylus.site);
    let fixed = site.and_then(|site| match &site.name {
        Some(HostId::Fixed(name)) => Some(name.as_str()),
        _ => None,
    });
    let wishes = [
        site.and_then(|site| site.host_name.as_deref()),
        fixed,
        edge_host_id,
    ];
    wishes
        .into_iter()
        .flatten()
        .map(str::to_ascii_lowercase)
        .find(|name| is_host_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(text: &str) -> UserData {
        let text = format!(
            "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: api.example.com\n{text}"
        );
        userdata::parse("test", text.as_bytes()).user_data.unwrap()
    }

    #[test]
    fn the_wishes_are_tried_in_order_and_one_that_is_no_host_name_is_passed_over() {
        let named = |text: &str| decide(Some(&site(text)), Some("edge-00ff"));
        assert_eq!(
            named("    hostName: Site-7\n    name: edge-x\n").as_deref(),
            Some("site-7")
        );
        assert_eq!(named("    name: edge-x\n").as_deref(), Some("edge-x"));
        assert_eq!(named("    name: edge_x\n").as_deref(), Some("edge-00ff"));
        assert_eq!(named("").as_deref(), Some("edge-00ff"));
        assert_eq!(decide(None, None), None);
    }
}
