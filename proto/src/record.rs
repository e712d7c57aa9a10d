//! Small self-certifying values: signed node descriptors.

mod node;

pub use node::{NodeDescriptor, RecordError, Roles, SignedNodeDescriptor, Unverified};
