//! Measurements beside peers and physical limits. The figures stand in `RESULTS.md`.
