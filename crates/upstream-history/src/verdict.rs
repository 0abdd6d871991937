//! Applies findings to the reports on a series.

use std::collections::BTreeSet;

use git_apply_engine::{PatchReport, PatchState};

use super::finding::{Difference, Finding};

/// Updates the reports on a series with what upstream did: what it has is
/// [`Merged`](PatchState::Merged), and blocks no other patch.
pub fn apply_findings(reports: &mut [PatchReport], findings: &[Finding]) {
    for (report, finding) in reports.iter_mut().zip(findings) {
        if let Finding::Merged(merged) = finding
            && !report.applies()
        {
            if report.state != PatchState::Merged {
                report.error = Some(match &merged.difference {
                    Difference::Same => "upstream has it".to_owned(),
                    _ => "upstream has it in another form".to_owned(),
                });
            }
            report.state = PatchState::Merged;
        }
    }
    let mut failed: BTreeSet<String> = BTreeSet::new();
    for report in reports {
        let touched: Vec<String> = report
            .files
            .iter()
            .flat_map(|file| [Some(&file.path), file.old_path.as_ref()])
            .flatten()
            .cloned()
            .collect();
        match report.state {
            PatchState::Blocked if touched.iter().all(|path| !failed.contains(path)) => {
                report.state = PatchState::Conflict;
                let own = report.files.iter().find_map(|file| file.error.clone());
                report.error = own.or(report.error.take());
                failed.extend(touched);
            }
            PatchState::Blocked | PatchState::Conflict | PatchState::Malformed => failed.extend(touched),
            PatchState::Clean | PatchState::Offset | PatchState::Merged => {}
        }
    }
}
