"""Stage 4: losses, optimisers, the closed-form ridge and one training loop."""
