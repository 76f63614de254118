//! A small client of QMP, QEMU's control protocol: JSON lines over a Unix socket.
//!
//! Format: <https://www.qemu.org/docs/master/interop/qmp-spec.html>.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// How long QEMU may take for one command. Under emulation the main loop can be busy for seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// An open control connection. A thread of its own reads it until QEMU ends, so that no event is lost.
#[derive(Debug)]
pub struct Qmp {
    socket: UnixStream,
    answers: Receiver<Value>,
    events: Arc<Mutex<Vec<Value>>>,
    last_id: u64,
    reader: Option<JoinHandle<()>>,
}

impl Qmp {
    /// Connects and leaves the negotiation mode.
    ///
    /// # Errors
    /// Nobody listens (yet), or the other side does not speak QMP.
    pub fn connect(path: &Path) -> Result<Self> {
        let socket = UnixStream::connect(path).context("connecting to QMP")?;
        let mut lines =
            BufReader::new(socket.try_clone().context("cloning the QMP socket")?).lines();
        let greeting = lines
            .next()
            .context("QMP closed without a greeting")?
            .context("reading the QMP greeting")?;
        if !greeting.contains("\"QMP\"") {
            bail!("not a QMP greeting: {greeting}");
        }
        let (sender, answers) = channel();
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(message) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                if message.get("event").is_some() {
                    locked(&seen).push(message);
                } else if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut qmp = Self {
            socket,
            answers,
            events,
            last_id: 0,
            reader: Some(reader),
        };
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs one command and returns its `return` value.
    ///
    /// # Errors
    /// QEMU is gone, silent for a minute, or answers with an error; the message carries its description.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let mut request = json!({"execute": command, "id": id});
        if arguments.as_object().is_some_and(|map| !map.is_empty())
            && let Some(request) = request.as_object_mut()
        {
            request.insert("arguments".to_owned(), arguments);
        }
        writeln!(self.socket, "{request}").with_context(|| format!("sending {command} to QEMU"))?;
        loop {
            let mut answer = match self.answers.recv_timeout(PATIENCE) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => bail!("{command}: no answer from QEMU"),
                Err(RecvTimeoutError::Disconnected) => bail!("{command}: QEMU has ended"),
            };
            // An answer to a command that was given up; ours is still to come.
            if answer.get("id").and_then(Value::as_u64) != Some(id) {
                continue;
            }
            if let Some(error) = answer.get("error") {
                bail!(
                    "{command}: {}",
                    error
                        .get("desc")
                        .and_then(Value::as_str)
                        .unwrap_or("error without words")
                );
            }
            return Ok(answer
                .get_mut("return")
                .map(Value::take)
                .unwrap_or_default());
        }
    }

    /// Runs a command of the human monitor, for what QMP does not offer, and returns its text.
    ///
    /// # Errors
    /// As [`Qmp::execute`]; the monitor itself reports errors as text.
    pub fn monitor(&mut self, line: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", json!({"command-line": line}))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until everything that QEMU said before its end was read. Call it only when QEMU has ended.
    pub fn drain(&mut self) {
        if let Some(reader) = self.reader.take() {
            // The reader cannot panic; if it did, there is nothing more to read.
            drop(reader.join());
        }
    }

    /// The events named `name` that came so far, oldest first.
    pub fn events(&self, name: &str) -> Vec<Value> {
        locked(&self.events)
            .iter()
            .filter(|event| event.get("event").and_then(Value::as_str) == Some(name))
            .cloned()
            .collect()
    }
}

/// The list of events; a panic of another thread does not make it wrong.
fn locked(events: &Mutex<Vec<Value>>) -> MutexGuard<'_, Vec<Value>> {
    events.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A stand-in for QEMU that greets and then sends the given lines after each request.
    fn serve(listener: UnixListener, rounds: Vec<Vec<&'static str>>) {
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            writeln!(socket, r#"{{"QMP": {{"version": {{}}}}}}"#).unwrap();
            let mut requests = BufReader::new(socket.try_clone().unwrap()).lines();
            for round in rounds {
                requests.next().unwrap().unwrap();
                for line in round {
                    writeln!(socket, "{line}").unwrap();
                }
            }
        });
    }

    #[test]
    fn answers_errors_events_and_the_end_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp");
        serve(
            UnixListener::bind(&path).unwrap(),
            vec![
                vec![r#"{"return": {}, "id": 1}"#],
                vec![
                    r#"{"event": "RESET", "data": {"guest": true}}"#,
                    r#"{"return": 1, "id": 99}"#,
                    r#"{"return": 7, "id": 2}"#,
                ],
                vec![r#"{"error": {"class": "GenericError", "desc": "no such thing"}, "id": 3}"#],
            ],
        );
        let mut qmp = Qmp::connect(&path).unwrap();
        assert_eq!(qmp.execute("good", json!({"a": 1})).unwrap(), json!(7));
        assert_eq!(qmp.events("RESET").len(), 1);
        assert_eq!(qmp.events("SHUTDOWN").len(), 0);
        assert_eq!(
            qmp.execute("bad", json!({})).unwrap_err().to_string(),
            "bad: no such thing"
        );
        // The other side may be gone before or after the request is written.
        let end = qmp.execute("late", json!({})).unwrap_err().to_string();
        assert!(
            end == "late: QEMU has ended" || end == "sending late to QEMU",
            "{end}"
        );
    }
}
