//! What holds for the file alone: opening, damage, clocks, closing.
