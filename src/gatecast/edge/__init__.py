"""Stage 9: model files, checkpoints, exports and the command line: the only way out to the world."""
