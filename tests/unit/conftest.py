"""Generated tests: the same examples every time, and no clock, which a busy machine would fail."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
