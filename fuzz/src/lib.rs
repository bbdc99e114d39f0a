//! Fuzz targets by name: any bytes at all against one part. A fuzzer, a property test and the replay of `corpus/` call
//! them alike.

/// A body that takes any bytes.
pub type Body = fn(&[u8]);

/// Every target, and the part that it tries.
pub const TARGETS: [(&str, Body); 9] = [
    ("scanner", postline_world::bodies::scanner_survives),
    ("fields", postline_world::bodies::fields_survive),
    ("frames", postline_world::bodies::frames_survive),
    ("greeting", postline_world::bodies::greeting_survives),
    ("trust", postline_world::bodies::trust_survives),
    ("link", postline_world::bodies::link_survives),
    ("queue", postline_world::bodies::queue_survives),
    ("server", postline_world::bodies::server_survives),
    ("smtp", postline_node::smtp::session_survives),
];
