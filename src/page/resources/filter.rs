//! Which part of the matrix is shown. It is in the page's address.

use crate::page::{SeriesView, Standing};

/// The longest accepted value, in characters.
const LONGEST: usize = 200;

/// Which part of the matrix is shown; empty values let everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatrixFilter {
    /// The namespace.
    pub namespace: String,
    /// The component.
    pub component: String,
    /// The release.
    pub release: String,
    /// Their standing: a [`Standing`]'s class.
    pub state: String,
    /// Words that are all in what is shown of a series.
    pub q: String,
}

impl MatrixFilter {
    /// Reads the pairs of an address; unknown ones are ignored.
    #[must_use]
    pub fn read<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut filter = Self::default();
        for (name, value) in pairs {
            let field = match name {
                "namespace" => &mut filter.namespace,
                "component" => &mut filter.component,
                "release" => &mut filter.release,
                "state" => &mut filter.state,
                "q" => &mut filter.q,
                _ => continue,
            };
            *field = value.chars().take(LONGEST).collect();
        }
        filter
    }

    /// Whether a series is shown.
    #[must_use]
    pub fn lets_through(&self, series: &SeriesView) -> bool {
        let fits = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        fits(&self.namespace, series.namespace.as_deref().unwrap_or_default())
            && fits(&self.component, &series.component)
            && fits(&self.release, &series.release)
            && fits(&self.state, series.standing.class())
            && has_all_words(&self.q, || searched_text(series))
    }

    /// Whether everything is let through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether all words are in a text, whatever their case.
pub(super) fn has_all_words(words: &str, text: impl Fn() -> String) -> bool {
    if words.trim().is_empty() {
        return true;
    }
    let text = text().to_lowercase();
    words
        .to_lowercase()
        .split_whitespace()
        .all(|word| text.contains(word))
}

fn searched_text(series: &SeriesView) -> String {
    let mut text = format!(
        "{} {} {} {}",
        series.component,
        series.release,
        series.tag.as_deref().unwrap_or_default(),
        series.failure.as_deref().unwrap_or_default()
    );
    for patch in &series.patches {
        text.push('\n');
        text.push_str(&patch.searched_text());
    }
    text
}

/// The values of a choice: each once, in order.
pub(super) fn choices<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    let values: std::collections::BTreeSet<&str> = values.filter(|value| !value.is_empty()).collect();
    values.into_iter().map(ToOwned::to_owned).collect()
}

/// The states that may be chosen.
pub(super) const STATES: [Standing; 4] = Standing::ALL;
