//! The series that a patch is taken into.

use std::fmt;

use super::options::AddOptions;
use crate::cli::error::Error;
use crate::cli::style::plain;
use crate::cli::team::TeamRepository;
use crate::layout::{ComponentSeries, Selection};

/// The word for all releases.
const ALL: &str = "all";

/// A series that a patch is taken into, and what its component is built from.
pub(super) struct ReleaseTarget {
    pub(super) series: ComponentSeries,
    pub(super) reference: String,
}

impl fmt::Display for ReleaseTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ComponentSeries {
            component, release, ..
        } = &self.series;
        write!(f, "{}/{}", plain(component), plain(release))
    }
}

/// What to read of the repository.
pub(super) fn selection(component: &str, releases: &[String]) -> Selection {
    let component = component.to_owned();
    if releases.iter().any(|release| release == ALL) {
        return Selection::named(&[component], &[]);
    }
    Selection::named(&[component], releases)
}

/// The requested series, including those without a folder yet.
///
/// # Errors
///
/// Where the component is built at none of the releases, or nothing says from what.
pub(super) fn find(team: &TeamRepository, options: &AddOptions) -> Result<Vec<ReleaseTarget>, Error> {
    let component = &options.component;
    let is_all = options.release.iter().any(|release| release == ALL);
    let template = options.team.layout.ref_template();
    let names: Vec<&String> = if is_all {
        let layout = team.layout();
        let with_series = layout.series.iter().map(|series| &series.release);
        let mut names: Vec<&String> = layout.releases.keys().chain(with_series).collect();
        names.sort();
        names.dedup();
        names
    } else {
        options.release.iter().collect()
    };
    let mut targets: Vec<ReleaseTarget> = Vec::new();
    for release in names {
        if targets.iter().any(|known| known.series.release == *release) {
            continue;
        }
        let series = team.layout().series_for(component, release, template);
        match series.and_then(|series| Some((series.reference.clone()?, series))) {
            Some((reference, series)) => targets.push(ReleaseTarget { series, reference }),
            // It is not built there.
            None if is_all => {}
            None => {
                return Err(Error::Usage(format!(
                    "{component}/{release}: nothing says what it is built from, or where its patches are: name its ref in releases/{release}/source-refs.yaml, or give --ref-template"
                )));
            }
        }
    }
    if targets.is_empty() {
        return Err(Error::Usage(format!(
            "{component} is not built at any release: name its ref in releases/<release>/source-refs.yaml, or give --ref-template"
        )));
    }
    Ok(targets)
}
