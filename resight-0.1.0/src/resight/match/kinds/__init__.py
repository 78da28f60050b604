"""The matchers, one file each: settings on top, implementation below or named in ``build``; torch is imported there."""
