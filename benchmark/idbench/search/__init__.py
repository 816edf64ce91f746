"""Is a person already in a corpus? Names in its captions, and faces among the neighbours of a person's photos."""
