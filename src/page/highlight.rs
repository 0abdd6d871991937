//! Syntax colouring of diffs, as CSS classes.

use std::cell::Cell;
use std::fmt;

#[cfg(not(feature = "highlighting"))]
use super::no_syntax::NoLineReader as LineReader;
#[cfg(feature = "highlighting")]
use super::syntax::LineReader;
use super::text::TextPart;

/// The longest line that is coloured, in bytes. What follows a longer one in its hunk is plain:
/// without the whole line, the state in which the next one starts is unknown.
const LONGEST_LINE: usize = 300;

/// How much of a page is coloured by language. The rest is plain.
pub struct HighlightBudget<'a> {
    bytes: Cell<usize>,
    goes_on: &'a dyn Fn() -> bool,
}

impl<'a> HighlightBudget<'a> {
    /// Allows this many bytes, as long as `goes_on` returns true, which is called before each line.
    #[must_use]
    pub fn new(bytes: usize, goes_on: &'a dyn Fn() -> bool) -> Self {
        Self {
            bytes: Cell::new(bytes),
            goes_on,
        }
    }

    fn take(&self, bytes: usize) -> bool {
        match self.bytes.get().checked_sub(bytes) {
            Some(left) if (self.goes_on)() => {
                self.bytes.set(left);
                true
            }
            _ => {
                self.bytes.set(0);
                false
            }
        }
    }
}

impl fmt::Debug for HighlightBudget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HighlightBudget({} bytes)", self.bytes.get())
    }
}

/// Reads the lines of one hunk: the file before the patch and the file after it are two texts.
pub(super) struct HunkHighlighter<'a> {
    budget: &'a HighlightBudget<'a>,
    before: Option<LineReader>,
    after: Option<LineReader>,
}

impl<'a> HunkHighlighter<'a> {
    /// For a hunk of a file, whose name says the language.
    pub(super) fn new(path: &str, budget: &'a HighlightBudget<'a>) -> Self {
        let reader = LineReader::for_file(path);
        Self {
            budget,
            before: reader.clone(),
            after: reader,
        }
    }

    /// The parts of a line that starts with its sign and ends with its line feed.
    pub(super) fn read(&mut self, line: String) -> Vec<TextPart> {
        let plain = |text: String| vec![TextPart { class: "", text }];
        if self.after.is_none() {
            return plain(line);
        }
        // Others are Git's notes, such as on a missing line feed.
        let Some((sign @ ("+" | "-" | " "), code)) = line.split_at_checked(1) else {
            return plain(line);
        };
        let cost = if sign == " " { 2 * code.len() } else { code.len() };
        if code.len() > LONGEST_LINE || !self.budget.take(cost) {
            (self.before, self.after) = (None, None);
            return plain(line);
        }
        let mut read = None;
        if sign != "+" {
            read = self.before.as_mut().and_then(|reader| reader.read(code));
        }
        if sign != "-" {
            read = self.after.as_mut().and_then(|reader| reader.read(code));
        }
        let Some(parts) = read else {
            (self.before, self.after) = (None, None);
            return plain(line);
        };
        let mut all = plain(sign.to_owned());
        all.extend(parts);
        all
    }
}

#[cfg(test)]
#[cfg(feature = "highlighting")]
mod tests {
    use super::*;

    const GOES_ON: &dyn Fn() -> bool = &|| true;

    /// The parts of lines as `class:text`, without those that have no class.
    fn coloured(path: &str, budget: &HighlightBudget<'_>, lines: &[&str]) -> Vec<String> {
        let mut highlighter = HunkHighlighter::new(path, budget);
        let mut told = Vec::new();
        for line in lines {
            let parts = highlighter.read(format!("{line}\n"));
            let whole: String = parts.iter().map(|part| part.text.as_str()).collect();
            assert_eq!(whole, format!("{line}\n"), "a text is changed by its colours");
            let with_class = parts.iter().filter(|part| !part.class.is_empty());
            told.extend(with_class.map(|part| format!("{}:{}", part.class, part.text)));
        }
        told
    }

    #[test]
    fn both_sides_of_a_hunk_are_read_as_the_language_of_the_file() {
        let lines = [
            " def send(url):",
            "-    return get(url, timeout=30)",
            "+    return get(url, timeout=\"6\")  # more",
        ];
        let budget = HighlightBudget::new(10_000, GOES_ON);
        assert_eq!(
            coloured("nova/api.py", &budget, &lines),
            [
                "kw:def",
                "fn:send",
                "kw:return",
                "fn:get",
                "num:30",
                "kw:return",
                "fn:get",
                "str:\"6\"",
                "com:# more"
            ]
        );
        assert_eq!(coloured("etc/api.conf", &budget, &lines), [""; 0]);
        // A string that begins only on one side is no string on the other.
        let lines = ["-x = \"\"\"", "+x = 1", " return 2"];
        let told = coloured("a.py", &HighlightBudget::new(1000, GOES_ON), &lines);
        assert_eq!(told, ["str:\"\"\"", "num:1", "kw:return", "num:2"]);
    }

    #[test]
    fn what_is_beyond_the_bounds_is_plain() {
        let long = format!("+x = \"{}\"", "y".repeat(LONGEST_LINE));
        let budget = HighlightBudget::new(10_000, GOES_ON);
        let lines = ["+return 1", &long, "+return 2"];
        assert_eq!(coloured("a.py", &budget, &lines), ["kw:return", "num:1"]);
        let budget = HighlightBudget::new(25, GOES_ON);
        let lines = ["+return 1", "+return 2", "+return 3"];
        assert_eq!(coloured("a.py", &budget, &lines).len(), 4);
        assert_eq!(coloured("a.py", &budget, &lines).len(), 0, "nothing is left");
        let looks = Cell::new(0);
        let goes_on = || {
            looks.set(looks.get() + 1);
            looks.get() < 3
        };
        let budget = HighlightBudget::new(10_000, &goes_on);
        assert_eq!(coloured("a.py", &budget, &lines).len(), 4);
    }
}
