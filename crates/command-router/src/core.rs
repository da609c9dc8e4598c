//! What is decided about commands: values in, values out.

pub mod deadline;
pub mod route;
pub mod unattended;
