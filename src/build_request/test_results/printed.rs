//! Results that a Job put at the end of its log: compressed, in lines, between two marker lines.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;

use super::report::ResultsError;

/// The line before the results.
pub const RESULTS_BEGIN: &str = "-----BEGIN PATCHSET RESULTS-----";

/// The line after them, which also has the number of their lines.
pub const RESULTS_END: &str = "-----END PATCHSET RESULTS-----";

/// The most bytes of results.
pub const MOST_RESULTS: usize = 16 << 20;

/// The most bytes of compressed results.
pub const MOST_COMPRESSED: usize = 1 << 20;

/// The most lines of results in a log: `base64` writes 76 characters in one.
const MOST_LINES: usize = MOST_COMPRESSED / 57 + 2;

/// How many lines at the end of a log are results, including the marker lines; `None` if the end of
/// the log has none.
#[must_use]
pub fn printed_lines(end_of_log: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(end_of_log);
    let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
    let lines: usize = last.strip_prefix(RESULTS_END)?.trim().parse().ok()?;
    (lines <= MOST_LINES).then(|| lines.saturating_add(2))
}

/// The last lines of a log, with results at their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintedResults {
    /// The results.
    pub results: Result<Vec<u8>, ResultsError>,
    /// Where they begin in what was read, in bytes.
    pub begin: usize,
}

impl PrintedResults {
    /// Finds the results; `None` if there are none.
    #[must_use]
    pub fn find(log: &[u8]) -> Option<Self> {
        let lines = log.split_inclusive(|byte| *byte == b'\n');
        let mut at = 0_usize;
        let mut found: Option<(usize, Vec<u8>)> = None;
        for line in lines {
            let text = line.trim_ascii();
            if text == RESULTS_BEGIN.as_bytes() {
                // The last ones count: a test may print what looks like some.
                found = Some((at, Vec::new()));
            } else if text.starts_with(RESULTS_END.as_bytes()) {
                if let Some((begin, encoded)) = found.take_if(|_| is_last(log, at + line.len())) {
                    return Some(Self {
                        results: decode(&encoded),
                        begin,
                    });
                }
            } else if let Some((_, encoded)) = &mut found {
                encoded.extend(text);
            }
            at = at.saturating_add(line.len());
        }
        None
    }
}

/// Whether nothing but empty lines follows.
fn is_last(log: &[u8], at: usize) -> bool {
    log.get(at..).unwrap_or_default().trim_ascii().is_empty()
}

fn decode(encoded: &[u8]) -> Result<Vec<u8>, ResultsError> {
    if encoded.is_empty() {
        return Err(ResultsError::Missing);
    }
    let too_large = || ResultsError::TooLarge { most: MOST_RESULTS };
    let unreadable = |why: String| ResultsError::Unreadable {
        format: "what was put at the end of the log",
        why,
    };
    let compressed = STANDARD
        .decode(encoded)
        .map_err(|error| unreadable(error.to_string()))?;
    // The compressed results were cut there.
    if compressed.len() >= MOST_COMPRESSED {
        return Err(too_large());
    }
    let mut results = Vec::new();
    let most = u64::try_from(MOST_RESULTS).unwrap_or(u64::MAX);
    GzDecoder::new(compressed.as_slice())
        .take(most.saturating_add(1))
        .read_to_end(&mut results)
        .map_err(|error| unreadable(error.to_string()))?;
    if results.len() > MOST_RESULTS {
        return Err(too_large());
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn log(results: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(results).unwrap();
        let encoded = STANDARD.encode(encoder.finish().unwrap());
        let lines: Vec<String> = encoded
            .as_bytes()
            .chunks(76)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        format!(
            "said\n\n{RESULTS_BEGIN}\n{}\n{RESULTS_END} {}\n",
            lines.join("\n"),
            lines.len()
        )
        .into_bytes()
    }

    #[test]
    fn results_are_found_at_the_end() {
        let log = log(b"\xb3\x00results".repeat(100).as_slice());
        let lines = printed_lines(&log).unwrap();
        assert_eq!(lines, log.split(|byte| *byte == b'\n').count() - 3);
        let found = PrintedResults::find(&log).unwrap();
        assert_eq!(found.results.unwrap(), b"\xb3\x00results".repeat(100));
        assert_eq!(&log[..found.begin], b"said\n\n");
        // Something like results before them is ignored.
        let twice = [
            b"-----BEGIN PATCHSET RESULTS-----\nx\n-----END PATCHSET RESULTS----- 1\n",
            &log[..],
        ]
        .concat();
        assert!(PrintedResults::find(&twice).unwrap().results.is_ok());
    }

    #[test]
    fn none_and_too_many_are_told() {
        assert_eq!(PrintedResults::find(b"said\n"), None);
        assert_eq!(printed_lines(b"said\n"), None);
        let none = format!("{RESULTS_BEGIN}\n\n{RESULTS_END} 1\n");
        let found = PrintedResults::find(none.as_bytes()).unwrap();
        assert_eq!(found.results, Err(ResultsError::Missing));
        // A bomb: 17 MiB of zeros compress to 17 KiB.
        let bomb = log(&vec![0; MOST_RESULTS + 1]);
        let found = PrintedResults::find(&bomb).unwrap();
        assert_eq!(found.results, Err(ResultsError::TooLarge { most: MOST_RESULTS }));
        let many = format!("{RESULTS_END} 99999999\n");
        assert_eq!(printed_lines(many.as_bytes()), None);
    }
}
