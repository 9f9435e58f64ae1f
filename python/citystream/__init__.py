"""citystream."""
