"""Counter-examples that people read: shortened, told, drawn, kept, replayed."""
