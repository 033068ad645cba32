"""Stage 1: panels, the readers that make them, calendars, bundled and synthetic data sets."""
