"""Defenses that come with idbench, one small package each."""
