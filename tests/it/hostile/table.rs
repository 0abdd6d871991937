//! The outcome of each input, as rows.

use std::fmt::Write;

/// The longest message allowed about an input, in bytes.
pub const LONGEST: usize = 64 << 10;
/// How much of it the table shows, in characters.
const SHOWN: usize = 96;

/// The outcome of one input.
pub struct Row {
    pub input: String,
    /// The command, or `controller`.
    pub by: &'static str,
    pub said: String,
    pub seconds: f64,
    /// The program's CPU time.
    pub computed: f64,
    /// In MiB.
    pub peak: u64,
    /// The faults; empty if the case passed.
    pub faults: Vec<String>,
}

/// The faults of a message about an input: it must be short, printable and no panic, and say what
/// or where by one of these words.
pub fn faults_of_text(said: &str, names: &[&str]) -> Vec<String> {
    let mut faults = faults_of_report(said, names);
    if said.len() > LONGEST {
        faults.push(format!("says {} bytes", said.len()));
    }
    faults
}

/// The same of a report, which may be long.
pub fn faults_of_report(said: &str, names: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(odd) = said.chars().find(|c| c.is_control() && !"\n\t".contains(*c)) {
        faults.push(format!("says the control character {odd:?}"));
    }
    for panic in ["panicked at", "overflowed its stack", "memory allocation of"] {
        if said.contains(panic) {
            faults.push(format!("\"{panic}\""));
        }
    }
    if !names.is_empty() && !names.iter().any(|name| said.contains(name)) {
        faults.push(format!("says nothing of {}", names.join(" or ")));
    }
    faults
}

/// All rows, one a line.
pub fn rendered(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<6} {:<64} {:<12} {:>6} {:>6} {:>5}  message\n",
        "", "input", "by", "s", "cpu s", "MiB"
    );
    for row in rows {
        let verdict = if row.faults.is_empty() { "pass" } else { "FAIL" };
        let said: Vec<&str> = row.said.split_whitespace().collect();
        let said: String = said.join(" ").chars().take(SHOWN).collect();
        let said: String = said
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        writeln!(
            text,
            "{verdict:<6} {:<64} {:<12} {:>6.1} {:>6.1} {:>5}  {said}",
            row.input, row.by, row.seconds, row.computed, row.peak
        )
        .unwrap();
        for fault in &row.faults {
            writeln!(text, "       - {fault}").unwrap();
        }
    }
    text
}

/// Prints the last row, to show progress.
pub fn show(rows: &[Row]) {
    let text = rendered(rows.get(rows.len() - 1..).unwrap_or_default());
    print!("{}", text.split_once('\n').map_or("", |(_, row)| row));
}

/// Prints the table, and panics if a case failed.
pub fn check(rows: &[Row]) {
    println!("{}", rendered(rows));
    let failed: Vec<&str> = rows
        .iter()
        .filter(|row| !row.faults.is_empty())
        .map(|row| row.input.as_str())
        .collect();
    assert!(!rows.is_empty(), "no case ran");
    assert!(
        failed.is_empty(),
        "{} of {}: {failed:#?}",
        failed.len(),
        rows.len()
    );
}
