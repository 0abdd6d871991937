//! Components × releases.

use std::collections::{BTreeMap, BTreeSet};

use super::series::{SeriesView, Standing};

/// A component at each release; where several namespaces have it, there are several series.
#[derive(Clone, Debug)]
pub struct MatrixRow<'a> {
    /// The component.
    pub component: &'a str,
    /// The series of each release, in the order of the columns.
    pub cells: Vec<Vec<&'a SeriesView>>,
}

/// Components × releases.
#[derive(Clone, Debug)]
pub struct Matrix<'a> {
    /// The columns.
    pub releases: Vec<&'a str>,
    /// The rows, by the component's name.
    pub rows: Vec<MatrixRow<'a>>,
    /// How many series have each standing, from the worst.
    pub counts: Vec<(Standing, usize)>,
}

impl<'a> Matrix<'a> {
    /// Arranges series.
    #[must_use]
    pub fn arrange(series: &'a [SeriesView]) -> Self {
        let releases: BTreeSet<&str> = series.iter().map(|series| series.release.as_str()).collect();
        let mut rows: BTreeMap<&str, BTreeMap<&str, Vec<&SeriesView>>> = BTreeMap::new();
        for one in series {
            let row = rows.entry(&one.component).or_default();
            row.entry(&one.release).or_default().push(one);
        }
        let rows = rows.into_iter().map(|(component, mut row)| MatrixRow {
            component,
            cells: releases
                .iter()
                .map(|release| row.remove(release).unwrap_or_default())
                .collect(),
        });
        let count = |standing| series.iter().filter(|one| one.standing == standing).count();
        Self {
            rows: rows.collect(),
            releases: releases.into_iter().collect(),
            counts: Standing::ALL
                .map(|standing| (standing, count(standing)))
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }
}
