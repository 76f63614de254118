//! What the person at the terminal sees of the demo.

use std::io::{self, IsTerminal, Stdout, Write};
use std::time::Instant;

use qemu_tests::Event;
use serde_json::Value;

/// A live account: a line for each thing that happened, and one moving line for progress where there is a terminal.
#[derive(Debug)]
pub(crate) struct Account {
    out: Stdout,
    terminal: bool,
    start: Instant,
    /// Columns of the moving line that is on the screen.
    moving: usize,
    /// What the last progress was about, and its tenth, so that a log file gets ten lines and not a thousand.
    last: (String, u64),
}

impl Account {
    pub(crate) fn new() -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal();
        Self {
            out,
            terminal,
            start: Instant::now(),
            moving: 0,
            last: Default::default(),
        }
    }

    /// One line, with the time since the start.
    pub(crate) fn say(&mut self, text: &str) {
        let line = format!("[{:4} s] {text}", self.start.elapsed().as_secs());
        self.write(&format!("{}{line}\n", self.cover(line.len())));
        self.moving = 0;
    }

    /// Ends the moving line, so that something else can write.
    pub(crate) fn end_line(&mut self) {
        if self.moving > 0 {
            self.write("\n");
            self.moving = 0;
        }
    }

    /// Tells of an event; unknown ones are passed over.
    pub(crate) fn tell(&mut self, event: &Event) {
        match event.name() {
            "started" => self.say(&format!(
                "Landfall {} runs in the initramfs",
                event.text("version")
            )),
            "step" => {
                let number = |field| event.number(field).unwrap_or_default();
                self.say(&format!(
                    "Step {} of {}: {}",
                    number("index"),
                    number("of"),
                    event.text("text")
                ));
            }
            "progress" => self.progress(event),
            "finished" if event.text("result") == "installed" => {
                let seconds = event.number("seconds").unwrap_or_default();
                self.say(&format!(
                    "Installed in {seconds:.0} s; next: {}",
                    event.text("next")
                ));
            }
            "finished" => {
                let field = |name| event.text(name);
                self.say(&format!(
                    "{} {}: {}",
                    field("result"),
                    field("code"),
                    field("reason")
                ));
                self.say(&format!("Next: {}", field("action")));
            }
            "screen" => self.say(&format!(
                "Registration screen: {}",
                event.text("edge_host_id")
            )),
            "pairing" => {
                let reason = event.text("reason");
                let colon = if reason.is_empty() { "" } else { ": " };
                self.say(&format!(
                    "Pairing is {}{colon}{reason}",
                    event.text("state")
                ));
            }
            _ => {}
        }
    }

    /// The end of the story.
    pub(crate) fn summary(&mut self, summary: &Value) {
        let text = |name: &str| {
            summary
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        self.say(&format!(
            "{} is {} and {} in Palette",
            text("edge_host_id"),
            text("palette_state"),
            text("palette_health")
        ));
        for (name, label) in [
            ("iso_to_installer", "power-on to installer"),
            ("install", "installation"),
            ("reboot_to_screen", "reboot to registration screen"),
            ("screen_to_paired", "screen to paired"),
        ] {
            let seconds = summary
                .pointer(&format!("/seconds/{name}"))
                .and_then(Value::as_f64)
                .unwrap_or_default();
            self.say(&format!("{label:>30}: {seconds:>4.0} s"));
        }
    }

    fn progress(&mut self, event: &Event) {
        let number = |field| event.number(field).unwrap_or_default();
        let (done, total) = (number("done"), number("total"));
        if total <= 0.0 {
            return;
        }
        let percent = (done / total * 100.0).clamp(0.0, 100.0);
        let mebibytes = number("rate") / f64::from(1 << 20);
        let line = format!(
            "         {:<24} {percent:3.0} %  {mebibytes:6.1} MiB/s",
            event.text("what")
        );
        let line = event
            .number("left_s")
            .map_or(line.clone(), |left| format!("{line}  {left:.0} s left"));
        if self.terminal {
            self.write(&format!("{}{line}", self.cover(line.len())));
            self.moving = line.len();
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 10"
        )]
        let now = (event.text("what").to_owned(), (percent / 10.0) as u64);
        if now != self.last {
            self.write(&format!("{line}\n"));
            self.last = now;
        }
    }

    /// What takes the moving line away: back to the first column, and blanks where the next line is shorter.
    fn cover(&self, next: usize) -> String {
        if self.moving == 0 {
            String::new()
        } else {
            format!("\r{}\r", " ".repeat(self.moving.max(next)))
        }
    }

    fn write(&mut self, text: &str) {
        // A closed terminal must not end a run that leaves files.
        drop(
            self.out
                .write_all(text.as_bytes())
                .and_then(|()| self.out.flush()),
        );
    }
}
