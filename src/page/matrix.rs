//! Components × releases.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::series::{SeriesView, Standing};

/// The most cells of a table. Beyond them, the releases with the fewest series are left out.
const MOST_CELLS: usize = 100_000;

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
    /// How many releases are left out, because the table would be too large.
    pub left_out: usize,
    /// How many series have each standing, from the worst.
    pub counts: Vec<(Standing, usize)>,
}

impl<'a> Matrix<'a> {
    /// Arranges series.
    #[must_use]
    pub fn arrange(series: &'a [SeriesView]) -> Self {
        let components: BTreeSet<&str> = series.iter().map(|one| one.component.as_str()).collect();
        let mut by_release: BTreeMap<&str, usize> = BTreeMap::new();
        for one in series {
            *by_release.entry(&one.release).or_default() += 1;
        }
        let mut largest: Vec<(&str, usize)> = by_release.into_iter().collect();
        largest.sort_by_key(|(_, count)| Reverse(*count));
        let most = (MOST_CELLS / components.len().max(1)).max(1);
        let left_out = largest.split_off(most.min(largest.len())).len();
        let releases: BTreeSet<&str> = largest.into_iter().map(|(release, _)| release).collect();
        let mut rows: BTreeMap<&str, BTreeMap<&str, Vec<&SeriesView>>> = BTreeMap::new();
        for one in series
            .iter()
            .filter(|one| releases.contains(one.release.as_str()))
        {
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
            left_out,
            counts: Standing::ALL
                .map(|standing| (standing, count(standing)))
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::Tally;
    use super::*;

    fn series(component: usize, release: usize) -> SeriesView {
        SeriesView {
            id: String::new(),
            href: String::new(),
            namespace: None,
            component: format!("c{component}"),
            release: format!("r{release}"),
            reference: None,
            folder: None,
            standing: Standing::Good,
            failure: None,
            tally: Tally::default(),
            tag: None,
            since: None,
            patches: Vec::new(),
            omitted: 0,
        }
    }

    #[test]
    fn a_table_has_a_bound_and_keeps_the_releases_with_the_most_series() {
        let mut all: Vec<SeriesView> = (0..2000).map(|number| series(number, number)).collect();
        all.extend((0..10).map(|component| series(component, 1999)));
        let matrix = Matrix::arrange(&all);
        assert_eq!((matrix.releases.len(), matrix.left_out), (50, 1950));
        assert!(matrix.releases.contains(&"r1999"));
        let cells: usize = matrix.rows.iter().map(|row| row.cells.len()).sum();
        assert!(cells <= MOST_CELLS, "{cells}");
        assert_eq!(matrix.counts, [(Standing::Good, 2010)]);

        let few: Vec<SeriesView> = (0..50).map(|number| series(number, number)).collect();
        assert_eq!(Matrix::arrange(&few).left_out, 0);
    }
}
