//! The life of a patch in a team's repository: how it is added, changed and removed.

mod add;
mod add_places;
mod dated;
mod edit;
mod history;
mod list;
mod series;
mod team;
