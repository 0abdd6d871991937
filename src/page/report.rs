//! The report of a check: one file that opens from disk.

use askama::Template;

use super::assets::{SCRIPT, STYLE, policy_of_inline};
use super::matrix::Matrix;
use super::needs::Needs;
use super::overrides::OverridesView;
use super::series::{SeriesView, Standing};

/// Something that is wrong with the folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultView {
    /// The kind of fault.
    pub kind: String,
    /// The file, with the line where one is to blame.
    pub place: String,
    /// Where the file is on the web.
    pub url: Option<String>,
    /// What is wrong.
    pub message: String,
    /// Whether it fails the check.
    pub fails: bool,
}

/// What a report shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportPage {
    /// What was checked.
    pub title: String,
    /// Whether nothing fails.
    pub is_ok: bool,
    /// What was found, in a line.
    pub summary: String,
    /// What the check is compared to, in words.
    pub base: Option<String>,
    /// What changed since then, in words.
    pub changes: Vec<String>,
    /// The patches of each component at each release.
    pub series: Vec<SeriesView>,
    /// The overrides of each release.
    pub overrides: Vec<OverridesView>,
    /// What is wrong with the folders.
    pub faults: Vec<FaultView>,
    /// Why the search of a component's history is incomplete.
    pub notes: Vec<String>,
}

impl ReportPage {
    /// Renders the page.
    ///
    /// # Errors
    ///
    /// If the template cannot be rendered.
    pub fn render(&self) -> Result<String, askama::Error> {
        let needs = Needs::find(&self.series);
        let waiting = self.count(Standing::Person);
        ReportTemplate {
            policy: policy_of_inline(),
            style: STYLE,
            script: SCRIPT,
            matrix: Matrix::arrange(&self.series),
            verdict: match (waiting, needs.is_empty() && self.is_ok) {
                (0, true) => "Nothing needs a person.".to_owned(),
                (0, false) if self.is_ok => {
                    "Nothing needs a person, but a tool has something to do.".to_owned()
                }
                (0, false) => "No patch needs a person; see below what else is wrong.".to_owned(),
                (1, _) => format!("1 of {} series needs a person.", self.series.len()),
                (count, _) => format!("{count} of {} series need a person.", self.series.len()),
            },
            needs,
            page: self,
        }
        .render()
    }

    fn count(&self, standing: Standing) -> usize {
        let series = self.series.iter();
        series.filter(|series| series.standing == standing).count()
    }
}

#[derive(Template)]
#[template(path = "report.html", config = "src/page/askama.toml")]
struct ReportTemplate<'a> {
    policy: String,
    style: &'static str,
    script: &'static str,
    verdict: String,
    matrix: Matrix<'a>,
    needs: Needs<'a>,
    page: &'a ReportPage,
}
