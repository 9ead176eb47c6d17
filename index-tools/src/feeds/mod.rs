//! Feeds: what sources on the network say, page by page, into lists.
pub mod ncmec;
mod page;
pub mod stopncii;
pub mod threatexchange;
pub use page::{Link, Page, Rejected, State};
