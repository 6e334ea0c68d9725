"""Any agent that speaks the Agent Client Protocol, as an agent of `bridges.contract`."""
