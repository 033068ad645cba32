"""Models of whole panels: frames in, frames out, calibrated quantiles, rolling origins."""
