//! Why a payload can't be used.

use thiserror::Error;

/// Why a payload can't be used. The event is published all the same; it changes nothing and has no
/// `old`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// `d` is no JSON object.
    #[error("payload is not an object")]
    NotAnObject,
    /// A field that the rule needs is absent or null.
    #[error("field {0} is missing")]
    Missing(&'static str),
    /// A field that the rule needs is of another type, or an id that is not made of digits.
    #[error("field {0} has the wrong type")]
    WrongType(&'static str),
}
