//! What is decided about commands: values in, values out.

pub mod arrivals;
pub mod deadline;
pub mod forwarder;
pub mod rejection;
pub mod route;
pub mod unattended;
