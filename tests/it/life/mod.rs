//! The life of a patch in a team's repository: how it comes, changes and goes.

mod add;
mod add_places;
mod edit;
mod series;
mod team;
