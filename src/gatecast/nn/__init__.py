"""Stage 3: recurrent cells, stacks and initial weights; usable alone with any PyTorch code."""
