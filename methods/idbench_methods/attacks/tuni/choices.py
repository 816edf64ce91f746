"""What TUNI's paper and released code leave open, and what was chosen here."""

from __future__ import annotations

from idbench.api import Choice

CHOICES = (
    Choice(
        what="runs and steps",
        chosen="4 runs of 16 steps; the preset `paper` takes 100 runs of 2000 steps",
        why="sized by time alone, for 1200 names in about a minute on two processor cores; never by the result",
    ),
    Choice(
        what="optimizer",
        chosen="Adam at 0.1; the preset `paper` takes plain gradient ascent at 0.02 as released",
        why="it climbs faster: in 20 steps for gibberish, on a control target, to a cosine of 0.80 (plain ascent: to "
        "0.23 at 0.02, to 0.72 at the best of several rates)",
    ),
    Choice(
        what="what the random resized crop is applied to",
        chosen="to what the target sees of a run's image at every step, the same crop throughout the run; the preset "
        "`paper` cuts the first image and optimizes all of it, as released",
        why="the paper names the crop (area 0.9 to 1) as the only difference between runs, not its place; `crop_of` "
        "changes it",
    ),
    Choice(
        what="crop's ratio of sides and rounding",
        chosen="3/4 to 4/3, not rounded to whole pixels, bilinear",
        why="the usual range; on small images whole pixels would leave a handful of different crops",
    ),
    Choice(
        what="when a run stops early",
        chosen="after 10 steps that each change the similarity by less than 0.0001",
        why="nothing is gained after that; the preset `paper` never stops early",
    ),
    Choice(
        what="gibberish: how many, how long, of what",
        chosen="128 strings of 6 to 16 letters, digits and symbols",
        why="enough for the detectors' neighbourhoods, about as long as names, a tenth of the whole time",
    ),
    Choice(
        what="detectors",
        chosen="local outlier factor, isolation forest and one-class SVM with PyOD's defaults; the preset `paper` adds "
        "an auto-encoder",
        why="the usual set; an auto-encoder has little to compress in two features",
    ),
    Choice(
        what="features given to the detectors",
        chosen="similarity and spread, in standard deviations of gibberish",
        why="the two differ in size by orders of magnitude",
    ),
    Choice(
        what="graded score",
        chosen="mean over detectors of the anomaly's rank among all names and gibberish",
        why="detectors have scales of their own; ranks among gibberish alone would tie all names beyond it",
    ),
    Choice(
        what="vote",
        chosen="member when more than half of the detectors call the name an outlier (threshold: 10 % of gibberish)",
        why="a majority needs no tuning; 10 % is PyOD's default",
    ),
    Choice(
        what="how far a run repeats",
        chosen="exactly on one machine, roughly on another: Adam divides each pixel's gradient by its own size, "
        "rounding included, and ranks spread what lies close together",
        why="repeated on another processor, scores moved by up to 0.18; at chance the calibrated threshold is "
        "arbitrary, and its rates moved from 33.5 and 38.1 % to 5.6 and 5.8 %. A larger epsilon in Adam did not help; "
        "plain ascent, as in the preset `paper`, is not affected by how runs are grouped",
    ),
    Choice(
        what="direction",
        chosen="two-sided: any difference from gibberish counts; `direction=more-similar` takes the paper's reading",
        why="detectors are two-sided by nature, and the sign was seen to turn with the number of training pictures",
    ),
    Choice(
        what="network in which optimized images and real photos are compared (second stage)",
        chosen="the target's own image embedding, or a fixed descriptor of colours and edges",
        why="the released code's face network cannot be shipped; the stand-ins need no other weights",
    ),
    Choice(
        what="how the second stage enters the score",
        chosen="closeness in standard deviations of gibberish's images to the same photos; mean of its rank and the "
        "first stage's score; the vote is that of the first stage",
        why="gibberish tells how close unrelated images come to these photos; without photos one counts as typical",
    ),
)
