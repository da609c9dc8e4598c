//! Progress of the long steps: a spinner on a terminal, lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A step that takes a while. Says so at once, and how long it took at its end.
#[derive(Debug)]
pub(crate) struct Step {
    what: String,
    start: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Begins; `plain` for lines even on a terminal.
    pub(crate) fn begin(what: &str, plain: bool) -> Self {
        let spinner = (!plain && stderr().is_terminal()).then(|| spinner(what));
        if spinner.is_none() {
            eprintln!("{what} …");
        }
        Self {
            what: what.to_owned(),
            start: Instant::now(),
            spinner,
        }
    }

    /// Ends well.
    pub(crate) fn done(self) {
        let line = format!(
            "{} … done ({:.1} s)",
            self.what,
            self.start.elapsed().as_secs_f64()
        );
        match &self.spinner {
            // Takes its own line away; the message stays.
            Some(spinner) => {
                spinner.finish_and_clear();
                eprintln!("{line}");
            }
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

fn spinner(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} … {elapsed}");
    let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
    spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
