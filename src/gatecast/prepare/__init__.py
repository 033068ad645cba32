"""Stage 2: cut-offs, gaps, units and windows. The only stage that does index arithmetic on time."""
