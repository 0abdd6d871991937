//! The objects of a repository.

use patchset_api::PatchRepository;

use super::builder::{DesiredObjects, FleetBuilder};
use super::cells::Cell;
use super::constraint_overrides::make_constraint_overrides;
use super::error::FleetError;
use super::patch_sets::make_patch_sets;
use super::selection::ReadingRules;
use super::template::Templates;
use crate::layout::RepositoryLayout;

/// The most `PatchSet`s of one repository.
const MOST_PATCH_SETS: usize = 5_000;

/// What a repository's folders ask for. Each object has the repository's label and, if the
/// repository is in a cluster, is owned by it.
///
/// # Errors
///
/// If templates or patterns cannot be read, or there are too many objects. What is wrong with
/// single ones is reported in the result.
pub fn desired_objects(
    repository: &PatchRepository,
    layout: &RepositoryLayout,
) -> Result<DesiredObjects, FleetError> {
    let rules = ReadingRules::new(&repository.spec)?;
    let templates = Templates::new(&repository.spec)?;
    let cells = Cell::all(layout, &rules);
    if cells.len() > MOST_PATCH_SETS {
        return Err(FleetError::TooMany {
            count: cells.len(),
            limit: MOST_PATCH_SETS,
        });
    }
    let mut builder = FleetBuilder {
        repository,
        layout,
        templates,
        desired: DesiredObjects::default(),
    };
    builder.add_layout_faults();
    let constraints = make_constraint_overrides(&mut builder, &cells, &rules);
    make_patch_sets(&mut builder, &cells, &constraints)?;
    Ok(builder.desired)
}
