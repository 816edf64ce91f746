"""The leaderboard: from records to pages that people read.

`building.build` makes a board from what `collect.collect` found and the labels in `inputs`; `board.Board` reads it;
`app` shows it; `site.export` writes it as plain pages. Nothing is imported here, so that `bench` starts at once.
"""
