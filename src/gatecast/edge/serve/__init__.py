"""A server of forecasts over HTTP: live series whose state survives a crash, and stateless forecasts."""
