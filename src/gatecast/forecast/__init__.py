"""Stage 5: one_step, free_run and direct; baselines with the same contract; `Forecaster`, the estimator."""
