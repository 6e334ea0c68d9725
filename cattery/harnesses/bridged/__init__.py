"""What all harnesses behind our bridges share: their frames, turns, questions and port."""
