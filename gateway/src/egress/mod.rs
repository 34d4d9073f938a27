//! What may leave: how a destination is named, and which addresses nobody may be led to.
//!
//! A destination is brought into one form and judged once ([`target`]); what was judged is
//! what is dialled. Names are looked up once, every address is vetted ([`crate::network::public`]), and the
//! vetted address is dialled: there is no second lookup that could answer otherwise.

pub mod target;
