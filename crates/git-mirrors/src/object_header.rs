//! What an object's header says.

use std::panic::{self, AssertUnwindSafe};

use git2::{Error, ErrorClass, ErrorCode, ObjectType, Odb, Oid};

/// The size of an object in bytes, and its kind, without reading it whole.
///
/// # Errors
///
/// If it is missing or damaged. On an object of no kind, which a damaged pack may have, git2
/// panics; the log has the location then.
pub(super) fn read(odb: &Odb<'_>, id: Oid) -> Result<(u64, ObjectType), Error> {
    let header = panic::catch_unwind(AssertUnwindSafe(|| odb.read_header(id)));
    match header {
        Ok(header) => header.map(|(size, kind)| (u64::try_from(size).unwrap_or(u64::MAX), kind)),
        Err(_) => Err(Error::new(
            ErrorCode::Invalid,
            ErrorClass::Odb,
            format!("{id} is damaged: it has no kind"),
        )),
    }
}
