"""Fitted models as ONNX graphs, built operator by operator: whatever runs ONNX forecasts with them."""
