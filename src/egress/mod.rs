//! Whom this process connects to: the rule that all its clients of other people's servers share.
//!
//! Addresses come from specs and from what servers answer, and whoever writes those is taken for hostile: the controller
//! stands inside a network that they do not (server-side request forgery). Three rules hold:
//!
//! * Link-local addresses and the metadata services of clouds are never connected to, however they are named. What counts
//!   is the address that is connected to, after DNS.
//! * What a spec names may be anywhere else: internal registries and Git servers have private addresses.
//! * Where a server leads (a redirect, the address of an upload or a log), the way never goes into a network that is closer than
//!   the server's own: not from a public server to a private address, and from neither to loopback.

mod address;
mod cause;
mod redirect;
mod resolver;

pub use address::{Reach, RefusedAddress, reach};
pub use cause::{causes, find_cause};
pub use redirect::{Elsewhere, RefusedRedirect, check_redirect};
pub use resolver::{Destinations, connect};
