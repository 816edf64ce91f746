"""Runs methods: plans, worker processes, records. Nothing is imported here: workers start with what they need."""
