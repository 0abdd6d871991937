//! Reports how far a series got, and what to do next.

use std::fmt::Write;
use std::process::ExitCode;

use super::picking::{Picking, Progress};
use crate::cli::error::Error;
use crate::cli::output::print_styled;
use crate::cli::style::{GOOD, plain};

/// Reports how far it got.
pub(super) fn finish(picking: &Picking<'_>, progress: Progress) -> Result<ExitCode, Error> {
    let mut summary = picking.summary.clone();
    let folder = picking.tree.folder().display();
    let (component, release) = (&picking.state.component, &picking.state.release);
    match progress {
        Progress::Done => {
            let base = picking.state.base.get(..12).unwrap_or_default();
            // Writing to a string does not fail.
            let _ = write!(
                summary,
                "{GOOD}all patches are commits{GOOD:#}: change them as you like (git -C {folder} rebase -i {base}), then write them back:\n    patchset export {component}/{release} --from {folder}\n"
            );
        }
        Progress::Waiting => {
            let unmerged = picking.tree.git(&["diff", "--name-only", "--diff-filter=U"])?;
            for path in unmerged.lines() {
                let _ = writeln!(summary, "      unmerged: {}", plain(path));
            }
            let _ = write!(
                summary,
                "solve it in {folder}, git add what you solved, and continue:\n    patchset edit --continue --into {folder}    (or --skip, --abort; patchset conflict {component}/{release} says what broke it)\n"
            );
        }
    }
    print_styled(&summary)?;
    Ok(match progress {
        Progress::Done => ExitCode::SUCCESS,
        Progress::Waiting => ExitCode::from(1),
    })
}
