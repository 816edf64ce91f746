"""Attacks: methods that score how likely each person is a member."""
