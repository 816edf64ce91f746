"""Studies: what the papers show by curves, rerun here with intervals over people. `bench study` is thin over this."""
