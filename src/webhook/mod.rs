//! Pushes that forges tell of by webhooks: who signed one, and which repositories it names.
//!
//! Requests are checked as Flux's Receivers check them, so that a Secret that was made for one
//! serves here too
//! (<https://github.com/fluxcd/notification-controller/blob/main/internal/server/receiver_handlers.go>).

mod hook;
mod payload;

pub use hook::{HookEvent, HookKind};
pub use payload::{BodyEncoding, Unreadable, repositories};
