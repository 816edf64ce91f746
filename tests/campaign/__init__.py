"""Random trials of the whole program: words, damaged files, kills, full disks and hostile plug-ins.

    python -m tests.campaign --seconds 3600 --seed 7

tries for an hour what the tests try for a minute with a fixed seed; every failure is printed with what repeats it.
"""
