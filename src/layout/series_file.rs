//! Files that list the patches of a folder in their order.

use super::fault::{FaultKind, LayoutFault};

/// The most bytes of a file that lists patches.
pub(super) const LARGEST: u64 = 1 << 20;

/// The most patches that a file lists: as many as the engine applies.
const MOST_PATCHES: usize = 4096;

/// The most faults that are reported for one file.
const MOST_FAULTS: usize = 50;

/// How a file lists patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListSyntax {
    /// A name, and options after it; `#` begins a comment.
    Quilt,
    /// One name per line, which may hold spaces; a line that begins with `#` is a comment.
    Names,
}

/// The files that list patches, of which the first that exists counts: quilt's and Debian's,
/// Electron's, and one that others have.
pub(super) const LISTS: [(&str, ListSyntax); 3] = [
    ("series", ListSyntax::Quilt),
    (".patches", ListSyntax::Names),
    ("ORDER", ListSyntax::Names),
];

/// A patch that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeriesEntry {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) strip: Option<u8>,
}

/// Reads a list. What is wrong in it is a fault of the line.
pub(super) fn parse(path: &str, text: &[u8], syntax: ListSyntax) -> (Vec<SeriesEntry>, Vec<LayoutFault>) {
    let mut patches: Vec<SeriesEntry> = Vec::new();
    let mut faults = Vec::new();
    let wrong = |line: usize, message: String| {
        LayoutFault::new(FaultKind::InvalidSeries, path, message).at_line(line)
    };
    let Ok(text) = std::str::from_utf8(text) else {
        let message = "is not UTF-8: write the patches' names in UTF-8";
        return (
            patches,
            vec![LayoutFault::new(FaultKind::InvalidSeries, path, message)],
        );
    };
    for (number, line) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
        if faults.len() >= MOST_FAULTS {
            break;
        }
        match one_line(line, number, syntax) {
            Ok(None) => {}
            Ok(Some(_)) if patches.len() >= MOST_PATCHES => {
                faults.push(wrong(number, format!("lists more than {MOST_PATCHES} patches")));
                break;
            }
            Ok(Some(patch)) => patches.push(patch),
            Err(message) => faults.push(wrong(number, message)),
        }
    }
    (patches, faults)
}

fn one_line(line: &str, number: usize, syntax: ListSyntax) -> Result<Option<SeriesEntry>, String> {
    let line = line.trim_matches([' ', '\t', '\r']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, options) = match syntax {
        ListSyntax::Names => (line, ""),
        ListSyntax::Quilt => line.split_once([' ', '\t']).unwrap_or((line, "")),
    };
    let shown = foreign_text::printable(name, 100);
    if name.starts_with('/') {
        return Err(format!(
            "{shown} begins with '/': write it relative to the folder"
        ));
    }
    let plain: Vec<&str> = name
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if plain.contains(&"..") {
        return Err(format!("{shown} leads out of the folder: write it without '..'"));
    }
    if plain.is_empty() || name.chars().any(|c| c.is_control() || c == '\\') {
        return Err(format!("{shown} is not a file name"));
    }
    let mut patch = SeriesEntry {
        name: plain.join("/"),
        line: number,
        strip: None,
    };
    let mut options = options.split([' ', '\t']).filter(|option| !option.is_empty());
    while let Some(option) = options.next() {
        if option.starts_with('#') {
            break;
        }
        let strip = match option {
            "-p" => options.next(),
            option => option.strip_prefix("-p"),
        };
        let strip = strip
            .and_then(|number| number.parse::<u8>().ok())
            .filter(|strip| *strip <= 64);
        match strip {
            // quilt takes the first.
            Some(strip) => patch.strip = patch.strip.or(Some(strip)),
            None => {
                return Err(format!(
                    "{shown} has the option {}, but only -pN with N up to 64 is supported: remove it, or put what it does into the patch",
                    foreign_text::printable(option, 40)
                ));
            }
        }
    }
    Ok(Some(patch))
}
