//! What surrounds every page that is served.

use super::text::slug;

/// The parts of the site, in the order of its menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Components × releases.
    Matrix,
    /// The overrides of constraints.
    Overrides,
    /// The repositories of patches.
    Repositories,
    /// The search.
    Search,
    /// None of them.
    Other,
}

impl Section {
    /// The menu: each section with its address and title.
    pub const MENU: [(Self, &'static str, &'static str); 4] = [
        (Self::Matrix, "/", "Components"),
        (Self::Overrides, "/overrides", "Overrides"),
        (Self::Repositories, "/repositories", "Repositories"),
        (Self::Search, "/search", "Search"),
    ];
}

/// What surrounds a page.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The title.
    pub title: String,
    /// Where in the menu it is.
    pub section: Section,
    /// The viewer; `None` if anonymous.
    pub viewer: Option<String>,
    /// Whether it is kept up to date.
    pub is_live: bool,
    /// What was left out because the viewer may not list it, or because there is too much, in a
    /// sentence.
    pub note: Option<String>,
}

/// The page of an object: `/patchsets/NAMESPACE/NAME`.
#[must_use]
pub fn object_address(plural: &str, namespace: &str, name: &str) -> String {
    // Names of objects need no escaping in an address.
    format!("/{plural}/{}/{}", slug(namespace), slug(name))
}
