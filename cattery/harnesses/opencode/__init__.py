"""opencode: how it is started, spoken to and understood. Facts hold for the pinned release."""
