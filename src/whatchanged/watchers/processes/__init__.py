"""Who did it: the process behind a pid at a moment, also when it is gone."""
