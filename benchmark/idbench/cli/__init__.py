"""The command line: `bench`, one module per verb, thin over functions that can be called without it."""
