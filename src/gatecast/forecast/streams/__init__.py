"""Live series of a fitted model: new values are taken in one by one, and every forecast is that of the batch."""
