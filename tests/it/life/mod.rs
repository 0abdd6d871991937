//! The life of a patch in a team's repository: how it comes, changes and goes.

mod add;
mod add_places;
mod dated;
mod edit;
mod history;
mod list;
mod series;
mod team;
