//! Pushes that forges announce by webhooks: who signed one, and which repositories it names.
//!
//! Requests are checked as Flux's Receivers check them, so that a Secret made for one works here
//! too
//! (<https://github.com/fluxcd/notification-controller/blob/main/internal/server/receiver_handlers.go>).

mod hook;
mod payload;

pub use hook::{HookEvent, HookKind};
pub use payload::{BodyEncoding, Unreadable, repositories};
