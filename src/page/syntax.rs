//! The languages of files, by the syntaxes that `syntect` brings.

use std::sync::LazyLock;

use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};

use super::text::TextPart;

/// The syntaxes, which are read when the first file is coloured.
static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);

/// The languages that are coloured. Others cost more time than they are worth.
const LANGUAGES: [&str; 15] = [
    "Bourne Again Shell (bash)",
    "C",
    "C++",
    "CSS",
    "Go",
    "Java",
    "JavaScript",
    "JSON",
    "Lua",
    "Makefile",
    "Python",
    "Ruby",
    "Rust",
    "SQL",
    "YAML",
];

/// How scopes are coloured: the beginning of a scope, and its CSS class, or none. Of nested scopes
/// the innermost counts; of two lines that match, the first.
const CLASSES: [(&str, &str); 19] = [
    ("meta.interpolation", ""),
    ("keyword.operator.logical", "kw"),
    ("keyword.operator.word", "kw"),
    ("keyword.operator", ""),
    ("keyword", "kw"),
    ("storage", "kw"),
    ("entity.name.tag", "kw"),
    ("constant.character.escape", "str"),
    ("constant", "num"),
    ("entity.name.function", "fn"),
    ("support.function", "fn"),
    ("variable.function", "fn"),
    ("entity.name.class", "ty"),
    ("entity.name.type", "ty"),
    ("entity.name.struct", "ty"),
    ("support.type", "ty"),
    ("support.class", "ty"),
    ("string", "str"),
    ("comment", "com"),
];

static SCOPES: LazyLock<Vec<(Scope, &'static str)>> = LazyLock::new(|| {
    let scopes = CLASSES.into_iter();
    let scopes = scopes.filter_map(|(scope, class)| Some((Scope::new(scope).ok()?, class)));
    scopes.collect()
});

/// Reads the lines of a text one after the other.
#[derive(Clone)]
pub(super) struct LineReader {
    state: ParseState,
    scopes: ScopeStack,
}

impl LineReader {
    /// For a file of this name; `None` where its language is not known.
    pub(super) fn for_file(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let ending = name.rsplit_once('.').map_or(name, |(_, ending)| ending);
        let syntax = syntax(ending)?;
        Some(Self {
            state: ParseState::new(syntax),
            scopes: ScopeStack::new(),
        })
    }

    /// The parts of the next line; `None` where it cannot be read.
    pub(super) fn read(&mut self, line: &str) -> Option<Vec<TextPart>> {
        let changes = self.state.parse_line(line, &SYNTAXES).ok()?;
        let mut parts: Vec<TextPart> = Vec::new();
        let mut from = 0;
        for (at, change) in changes {
            push(&mut parts, self.class(), line.get(from..at)?);
            from = at;
            self.scopes.apply(&change).ok()?;
        }
        push(&mut parts, self.class(), line.get(from..)?);
        Some(parts)
    }

    fn class(&self) -> &'static str {
        let mut innermost = self.scopes.as_slice().iter().rev();
        let found = innermost.find_map(|scope| {
            let fitting = SCOPES.iter().find(|(prefix, _)| prefix.is_prefix_of(*scope));
            fitting.map(|(_, class)| *class)
        });
        found.unwrap_or_default()
    }
}

fn syntax(ending: &str) -> Option<&'static SyntaxReference> {
    let found = SYNTAXES.find_syntax_by_extension(ending)?;
    LANGUAGES.contains(&found.name.as_str()).then_some(found)
}

/// Appends a text. White space has no colour, and a line feed is never in a coloured part.
fn push(parts: &mut Vec<TextPart>, class: &'static str, text: &str) {
    let visible = text.trim_end();
    for (class, text) in [
        (class, visible),
        ("", text.get(visible.len()..).unwrap_or_default()),
    ] {
        match parts.last_mut() {
            _ if text.is_empty() => {}
            Some(last) if last.class == class => last.text.push_str(text),
            _ => parts.push(TextPart {
                class,
                text: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syntect::parsing::Regex;
    use syntect::parsing::syntax_definition::Pattern;

    #[test]
    fn every_language_is_there_and_none_of_its_patterns_can_fail_on_a_line() {
        for name in LANGUAGES {
            assert!(SYNTAXES.find_syntax_by_name(name).is_some(), "{name}");
        }
        assert_eq!(SCOPES.len(), CLASSES.len());
        let builder = SYNTAXES.clone().into_builder();
        let known = builder.syntaxes().iter();
        let mut patterns = 0;
        for syntax in known.filter(|syntax| LANGUAGES.contains(&syntax.name.as_str())) {
            for pattern in syntax.contexts.values().flat_map(|context| &context.patterns) {
                if let Pattern::Match(pattern) = pattern
                    && !pattern.has_captures
                {
                    let error = Regex::try_compile(pattern.regex.regex_str());
                    assert!(error.is_none(), "{}: {error:?}", syntax.name);
                    patterns += 1;
                }
            }
        }
        assert!(patterns > 1000, "{patterns}");
    }

    #[test]
    fn a_language_follows_from_the_name() {
        for (path, is_known) in [
            ("nova/api/wsgi.py", true),
            ("devstack/plugin.sh", true),
            ("Makefile", true),
            ("src/lib.rs", true),
            ("setup.cfg", false),
            ("README", false),
            ("py", true),
            ("a.py/b", false),
            ("", false),
        ] {
            assert_eq!(LineReader::for_file(path).is_some(), is_known, "{path}");
        }
    }
}
