//! Trust, told as stories: how a reply becomes a line, and how nothing else does.

mod attacks;
mod fields;
mod kit;
mod laws;
mod stories;
