"""Stage 7: what the gates of a fitted network do, on the reference cells: numbers first."""
