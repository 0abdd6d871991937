#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod address;
mod cause;
mod redirect;
mod resolver;
pub mod tls;

pub use address::{Reach, RefusedAddress, reach};
pub use cause::{causes, describe_with_causes, find_cause};
pub use redirect::{CrossOriginPolicy, RefusedRedirect, check_redirect};
pub use resolver::{Destinations, connect};
