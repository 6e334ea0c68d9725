"""What terminal harnesses share: a client of the bridge that runs them, and its launch."""
