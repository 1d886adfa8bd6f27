//! What the server is set to while it is measured.

use std::path::Path;

/// It refuses nobody, and rooms are gone with their calls, so that memory is that of calls.
pub(crate) const SETTINGS: &str = "[limits]
max_sessions = 10000
max_sessions_per_address = 10000
max_load = 1.0
max_timer_lateness_ms = 0
trusted_proxies = 1
[rooms]
close_empty_after_s = 0
keep_closed_s = 0
";

/// The same in a sentence.
pub(crate) fn told() -> String {
    let settings = SETTINGS.lines().filter(|line| line.contains('='));
    let settings: Vec<String> = settings.map(|line| format!("`{line}`")).collect();
    format!(
        "The server refuses nobody and forgets rooms at once: {}; all else is as it is by default.",
        settings.join(", ")
    )
}

/// The part that lets it record.
pub(crate) fn recording(sink: &str, directory: &Path) -> String {
    format!(
        "[recording]\nsink = '{sink}'\nconsent = 'given'\nconfig = {{ directory = '{}' }}\n",
        directory.display()
    )
}
