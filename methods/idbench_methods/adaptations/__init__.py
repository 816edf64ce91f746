"""The adaptations that come with idbench, one small package each."""
