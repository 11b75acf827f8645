//! The one place that prints: data on stdout, everything else on stderr.

use crate::failure::Failure;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Where a command's words go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    colour_out: bool,
    colour_err: bool,
}

/// How a word is set off on a terminal; meaning never rests on it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Strong,
    Dim,
    Good,
    Bad,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none();
        Self {
            json,
            colour_out: colours && std::io::stdout().is_terminal(),
            colour_err: colours && std::io::stderr().is_terminal(),
        }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints the result: one JSON object with `--json`, the text otherwise.
    pub(crate) fn data(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let line = if self.json {
            serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
        } else {
            text()
        };
        // A reader that has gone away (`| head`) is not our failure.
        let _ = writeln!(std::io::stdout().lock(), "{}", line.trim_end_matches('\n'));
    }

    /// Prints one line of a story: stdout for people, nothing with `--json`.
    pub(crate) fn line(self, text: impl AsRef<str>) {
        if !self.json {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{}", text.as_ref());
            let _ = out.flush();
        }
    }

    /// Tells what is going on, on stderr.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        let _ = writeln!(
            std::io::stderr().lock(),
            "{}",
            self.paint_for(self.colour_err, Style::Dim, text.as_ref())
        );
    }

    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            let _ = writeln!(std::io::stdout().lock(), "{}", failure.to_json());
            return;
        }
        let mut err = std::io::stderr().lock();
        let label = self.paint_for(self.colour_err, Style::Bad, "error");
        let _ = writeln!(err, "{label}: {}", failure.message);
        if !failure.hint.is_empty() {
            let _ = writeln!(err, "\nhint: {}", failure.hint);
        }
    }

    /// Styles text for stdout.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        self.paint_for(self.colour_out, style, text)
    }

    fn paint_for(self, colour: bool, style: Style, text: &str) -> String {
        if !colour {
            return text.to_owned();
        }
        let code = match style {
            Style::Strong => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// `24610` as `24.6 kB`.
pub(crate) fn bytes(count: usize) -> String {
    if count < 1000 {
        format!("{count} B")
    } else if count < 99_950 {
        let tenths = (count + 50) / 100;
        format!("{}.{} kB", tenths / 10, tenths % 10)
    } else if count < 10_000_000 {
        format!("{} kB", count.saturating_add(500) / 1000)
    } else {
        format!("{} MB", count / 1_000_000)
    }
}

/// `0x5b…e1`: enough of an id for a person to recognise.
pub(crate) fn short(id: &str) -> String {
    match (id.get(..6), id.get(id.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if id.len() > 12 => format!("{head}…{tail}"),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn lengths_have_three_digits_or_so() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (24_610, "24.6 kB"),
            (99_949, "99.9 kB"),
            (99_950, "100 kB"),
            (161_501, "162 kB"),
            (46_000_000, "46 MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
