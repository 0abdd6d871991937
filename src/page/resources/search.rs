//! Finds a patch, a bug, a CVE or a change in all components and releases.

use askama::Template;

use super::filter::has_all_words;
use crate::page::frame::Frame;
use crate::page::{PatchView, RenderError, SeriesView};

/// The most patches that are listed.
const MOST_FOUND: usize = 500;

/// The search.
#[derive(Clone, Debug)]
pub struct SearchPage {
    /// What surrounds it.
    pub frame: Frame,
    /// What is looked for.
    pub q: String,
    /// All series that the viewer may list.
    pub series: Vec<SeriesView>,
}

impl SearchPage {
    /// Renders the page.
    ///
    /// # Errors
    ///
    /// If the template cannot be rendered.
    pub fn render(&self) -> Result<String, RenderError> {
        let is_asked = !self.q.trim().is_empty();
        let mut found: Vec<(&SeriesView, &PatchView)> = Vec::new();
        let mut without: Vec<&SeriesView> = Vec::new();
        for series in self.series.iter().filter(|_| is_asked) {
            let patches = series.patches.iter();
            let before = found.len();
            found.extend(
                patches
                    .filter(|patch| has_all_words(&self.q, || patch.searched_text()))
                    .map(|patch| (series, patch)),
            );
            if found.len() == before {
                without.push(series);
            }
        }
        // Where it is missing is of interest only for components that have it elsewhere.
        without.retain(|series| found.iter().any(|(with, _)| with.component == series.component));
        let omitted = found.len().saturating_sub(MOST_FOUND);
        found.truncate(MOST_FOUND);
        SearchTemplate {
            frame: &self.frame,
            q: &self.q,
            is_asked,
            found,
            without,
            omitted,
        }
        .render()
    }
}

#[derive(Template)]
#[template(path = "search.html", config = "src/page/askama.toml")]
struct SearchTemplate<'a> {
    frame: &'a Frame,
    q: &'a str,
    is_asked: bool,
    found: Vec<(&'a SeriesView, &'a PatchView)>,
    without: Vec<&'a SeriesView>,
    omitted: usize,
}
