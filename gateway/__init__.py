"""The model gateway: the one process that holds model keys, between sandboxes and models."""
