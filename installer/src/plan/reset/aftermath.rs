//! What a reset that did not come to its end has left behind: the one thing an operator must know.

use partition::Filesystem;

use super::{ACTIVE, PASSIVE, Step};

/// The state of a machine after a reset that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aftermath {
    /// Which parts changed and what the machine does when it is started, in sentences.
    pub text: String,
    /// The installed system starts.
    pub starts: bool,
}

/// Tells it from the steps and from how many of them had begun; the last of these is the one that failed.
pub fn aftermath(steps: &[Step], begun: usize) -> Aftermath {
    let steps = &steps[..begun.min(steps.len())];
    let any = |is: fn(&Step) -> bool| steps.iter().any(is);
    let replaced = |slot: &str| {
        steps
            .iter()
            .any(|step| matches!(step, Step::Replace { to, .. } if to.path == slot))
    };
    let bios_torn = matches!(
        steps.last(),
        Some(Step::EmbedBios { .. } | Step::WriteBootSector { .. })
    );
    // The first of the two marks the reset as unfinished, the second takes the mark away; a mark whose removal failed
    // counts, for it may still be there.
    let marks = steps
        .iter()
        .filter(|step| matches!(step, Step::Overwrite { .. }))
        .count();
    let marked = marks == 1 || matches!(steps.last(), Some(Step::Overwrite { .. }));
    let erased = any(
        |step| matches!(step, Step::MakeFilesystem { filesystem, .. } if *filesystem != Filesystem::Vfat),
    );
    let boot_files = any(|step| {
        matches!(
            step,
            Step::CopyFile { .. }
                | Step::EmbedBios { .. }
                | Step::FillEsp { .. }
                | Step::WriteBootSector { .. }
        )
    });

    let mut said = vec![match (replaced(ACTIVE), replaced(PASSIVE)) {
        (false, _) => "Both systems are as they were.",
        (true, false) => "The active system is new, the fallback is as it was.",
        (true, true) => "Both systems are new.",
    }];
    if boot_files {
        said.push("Boot files were written again.");
    }
    said.push(if erased {
        "The data was erased."
    } else {
        "The data is as it was."
    });
    // Without a mark nothing starts the reset again, and what is on the persistent partition may be half made.
    let starts = !(bios_torn || marked || erased && marks == 0);
    said.push(match (bios_torn, marked, starts) {
        (true, _, _) => "A machine with BIOS may not start from this disk any more.",
        (_, true, _) => "When it is restarted, the machine begins the reset again.",
        (_, _, true) => "The machine still starts.",
        (_, _, false) => "The machine may not start; the menu entry for the reset still does.",
    });
    Aftermath {
        text: said.join(" "),
        starts,
    }
}
