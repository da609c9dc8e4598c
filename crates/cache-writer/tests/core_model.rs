//! The core against a reference model: random events, batch cuts and redeliveries through the
//! planner and a model of Redis, compared with a plain implementation of the same rules.

#![allow(clippy::unwrap_used)]

#[path = "core_model/fields.rs"]
mod fields;
#[path = "core_model/generate.rs"]
mod generate;
#[path = "core_model/reference.rs"]
mod reference;
#[path = "core_model/store.rs"]
mod store;
#[path = "core_model/writer.rs"]
mod writer;

#[path = "core_model/batches.rs"]
mod batches;
#[path = "core_model/layouts.rs"]
mod layouts;
#[path = "core_model/properties.rs"]
mod properties;
#[path = "core_model/rules.rs"]
mod rules;
#[path = "core_model/shapes.rs"]
mod shapes;
