//! The product's parser on the user-data of these tests: in a second, what would otherwise be found after minutes in a VM.

use std::net::SocketAddr;

use qemu_tests::palette_sim::{Sim, SimOptions};
use qemu_tests::user_data::{Ending, UserData};

#[test]
fn every_user_data_of_the_tests_is_accepted_without_an_error() {
    let sim = Sim::start(SimOptions::default()).unwrap();
    let guest = SocketAddr::from(([127, 0, 0, 1], 65535));
    for ending in [Ending::Reboot, Ending::PowerOff, Ending::Stay] {
        for token in [None, Some("first-light-token".to_owned())] {
            let mut text = UserData::for_guest(
                guest,
                sim.ca_pem(),
                "5f5f5f5f5f5f5f5f5f5f5f5f",
                "Correct-horse-7",
            );
            text.ending = ending;
            text.token = token;
            text.wipe = Some("foreign");
            text.disk_serial = Some("LF0002".to_owned());
            text.ssh_key = Some("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGIdWuJuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu me".to_owned());
            let text = text.to_string();
            let parsed = userdata::parse("user-data", text.as_bytes());
            let findings: Vec<String> = parsed.findings.iter().map(ToString::to_string).collect();
            let data = parsed.user_data.unwrap_or_else(|| panic!("{findings:#?}"));
            let eks: Vec<String> = userdata::check_eks(&data)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert!(eks.is_empty(), "{eks:#?}");
        }
    }
}
