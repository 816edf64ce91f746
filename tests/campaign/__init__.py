"""Random trials of the whole program: words, texts, damaged files, kills, full disks, hostile and greedy plug-ins.

    pip install --no-deps tests/plugin_package
    python -m tests.campaign --seconds 3600 --seed 7

tries for an hour what the tests try for a minute with a fixed seed; every failure is printed with what repeats it.
"""
