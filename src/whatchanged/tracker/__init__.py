"""Process 1: looks at the machine, compares with the last state, keeps the outbox. No network."""
